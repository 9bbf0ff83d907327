import MeshRouting
import MeshSnapshot

/// A request's place in the queue of its upstream, where there may be no more connections. Confined to its loop.
///
/// ```
///  queueUp ─► granted: one more connection is counted for it, and it dials
///         ├─► roomLeft: a connection of its own lane is done with another request, or has room for one more
///         └─► left: its time is over, or nobody waits for it any more
/// ```
final class HTTPPlace {
  let number: UInt64
  let key: UpstreamPool.Key
  let isHTTP2: Bool
  let record: UpstreamRecord
  /// The table that chose the endpoint.
  let tableNumber: UInt64
  /// In the record's queue.
  fileprivate(set) var ticket: UInt64 = 0
  private(set) weak var user: (any HTTPDispatcher)?

  fileprivate init(
    _ number: UInt64, _ key: UpstreamPool.Key, isHTTP2: Bool, _ record: UpstreamRecord, table: UInt64,
    user: any HTTPDispatcher
  ) {
    self.number = number
    self.key = key
    self.isHTTP2 = isHTTP2
    self.record = record
    self.tableNumber = table
    self.user = user
  }
}

/// Requests that wait for a connection because there may be no more of them, and connections that make room for them.
extension RelayLoop {
  func lane(_ key: UpstreamPool.Key, isHTTP2: Bool) -> PendingLane {
    PendingLane(
      loop: self.thread.number, workload: key.workload, namespaceCookie: key.namespaceCookie, target: key.target,
      isHTTP2: isHTTP2)
  }

  /// Nil: as many wait as may.
  func queue(
    _ user: any HTTPDispatcher, for key: UpstreamPool.Key, isHTTP2: Bool, _ share: RoutingTable.Share, mayReuse: Bool
  ) -> HTTPPlace? {
    let (number, record, limits) = (self.nextNumber(), share.record, share.traffic?.limits)
    let place = HTTPPlace(number, key, isHTTP2: isHTTP2, record, table: self.tableNumber, user: user)
    let thread = self.thread
    let waiter = PendingWaiter(place: number, limit: limits?.connections ?? .max) {
      thread.post { $0.granted(number, record) }
    }
    guard let ticket = record.enter(waiter, mayReuse ? self.lane(key, isHTTP2: isHTTP2) : nil, limits) else {
      return nil
    }
    place.ticket = ticket
    self.places[number] = place
    if record.hasResting {
      // On this loop not now either: the request does not know its place yet.
      for peer in self.peers { peer.post { $0.makeRoom(for: record) } }
    }
    return place
  }

  func leave(_ place: HTTPPlace) {
    guard self.places.removeValue(forKey: place.number) != nil else { return }
    place.record.leave(place.ticket)
  }

  private func granted(_ number: UInt64, _ record: UpstreamRecord) {
    let permit = record.takeGranted()
    // Who left meanwhile lets the next one have it.
    guard let place = self.places.removeValue(forKey: number) else { return }
    place.user?.granted(place, permit)
  }

  /// The first that waits for a connection like this one.
  func takeWaiting(for key: UpstreamPool.Key, isHTTP2: Bool, of record: UpstreamRecord) -> HTTPPlace? {
    record.takeWaiting(self.lane(key, isHTTP2: isHTTP2)).flatMap { self.places.removeValue(forKey: $0) }
  }

  /// A connection at rest is ended for one that waits and cannot use it.
  private func makeRoom(for record: UpstreamRecord) {
    guard record.isWaitedFor, record.hasResting else { return }
    for number in self.pool.members {
      guard let upstream = self.connections[number] as? HTTPUpstream, upstream.record === record else { continue }
      return upstream.serveWaiting()
    }
    for upstream in self.http2Upstreams.values.joined() where upstream.record === record && upstream.offerRoom() {
      return
    }
  }
}
