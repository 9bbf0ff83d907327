import Glibc
import Logging
import MeshBase
import MeshDNS
import MeshLink
import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import Synchronization

/// What the proxy asks of the agent, before and after the link exists.
final class Orders: Sendable {
  private let link = Mutex<ProxyLinkClient?>(nil)

  func use(_ link: ProxyLinkClient) { self.link.withLock { $0 = link } }

  func send(_ message: ProxyMessage) { self.link.withLock { $0 }?.send(message) }
}

/// When this proxy has to be done with what it has. Orders come from the agent, again from the next agent, or from a signal;
/// the earliest deadline holds.
final class DrainOrders: Sendable {
  private let state = Mutex<ContinuousClock.Instant?>(nil)
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init() {
    (self.stream, self.continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  var deadline: ContinuousClock.Instant? { self.state.withLock { $0 } }

  func give(_ time: Duration) {
    let deadline = ContinuousClock.now + time
    self.state.withLock { $0 = $0.map { min($0, deadline) } ?? deadline }
    self.continuation.yield()
  }

  /// Returns at the first order, or when the task is cancelled.
  func first() async {
    for await _ in self.stream { return }
  }
}

/// What follows from what the agent says.
final class AgentEvents: Sendable {
  private let relay: Relay
  private let stock: StockRoom
  private let listeners: ProxyListeners
  private let names: ProxyNames
  private let requests: RequestSwitch
  private let orders: Orders
  private let tunnels: ProxyTunnels
  private let locality: Locality
  let logger: Logger
  private let drain: DrainOrders
  /// Listeners that came before the first table: connections wait in them meanwhile, because without a table every one would
  /// be refused. Nil: there is a table.
  private let early = Mutex<[EarlyListener]?>([])
  private let table = Mutex<RoutingTable?>(nil)
  private let isAgentNew = Atomic<Bool>(false)

  private struct EarlyListener {
    var key: ListenerKey
    var descriptor: CInt
  }

  init(
    relay: Relay, stock: StockRoom, listeners: ProxyListeners, names: ProxyNames, requests: RequestSwitch,
    tunnels: ProxyTunnels, orders: Orders, drain: DrainOrders, locality: Locality, logger: Logger
  ) {
    self.tunnels = tunnels
    self.locality = locality
    self.requests = requests
    self.drain = drain
    self.names = names
    self.relay = relay
    self.stock = stock
    self.listeners = listeners
    self.orders = orders
    self.logger = logger
  }

  var currentTable: RoutingTable? { self.table.withLock { $0 } }

  /// Whether an agent came that has been told nothing yet; it is now.
  func takeNewAgent() -> Bool { self.isAgentNew.exchange(false, ordering: .relaxed) }

  func handle(_ event: AgentLinkEvent) {
    switch event {
    case .connected:
      self.logger.info("connected to the agent")
      self.stock.reset()
      self.names.agentConnected()
      self.isAgentNew.store(true, ordering: .relaxed)
    case .disconnected(let cause):
      self.stock.supplyEnded(now: Relay.clock())
      self.logger.debug("no agent", metadata: [LogKey.reason: "\(cause)"])
    case .snapshot(let snapshot, let revision):
      let table = self.table.withLock { last in
        let table = RoutingTable(snapshot, previous: last, locality: self.locality)
        last = table
        return table
      }
      for rule in table.unusable {
        self.logger.warning(
          "a match of a route never holds",
          metadata: [LogKey.route: "\(rule.origin.kind.rawValue) \(rule.origin.name)", LogKey.reason: "\(rule.why)"])
      }
      let orders = self.orders
      self.names.use(snapshot)
      if self.tunnels.use(snapshot) {
        let tunnels = self.tunnels
        self.relay.abortTunnelled { tunnels.denies($0) }
      }
      self.requests.use(snapshot)
      self.relay.use(table) {
        self.adoptEarlyListeners()
        orders.send(.applied(revision: revision))
      }
      self.logger.info(
        "revision applied", metadata: [LogKey.revision: "\(revision)", LogKey.count: "\(table.count)"])
    case .withdraw(let workload):
      self.dropEarlyListeners { $0.workload == workload }
      self.listeners.withdraw(workload: workload)
      self.names.withdraw(workload: workload)
      self.tunnels.withdraw(workload: workload)
    case .name(let workload, let name):
      self.relay.name(workload: workload, name)
      self.tunnels.name(workload: workload, name)
    case .retainListeners(let cookies):
      self.dropEarlyListeners { !cookies.contains($0.namespaceCookie) }
      self.listeners.retain(namespaceCookies: cookies)
    case .identity(let material): self.tunnels.use(material)
    case .trust(let domains): self.tunnels.trust(domains)
    case .retainIdentities(let identities): self.tunnels.retain(identities)
    case .retainNames(let cookies): self.names.retain(namespaceCookies: cookies)
    case .nameServers(let cookie, let servers): self.names.use(servers, for: cookie)
    case .drain(let milliseconds):
      self.drain.give(.milliseconds(Int64(clamping: milliseconds)))
    case .descriptors(let header, let descriptors): self.received(header, descriptors)
    }
  }

  private func received(_ header: DescriptorHeader, _ descriptors: [CInt]) {
    switch header.kind {
    case .stock:
      self.relay.deposit(
        descriptors,
        on: StockRoom.Shelf(workload: header.workload, isV4: header.isV4, destination: header.destination),
        namespaceCookie: header.namespaceCookie)
    case .nameStock:
      self.names.deposit(descriptors, namespace: header.namespaceCookie, isV4: header.isV4)
    case .nameDatagrams, .nameListener:
      for descriptor in descriptors { self.adoptName(descriptor, header) }
    case .listener, .tunnelListener:
      let key = ListenerKey(
        workload: header.workload, namespaceCookie: header.namespaceCookie, isV4: header.isV4,
        isTunnel: header.kind == .tunnelListener)
      for descriptor in descriptors {
        let waits = self.early.withLock { early in
          early?.append(EarlyListener(key: key, descriptor: descriptor))
          return early != nil
        }
        if !waits { self.adopt(descriptor, key) }
      }
    }
  }

  private func adopt(_ descriptor: CInt, _ key: ListenerKey) {
    do {
      try self.listeners.adopt(descriptor, key)
      self.orders.send(.listenerAccepted(key))
      self.stock.prepare(StockRoom.Shelf(workload: key.workload, isV4: key.isV4))
    } catch {
      self.logger.error(
        "cannot accept on a listener", metadata: [LogKey.workload: "\(key.workload)", LogKey.error: "\(error)"])
    }
  }

  private func adoptName(_ descriptor: CInt, _ header: DescriptorHeader) {
    let key = ListenerKey(
      workload: header.workload, namespaceCookie: header.namespaceCookie, isV4: header.isV4)
    do throws(MeshError) {
      try self.names.adopt(descriptor, header.kind == .nameDatagrams ? .udp : .tcp, key)
    } catch {
      self.logger.error(
        "cannot answer names", metadata: [LogKey.workload: "\(key.workload)", LogKey.error: "\(error)"])
    }
  }

  /// Under the lock: a withdrawal meanwhile waits, and then finds them.
  private func adoptEarlyListeners() {
    self.early.withLock { early in
      for listener in early ?? [] { self.adopt(listener.descriptor, listener.key) }
      early = nil
    }
  }

  private func dropEarlyListeners(where isGone: (ListenerKey) -> Bool) {
    let gone = self.early.withLock { early in
      let gone = early?.filter { isGone($0.key) } ?? []
      early?.removeAll { isGone($0.key) }
      return gone
    }
    for listener in gone { close(listener.descriptor) }
  }
}
