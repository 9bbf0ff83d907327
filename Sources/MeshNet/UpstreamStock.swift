/// Fresh unconnected sockets of one {workload, family}, made and tagged by the agent, and who waits for one.
///
/// The number kept follows demand: 32 at first (what a node lives on while its agent is away), doubled whenever a connection
/// finds none, 256 at most; half of it is the mark under which more are asked for. Sockets are plain numbers here: whoever
/// takes one out owns it.
package struct UpstreamStock: Sendable {
  /// Names a waiting connection.
  package struct Waiter: Hashable, Sendable {
    package var loop: Int
    package var connection: UInt64

    package init(loop: Int, connection: UInt64) {
      self.loop = loop
      self.connection = connection
    }
  }

  package enum Take: Equatable, Sendable {
    case socket(CInt)
    case wait
  }

  package struct Delivery: Equatable, Sendable {
    package var waiter: Waiter
    package var socket: CInt

    package init(waiter: Waiter, socket: CInt) {
      self.waiter = waiter
      self.socket = socket
    }
  }

  package static let firstTarget = 32
  /// Of one {workload, destination, family}: there may be many pairs.
  package static let firstTargetAcross = 8
  package static let lastTarget = 256

  package private(set) var target: Int
  private(set) var sockets: [CInt] = []
  private(set) var waiters: [Waiter] = []
  /// Asked for and not here yet.
  private(set) var outstanding = 0
  private var isStale = false

  package init(target: Int = Self.firstTarget) { self.target = target }

  /// A socket, or a place in the queue.
  package mutating func take(_ waiter: Waiter) -> Take {
    if let socket = self.sockets.popLast() { return .socket(socket) }
    self.target = min(self.target * 2, Self.lastTarget)
    self.waiters.append(waiter)
    return .wait
  }

  /// A socket for who cannot wait.
  package mutating func takeIfThere() -> CInt? {
    let socket = self.sockets.popLast()
    if socket == nil { self.target = min(self.target * 2, Self.lastTarget) }
    return socket
  }

  package enum Return: Equatable, Sendable {
    /// The first who waits gets it.
    case delivery(Delivery)
    case kept
    /// More than are kept: close it.
    case surplus
  }

  /// A socket that can serve again.
  package mutating func giveBack(_ socket: CInt) -> Return {
    if !self.waiters.isEmpty { return .delivery(Delivery(waiter: self.waiters.removeFirst(), socket: socket)) }
    guard self.sockets.count < self.target else { return .surplus }
    self.sockets.append(socket)
    return .kept
  }

  /// Something was asked for that did not come yet.
  package var isWaitingForSupply: Bool { self.outstanding > 0 }

  /// How many to ask the agent for now; they count as under way from here on.
  package mutating func order() -> Int {
    let have = self.sockets.count + self.outstanding - self.waiters.count
    guard have < self.target / 2 else { return 0 }
    let wanted = self.target - have
    self.outstanding += wanted
    return wanted
  }

  /// Sockets came: those who wait get theirs first, in order.
  package mutating func deposit(_ fresh: [CInt]) -> [Delivery] {
    self.outstanding = max(0, self.outstanding - fresh.count)
    self.isStale = false
    let served = min(fresh.count, self.waiters.count)
    let deliveries = zip(self.waiters.prefix(served), fresh).map { Delivery(waiter: $0, socket: $1) }
    self.waiters.removeFirst(served)
    self.sockets += fresh.dropFirst(served)
    return deliveries
  }

  /// The connection waits no more.
  package mutating func cancel(_ waiter: Waiter) {
    self.waiters.removeAll { $0 == waiter }
  }

  /// Called about once a second: an order that nothing came of in a whole second is taken for lost.
  package mutating func tick() {
    if self.outstanding > 0, self.isStale { self.outstanding = 0 }
    self.isStale = self.outstanding > 0
  }

  /// The agent that gave these sockets is gone: they come back for closing, and orders to it are lost. Waiters stay.
  package mutating func reset() -> [CInt] {
    defer {
      self.sockets = []
      self.outstanding = 0
    }
    return self.sockets
  }
}
