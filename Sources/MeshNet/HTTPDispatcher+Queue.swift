import MeshHTTP
import MeshRouting

/// Where there may be no more connections: the request waits for its turn.
extension HTTPDispatcher {
  /// False: it may not, or as many wait as may.
  func queueUp(for key: UpstreamPool.Key, isHTTP2: Bool, _ share: RoutingTable.Share) -> Bool {
    guard self.mayQueue else {
      share.record.overflowed(.connections)
      return false
    }
    let mayReuse = self.dispatch.exchange.mayReuse
    guard let place = self.loop.queue(self, for: key, isHTTP2: isHTTP2, share, mayReuse: mayReuse) else { return false }
    self.dispatch.queues(at: place, now: self.loop.now)
    return true
  }

  /// There may be one more connection, and it is this request's.
  func granted(_ place: HTTPPlace, _ permit: consuming UpstreamRecord.Permit) {
    guard self.dispatch.leaves(place, in: self.loop), let share = self.dispatch.share else { return }
    // Of what it was chosen by, nothing may be left: the address may be somebody else's by now.
    guard place.tableNumber == self.loop.tableNumber || self.loop.table?.leads(to: place.key.target) == true else {
      drop(permit)
      return self.perform(self.dispatch.chooseAnew(of: self.flow, in: self.loop))
    }
    guard let block = self.dispatch.block else {
      self.dial(place.key, share, permit)
      return self.moved()
    }
    if let shared = self.loop.sharedHTTP2Upstream(place.key, share, self.dispatch.exchange) {
      self.go(block, on: shared, isFresh: false)
    } else {
      let fresh = self.loop.freshHTTP2Upstream(place.key, self.flow, share, permit)
      self.go(block, on: fresh, isFresh: true)
      // Others that wait for the same may come along.
      fresh.tellRoom()
    }
    self.moved()
  }

  /// A connection is done with the request before.
  func roomLeft(_ place: HTTPPlace, on upstream: HTTPUpstream) {
    guard self.dispatch.leaves(place, in: self.loop) else { return upstream.close() }
    upstream.terms = self.loop.terms(self.dispatch.share)
    self.go(on: upstream)
  }

  /// A connection has room for one more request.
  func roomLeft(_ place: HTTPPlace, on upstream: HTTP2Upstream) {
    guard self.dispatch.leaves(place, in: self.loop), let block = self.dispatch.block else { return }
    upstream.terms = self.loop.terms(self.dispatch.share)
    self.go(block, on: upstream, isFresh: false)
    self.moved()
  }
}

/// Gives it back.
private func drop(_ permit: consuming UpstreamRecord.Permit) {}
