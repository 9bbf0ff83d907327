import MeshBase
import MeshRouting
import MeshSnapshot

/// For whom connections are opened ahead, and toward what.
struct WarmKey: Hashable {
  let record: ObjectIdentifier
  let workload: UInt32
  let namespaceCookie: UInt64
}

/// Connections that stand before a request needs them (`PoolSettings.warmConnections`). Nothing is remembered of who calls: a request
/// looks after those that follow it, so that nobody who is gone is dialled for.
extension RelayLoop {
  /// Milliseconds.
  private static let warmInterval: UInt64 = 1000
  /// Of one look; the next one opens others.
  private static let mostAtOnce = 64

  /// Opens what is missing toward the endpoints of the share.
  /// - client: the accepted socket of the request, whose flow the connections are told with.
  func warm(_ share: RoutingTable.Share, isHTTP2: Bool, of flow: AcceptedFlow, client: CInt) {
    guard let wanted = share.traffic?.pool.warmConnections, wanted > 0, client >= 0, self.strain.now < .trim,
      let table = self.table
    else { return }
    let key = WarmKey(
      record: ObjectIdentifier(share.record), workload: flow.sourceWorkload, namespaceCookie: flow.namespaceCookie)
    if let next = self.warmed[key], self.now < next { return }
    self.warmed[key] = self.now + Self.warmInterval
    var left = Self.mostAtOnce
    for choice in table.endpoints(in: share) {
      let key = UpstreamPool.Key(
        workload: flow.sourceWorkload, namespaceCookie: flow.namespaceCookie, target: choice.target)
      var missing = Int(wanted) - self.pool.count(of: key)
      if isHTTP2 { missing = self.http2Upstreams[key] == nil ? 1 : 0 }
      while missing > 0, left > 0, let permit = share.record.admitConnection(share.traffic?.limits) {
        missing -= 1
        left -= 1
        if isHTTP2 {
          self.freshHTTP2Upstream(key, flow, share, permit).begin(client: client)
        } else {
          self.freshUpstream(key, flow, share, permit, for: nil).begin(client: client)
        }
      }
    }
  }
}
