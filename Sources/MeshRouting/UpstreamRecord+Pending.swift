package import MeshBase
package import MeshSnapshot
import Synchronization

/// Connections that are of use to each other's requests: of one loop, for one workload, to one endpoint, in one version of HTTP.
package struct PendingLane: Hashable, Sendable {
  package var loop: Int
  package var workload: UInt32
  package var namespaceCookie: UInt64
  package var target: SocketEndpoint
  package var isHTTP2: Bool

  package init(loop: Int, workload: UInt32, namespaceCookie: UInt64, target: SocketEndpoint, isHTTP2: Bool) {
    self.loop = loop
    self.workload = workload
    self.namespaceCookie = namespaceCookie
    self.target = target
    self.isHTTP2 = isHTTP2
  }
}

/// A request that waits for a connection, as the record knows it.
package struct PendingWaiter: Sendable {
  /// Its loop's number for it.
  package var place: UInt64
  /// Connections that there may be.
  var limit: UInt32
  /// One more connection is counted, and the waiter's; it is taken over by `takeGranted`. On any thread. False: nobody is there.
  var wake: @Sendable () -> Bool

  package init(place: UInt64, limit: UInt32, wake: @escaping @Sendable () -> Bool) {
    self.place = place
    self.limit = limit
    self.wake = wake
  }
}

/// The queue of requests that wait because there may be no more connections. It is one for all loops, and its lock is taken only
/// where somebody waits.
///
/// No wake-up is lost: who is new looks for room once more after it is in the queue, and who ends a connection looks for waiters
/// after it is counted no more; both are sequentially consistent, so that at least one of the two sees the other (Dekker).
extension UpstreamRecord {
  /// Where the policy says nothing.
  package static let mostPending: UInt32 = 1_024

  /// Somebody waits for a connection: others come after it, and a connection at rest is not kept.
  package var isWaitedFor: Bool { self.waiting.load(ordering: .sequentiallyConsistent) > 0 }

  /// Its number, for `leave`. Nil: as many wait as may.
  package func enter(_ waiter: PendingWaiter, _ lane: PendingLane?, _ limits: ConnectionLimits?) -> UInt64? {
    let most = Int(limits?.pendingRequests ?? Self.mostPending)
    let number: UInt64? = self.pending.withLock { queue in
      guard queue.count < most else { return nil }
      let number = queue.add(waiter, lane: lane)
      self.waiting.store(queue.count, ordering: .sequentiallyConsistent)
      return number
    }
    if number == nil { self.overflowed(.pendingRequests) } else { self.grant() }
    return number
  }

  /// It waits no more; nothing, if it has been woken.
  package func leave(_ number: UInt64) {
    self.pending.withLock { queue in
      queue.remove(number)
      self.waiting.store(queue.count, ordering: .sequentiallyConsistent)
    }
    // The next may have a limit of its own.
    self.grant()
  }

  /// Who may have what a connection of this lane has room for: its place. Nil: nobody, so that a connection at rest makes room.
  package func takeWaiting(_ lane: PendingLane) -> UInt64? {
    guard self.isWaitedFor else { return nil }
    return self.pending.withLock { queue in
      defer { self.waiting.store(queue.count, ordering: .sequentiallyConsistent) }
      return queue.take(lane)?.place
    }
  }

  /// The connection that a waiter was woken for.
  package func takeGranted() -> Permit { Permit(self, .connections) }

  /// As many as there is room for are woken.
  func grant() {
    while self.isWaitedFor {
      let woken: PendingWaiter? = self.pending.withLock { queue in
        guard let first = queue.first?.waiter, self.counts(.connections, upTo: first.limit) else { return nil }
        defer { self.waiting.store(queue.count, ordering: .sequentiallyConsistent) }
        return queue.takeFirst()
      }
      guard let woken else { return }
      if !woken.wake() { self.uncount(.connections) }
    }
  }
}
