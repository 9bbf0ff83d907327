import MeshBase
import MeshRouting
import NIOCore
import NIOPosix

/// What one loop counts; totals but for `active`.
package struct RelayCounters: Sendable, Equatable {
  package var active: UInt64 = 0
  package var accepted: UInt64 = 0
  /// Connections that reached an upstream.
  package var relayed: UInt64 = 0
  /// From clients to upstreams.
  package var sentBytes: UInt64 = 0
  /// From upstreams to clients.
  package var receivedBytes: UInt64 = 0
  /// By reason word.
  package var refused: [String: UInt64] = [:]

  package init() {}

  package static func + (a: Self, b: Self) -> Self {
    var sum = a
    sum.active += b.active
    sum.accepted += b.accepted
    sum.relayed += b.relayed
    sum.sentBytes &+= b.sentBytes
    sum.receivedBytes &+= b.receivedBytes
    sum.refused.merge(b.refused, uniquingKeysWith: +)
    return sum
  }
}

/// A fast generator for choices by weight; not for secrets. SplitMix64 (Steele, Lea, Flood 2014).
struct LoopRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { self.state = seed }

  mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    var z = self.state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// Everything that one event loop knows: its table, its connections, its counters. Touched on that loop only.
final class RelayLoop {
  let number: Int
  let loop: any EventLoop
  let stock: StockRoom?
  let idleTimeout: TimeAmount?
  var table: RoutingTable?
  var counters = RelayCounters()
  var random = LoopRandom(seed: UInt64.random(in: 0...UInt64.max))
  private var connections: [UInt64: RelayConnection] = [:]
  private var lastConnection: UInt64 = 0
  /// Handlers with bytes written and not flushed, and those being flushed.
  private var dirty: [RelayHandler] = []
  private var flushing: [RelayHandler] = []

  init(number: Int, loop: any EventLoop, stock: StockRoom?, idleTimeout: TimeAmount?) {
    self.number = number
    self.loop = loop
    self.stock = stock
    self.idleTimeout = idleTimeout
  }

  /// In the initializer of an accepted channel: reads its flow and starts its relay, or closes it with RST.
  func accepted(_ channel: any Channel, by listener: Relay.Listener) -> EventLoopFuture<Void> {
    self.counters.accepted += 1
    let flow = channel.withDescriptor { descriptor -> Result<AcceptedFlow, AcceptedFlow.Refusal> in
      SocketTuning.apply(to: descriptor)
      return listener.flow(descriptor)
    }
    switch flow {
    case .success(let flow): return self.start(channel, flow)
    case .failure(let refusal): return self.refuse(channel, refusal)
    case nil: return self.refuse(channel, .noFlow)
    }
  }

  private func start(_ channel: any Channel, _ flow: AcceptedFlow) -> EventLoopFuture<Void> {
    self.lastConnection &+= 1
    let connection = RelayConnection(number: self.lastConnection, flow: flow, loop: self, client: channel)
    self.connections[connection.number] = connection
    self.counters.active += 1
    return self.loop.makeCompletedFuture { try connection.attach() }
  }

  private func refuse(_ channel: any Channel, _ refusal: AcceptedFlow.Refusal) -> EventLoopFuture<Void> {
    self.count(refusal.rawValue)
    channel.withDescriptor { SocketTuning.resetOnClose($0) }
    return self.loop.makeFailedFuture(refusal)
  }

  /// Writes out after every connection that was ready in this turn of the loop has been read: the peers are then woken
  /// once for many messages instead of for each.
  func flushSoon(_ handler: RelayHandler) {
    guard handler.markDirty() else { return }
    self.dirty.append(handler)
    guard self.dirty.count == 1 else { return }
    self.loop.assumeIsolated().execute { self.flushAll() }
  }

  private func flushAll() {
    swap(&self.dirty, &self.flushing)
    for handler in self.flushing { handler.flush() }
    self.flushing.removeAll(keepingCapacity: true)
  }

  func count(_ reason: String) { self.counters.refused[reason, default: 0] += 1 }

  func ended(_ connection: RelayConnection) {
    guard self.connections.removeValue(forKey: connection.number) != nil else { return }
    self.counters.active -= 1
  }

  /// A socket that a connection waited for. False: nobody waits any more, the socket is the caller's.
  func deliver(_ socket: CInt, to connection: UInt64) -> Bool {
    self.connections[connection]?.delivered(socket) ?? false
  }

  func abortAll(where condition: (AcceptedFlow) -> Bool) {
    for connection in Array(self.connections.values) where condition(connection.flow) { connection.abort() }
  }

  /// How often quiet connections are looked for.
  static let sweepInterval = TimeAmount.seconds(10)

  func sweep() {
    let limit = self.idleTimeout.map { max(1, Int($0.nanoseconds / Self.sweepInterval.nanoseconds)) }
    for connection in Array(self.connections.values) { connection.sweep(idleSweeps: limit) }
  }
}
