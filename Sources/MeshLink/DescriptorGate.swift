import MeshBase
import Synchronization

/// Descriptors and orders come by two sockets, in no order between them. An order to close a workload's sockets must not close
/// those that were handed over after it, and a workload's name has to be known before its connections are accepted, so
/// descriptors that overtook one wait here until it was obeyed. And it must close those that were handed over before it, so
/// descriptors that it overtook are closed when they come.
///
/// ```
/// agent:  order 1, order 2, descriptor (after 2)              agent:  descriptor (after 0), order 1
/// proxy:  descriptor ─► waits ─► order 1 ─► order 2 ─► passes  proxy:  order 1 ─► descriptor ─► closed if order 1 concerns it
/// ```
final class DescriptorGate: Sendable {
  /// One connection.
  struct State: Sendable {
    enum Arrival: Sendable, Equatable {
      case passes
      case waits
      /// An order that was sent after them closes them.
      case isTooLate
    }

    struct Waiting: Sendable {
      var header: DescriptorHeader
      var descriptors: [CInt]
    }

    private struct Obeyed: Sendable {
      var number: UInt64
      var order: AgentMessage
    }

    /// Descriptors that more orders than these overtook pass: the next connect says what remains.
    static let maximumOrders = 4096

    /// Something came already.
    fileprivate var isHeard = false
    private var obeyed: UInt64 = 0
    private(set) var waiting: [Waiting] = []
    /// Those that may have overtaken descriptors which are still on their way.
    private var orders: [Obeyed] = []

    var overtaking: Int { self.orders.count }

    mutating func arrived(_ header: DescriptorHeader, _ descriptors: [CInt]) -> Arrival {
      guard !header.kind.isStock else { return .passes }
      guard header.after <= self.obeyed else {
        self.waiting.append(Waiting(header: header, descriptors: descriptors))
        return .waits
      }
      // Descriptors come in the order in which they were sent: what follows these was sent after those orders as well.
      self.orders.removeAll { $0.number <= header.after }
      return self.orders.contains { $0.order.closes(header) } ? .isTooLate : .passes
    }

    /// One more order was obeyed. Returns who may pass now, in the order of arrival.
    mutating func obeyed(_ order: AgentMessage) -> [Waiting] {
      self.obeyed += 1
      if order.closesDescriptors {
        if self.orders.count == Self.maximumOrders { self.orders.removeFirst() }
        self.orders.append(Obeyed(number: self.obeyed, order: order))
      }
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

  /// Held while descriptors are delivered and while an order is obeyed, so that neither happens in the middle of the other.
  private let state = Mutex(State())
  private let first: @Sendable () -> Void
  private let deliver: @Sendable (DescriptorHeader, [CInt]) -> Void

  /// - first: called once, at the first word or descriptor of the connection, before that one is dealt with.
  init(
    first: @escaping @Sendable () -> Void = {}, deliver: @escaping @Sendable (DescriptorHeader, [CInt]) -> Void
  ) {
    self.first = first
    self.deliver = deliver
  }

  /// The stream bore something, on the link's event loop.
  func spoke() { self.state.withLock { self.hear(&$0) } }

  private func hear(_ state: inout State) {
    guard !state.isHeard else { return }
    state.isHeard = true
    self.first()
  }

  /// On the thread that reads them.
  func arrived(_ header: DescriptorHeader, _ descriptors: [CInt]) {
    self.state.withLock { state in
      self.hear(&state)
      switch state.arrived(header, descriptors) {
      case .passes: self.deliver(header, descriptors)
      case .waits: break
      case .isTooLate: DescriptorSender.close(descriptors)
      }
    }
  }

  /// On the link's event loop.
  ///
  /// - handle: does what the order says.
  func obey(_ order: AgentMessage, _ handle: () -> Void) {
    self.state.withLock { state in
      handle()
      for one in state.obeyed(order) { self.deliver(one.header, one.descriptors) }
    }
  }

  /// When the thread that reads is done: nothing arrives any more. The agent hands everything over again.
  func end() {
    for one in self.state.withLock({ $0.end() }) { DescriptorSender.close(one.descriptors) }
  }
}
