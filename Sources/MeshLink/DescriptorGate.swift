import MeshBase
import Synchronization

/// Descriptors and orders come by two sockets, in no order between them. An order to close a workload's sockets must not close
/// those that were handed over after it, and a workload's name has to be known before its connections are accepted, so
/// descriptors that overtook one wait here until it was obeyed.
///
/// ```
/// agent:  order 1, order 2, descriptor (after 2)
/// proxy:  descriptor ─► waits ─► order 1 ─► order 2 ─► let through
/// ```
final class DescriptorGate: Sendable {
  /// One connection.
  struct State: Sendable {
    struct Waiting: Sendable {
      var header: DescriptorHeader
      var descriptors: [CInt]
    }

    private(set) var obeyed: UInt64 = 0
    private(set) var waiting: [Waiting] = []

    /// True: they may pass now.
    mutating func arrived(_ header: DescriptorHeader, _ descriptors: [CInt]) -> Bool {
      guard header.after > self.obeyed else { return true }
      self.waiting.append(Waiting(header: header, descriptors: descriptors))
      return false
    }

    /// One more order was obeyed. Returns who may pass now, in the order of arrival.
    mutating func obey() -> [Waiting] {
      self.obeyed += 1
      let free = self.waiting.filter { $0.header.after <= self.obeyed }
      self.waiting.removeAll { $0.header.after <= self.obeyed }
      return free
    }

    /// The connection is over: nobody tells more. Returns who waited in vain.
    mutating func end() -> [Waiting] {
      defer { self.waiting = [] }
      return self.waiting
    }
  }

  private let state = Mutex(State())
  private let deliver: @Sendable (DescriptorHeader, [CInt]) -> Void

  init(deliver: @escaping @Sendable (DescriptorHeader, [CInt]) -> Void) { self.deliver = deliver }

  /// On the thread that reads them.
  func arrived(_ header: DescriptorHeader, _ descriptors: [CInt]) {
    if self.state.withLock({ $0.arrived(header, descriptors) }) { self.deliver(header, descriptors) }
  }

  /// On the link's event loop, after the order's event was handled.
  func obeyed() {
    for one in self.state.withLock({ $0.obey() }) { self.deliver(one.header, one.descriptors) }
  }

  /// When the thread that reads is done: nothing arrives any more. The agent hands everything over again.
  func end() {
    for one in self.state.withLock({ $0.end() }) { DescriptorSender.close(one.descriptors) }
  }
}
