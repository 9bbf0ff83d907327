import Logging
import MeshBase
import MeshDNS
import MeshLink
import MeshNet
import MeshSnapshot
import Synchronization

/// The name server of the proxy: its sockets, its name servers, and its names, as the agent says. May be called from any
/// thread.
final class ProxyNames: Sendable {
  private struct State {
    /// The agent's numbers of the workloads, by namespace.
    var workloads: [UInt64: UInt32] = [:]
    /// Namespaces whose sockets come from the agent that is there now.
    var renewed: Set<UInt64> = []
    /// What the zone is made of as soon as somebody asks. Nil: the zone is made.
    var snapshot: Snapshot?
    var counters = ResolverCounters()
  }

  private final class Inside: Sendable {
    let state = Mutex(State())
  }

  private let inside: Inside
  private let server: NameServer
  private let logger: Logger

  /// - stock: where TCP sockets come from.
  /// - order: asks the agent for UDP sockets.
  init(
    stock: StockRoom, order: @escaping @Sendable (StockRequest) -> Void, logger: Logger
  ) throws(MeshError) {
    let inside = Inside()
    self.inside = inside
    self.logger = logger
    // Without a number, between two agents, an order is lost; the server gives it again.
    self.server = try NameServer.start(
      supply: .init(
        orderDatagrams: { place, count in
          guard let workload = inside.state.withLock({ $0.workloads[place.namespace] }) else { return }
          order(
            StockRequest(workload: workload, isV4: place.isV4, count: UInt32(clamping: count), isForNames: true))
        },
        stream: { place in
          guard let workload = inside.state.withLock({ $0.workloads[place.namespace] }) else { return nil }
          return stock.takeIfThere(StockRoom.Shelf(workload: workload, isV4: place.isV4))
        }), logger: logger)
  }

  /// A (new) agent is there: it hands everything over again.
  func agentConnected() {
    self.inside.state.withLock { $0.renewed = [] }
  }

  /// The zone is only made if somebody can ask it.
  func use(_ snapshot: Snapshot) {
    // Made under the lock, so that an older zone never follows a newer one.
    self.inside.state.withLock { state in
      if state.workloads.isEmpty { state.snapshot = snapshot } else { self.server.use(MeshZone(snapshot)) }
    }
  }

  /// Answers on `descriptor`, which is this call's.
  func adopt(_ descriptor: CInt, _ transport: DNSTransport, _ key: ListenerKey) throws(MeshError) {
    let isNew = self.inside.state.withLock { state in
      state.workloads[key.namespaceCookie] = key.workload
      if let snapshot = state.snapshot { self.server.use(MeshZone(snapshot)) }
      state.snapshot = nil
      return state.renewed.insert(key.namespaceCookie).inserted
    }
    if isNew { self.server.renewSupply(namespace: key.namespaceCookie) }
    try self.server.listen(
      descriptor, transport, at: NameServer.Place(namespace: key.namespaceCookie, isV4: key.isV4))
  }

  func use(_ servers: [SocketEndpoint], for namespace: UInt64) { self.server.use(servers, for: namespace) }

  func deposit(_ sockets: [CInt], namespace: UInt64, isV4: Bool) {
    self.server.deposit(sockets, at: NameServer.Place(namespace: namespace, isV4: isV4))
  }

  func withdraw(workload: UInt32) {
    let gone = self.inside.state.withLock { state in
      let gone = state.workloads.filter { $0.value == workload }.map(\.key)
      for namespace in gone {
        state.workloads[namespace] = nil
        state.renewed.remove(namespace)
      }
      return gone
    }
    for namespace in gone { self.server.withdraw(namespace: namespace) }
  }

  func retain(namespaceCookies: [UInt64]) {
    self.inside.state.withLock { state in
      state.workloads = state.workloads.filter { namespaceCookies.contains($0.key) }
      // Name servers can come before the sockets; an order that was given for them is lost, so it is given again.
      state.renewed.formIntersection(namespaceCookies)
    }
    self.server.retain(namespaces: namespaceCookies)
  }

  /// Once a second: says what went wrong since the last time, and returns what was done since the start.
  func tick() async -> [NamedCount] {
    let (isAsked, last) = self.inside.state.withLock { (!$0.workloads.isEmpty, $0.counters) }
    guard isAsked else { return Self.counts(last) }
    let now = await self.server.counters()
    let before = self.inside.state.withLock { state in
      defer { state.counters = now }
      return state.counters
    }
    let wrong: [(String, UInt64)] = [
      ("overloaded", now.overloaded &- before.overloaded), ("mismatched", now.mismatched &- before.mismatched),
      ("malformed", now.malformed &- before.malformed), ("filtered", now.filtered &- before.filtered),
      ("exhausted", now.exhausted &- before.exhausted),
    ]
    for (reason, count) in wrong where count > 0 {
      self.logger.notice("names", metadata: [LogKey.reason: "\(reason)", LogKey.count: "\(count)"])
    }
    return Self.counts(now)
  }

  private static func counts(_ counters: ResolverCounters) -> [NamedCount] {
    counters.named.map { NamedCount($0.name, $0.count) }
  }

  /// Takes no more questions, waits for those that are under way, and ends. They end by themselves within seconds
  /// (`ResolverLimits.questionTimeout`).
  func end() async {
    self.server.drain()
    let deadline = ContinuousClock.now + .seconds(5)
    while ContinuousClock.now < deadline, await self.server.waiting() > 0 {
      guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
    }
    await self.server.stop()
  }
}
