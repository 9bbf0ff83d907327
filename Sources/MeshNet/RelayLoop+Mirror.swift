import Logging
import MeshBase
import MeshHTTP
import MeshRouting

/// Where a copy of a request goes.
struct HTTPMirrorTarget {
  var share: RoutingTable.Share
  var speaksHTTP2: Bool
}

extension RelayLoop {
  /// Those of the rule's and the backend's mirrors that take this request.
  func mirrors(
    _ mirrors: [HTTPEffects.Mirror], at route: RoutingTable.Route, of flow: AcceptedFlow,
    speaksHTTP2: (RoutingTable.Share) -> Bool
  ) -> [HTTPMirrorTarget] {
    var targets: [HTTPMirrorTarget] = []
    for mirror in mirrors where mirror.mirror.takes(using: &self.random) {
      guard let upstream = mirror.upstream else {
        self.noteMirror(.noBackend, of: flow)
        continue
      }
      guard let share = self.table?.share(of: upstream, at: route, isV4: flow.original.address.isV4) else {
        self.noteMirror(.noEndpoint, of: flow)
        continue
      }
      targets.append(HTTPMirrorTarget(share: share, speaksHTTP2: speaksHTTP2(share)))
    }
    return targets
  }

  /// Sends a copy. Nil: as many as may be are under way, or memory runs out.
  func mirror(
    _ head: HTTPMirrorCall.Head, to target: HTTPMirrorTarget, isHead: Bool, isWhole: Bool, of flow: AcceptedFlow,
    from origin: any HTTPUpstreamUser
  ) -> HTTPMirrorCall? {
    guard self.mirrorCalls < HTTPMirrorCall.mostCalls, self.strain.now < .trim else {
      self.noteMirror(.tooMany, of: flow)
      return nil
    }
    self.mirrorCalls += 1
    self.counters.mirrored &+= 1
    let call = HTTPMirrorCall(head, isHead: isHead, isWhole: isWhole, of: flow, from: origin, in: self)
    self.add(call)
    call.begin(in: target.share)
    return call
  }

  /// Nobody is answered for it: counted and said, but not more often than a log bears.
  func noteMirror(_ failure: HTTPMirrorCall.Failure, of flow: AcceptedFlow) {
    self.count(failure.rawValue)
    self.say("a copy of a request did not reach its mirror", flow, [LogKey.reason: "\(failure.rawValue)"])
  }
}
