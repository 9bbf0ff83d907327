import Glibc
package import Logging
import MeshBase
import MeshLink
package import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The node proxy as a service: runs until graceful shutdown, then drains.
package struct Proxy: Service {
  private let configuration: ProxyConfiguration
  private let logger: Logger
  private let flow: @Sendable (UInt64) -> Relay.Listener

  /// - flow: how the flow of a connection is found, by the cookie of its listener's namespace; the kernel knows it.
  package init(
    _ configuration: ProxyConfiguration, logger: Logger,
    flow: @escaping @Sendable (UInt64) -> Relay.Listener = { .kernel(namespaceCookie: $0) }
  ) {
    self.configuration = configuration
    self.logger = logger
    self.flow = flow
  }

  package func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    if self.configuration.staticEntries.isEmpty {
      // The link has a loop of its own, so that a large revision delays no connection.
      let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
      let result: Result<Void, any Error>
      do {
        try await self.serve(group)
        result = .success(())
      } catch {
        result = .failure(error)
      }
      try? await group.shutdownGracefully()
      try result.get()
    } else {
      try await self.serveStatic()
    }
  }

  private func makeRelay(
    _ stock: StockRoom?, _ settings: RequestSettings, accessLog: AccessLog?, certificates: CertificateShelf? = nil,
    strain: SharedStrain
  ) throws -> Relay {
    try Relay(
      loops: self.configuration.loops > 0 ? self.configuration.loops : System.coreCount, stock: stock,
      idleTimeout: self.configuration.idleTimeoutSeconds.map { .seconds($0) },
      http: settings.parsesHTTP ? settings.http(.defaults) : nil, accessLog: accessLog,
      certificates: certificates, strain: strain, logger: self.logger)
  }

  private func serve(_ group: MultiThreadedEventLoopGroup) async throws {
    let orders = Orders()
    let drain = DrainOrders()
    let stock = StockRoom { shelf, count in
      orders.send(
        .stockWanted(
          StockRequest(
            workload: shelf.workload, isV4: shelf.isV4, count: UInt32(clamping: count), destination: shelf.destination)
        ))
    }
    let settings = RequestSettings(self.configuration)
    let logs = AccessLogs(logger: self.logger)
    let strain = SharedStrain()
    let tunnels = ProxyTunnels(logger: self.logger)
    let relay = try self.makeRelay(
      stock, settings, accessLog: try logs.become(settings.accessLog(.defaults)).log,
      certificates: tunnels.certificates, strain: strain)
    let listeners = ProxyListeners(relay: relay, flow: self.flow, tunnels: tunnels)
    let names = try ProxyNames(stock: stock, order: { orders.send(.stockWanted($0)) }, logger: self.logger)
    let agent = AgentEvents(
      relay: relay, stock: stock, listeners: listeners, names: names,
      requests: RequestSwitch(settings, relay: relay, logs: logs, logger: self.logger),
      tunnels: tunnels, orders: orders, drain: drain,
      locality: self.configuration.locality, logger: self.logger)
    var linked = ProxyLinkClient.Configuration(runDirectory: self.configuration.runDirectory)
    if let spoken = self.configuration.linkProtocol { linked.spoken = spoken }
    let link = ProxyLinkClient(
      configuration: linked, group: group, logger: self.logger, onEvent: { agent.handle($0) })
    orders.use(link)
    self.logger.info("proxy starts", metadata: [LogKey.version: "\(MeshBase.version)", LogKey.process: "\(getpid())"])
    link.start()
    await withTaskGroup(of: Void.self) { tasks in
      tasks.addTask { await Self.watchLoops(of: relay, self.logger) }
      tasks.addTask { await Self.watchMemory(for: strain, of: relay, self.logger) }
      // Through the drain as well: what was accepted last may wait for a socket of the agent.
      tasks.addTask {
        var report = StatsReport()
        var logged = AccessLog.Counters()
        var endpoints = EndpointTelling()
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(1))
          stock.tick()
          let now = Relay.clock()
          if let table = agent.currentTable {
            EndpointTelling.tick(table, now: now, self.logger)
            for message in endpoints.messages(table, isNewAgent: agent.takeNewAgent(), now: now) { link.send(message) }
          }
          guard report.isDue() else { continue }
          await Self.tellRequests(of: relay, to: link)
          let counters = await relay.counters()
          let stats = ProxyStats(counters)
          let asked =
            await names.tick() + Self.tell(logs.counters, since: &logged, self.logger) + Self.routeWork(counters)
            + (agent.currentTable.map { EndpointTelling.counts($0, now: now) } ?? [])
          guard report.isNews(stats, asked) else { continue }
          link.send(.stats(stats))
          link.send(.costs(await relay.takeCosts()))
          if !asked.isEmpty { link.send(.nameStats(asked)) }
        }
      }
      await cancelWhenGracefulShutdown { await drain.first() }
      if drain.deadline == nil { drain.give(.seconds(self.configuration.drainTimeoutSeconds)) }
      self.logger.info("proxy drains", metadata: [LogKey.process: "\(getpid())"])
      listeners.drain()
      async let namesEnd: Void = names.end()
      // Every loop answers, after it let go of its listeners: now it is true.
      _ = await relay.counters()
      link.sayDraining()
      await self.drain(relay, until: { drain.deadline ?? .now })
      await namesEnd
      tasks.cancelAll()
    }
    await Self.tellRequests(of: relay, to: link)
    link.stop()
    await relay.stop()
    await logs.stop()
  }

  /// What became of the entries of the access log; what is new of those that were dropped is said as well.
  private static func tell(
    _ counters: AccessLog.Counters?, since last: inout AccessLog.Counters, _ logger: Logger
  ) -> [NamedCount] {
    guard let counters else { return [] }
    let (overflowed, failed) = (counters.overflowed - last.overflowed, counters.failed - last.failed)
    if overflowed > 0 || failed > 0 {
      logger.warning(
        "entries of the access log were dropped",
        metadata: ["overflowed": "\(overflowed)", "failed": "\(failed)"])
    }
    last = counters
    return [
      NamedCount(AccessLogMetrics.written, counters.written),
      NamedCount(AccessLogMetrics.overflowed, counters.overflowed),
      NamedCount(AccessLogMetrics.failed, counters.failed),
    ]
  }

  /// Nothing of what no route has asked for yet.
  private static func routeWork(_ counters: RelayCounters) -> [NamedCount] {
    [
      NamedCount(RouteWorkMetrics.retries, counters.retries), NamedCount(RouteWorkMetrics.mirrored, counters.mirrored),
      NamedCount(RouteWorkMetrics.delayed, counters.delayed), NamedCount(RouteWorkMetrics.aborted, counters.aborted),
    ].filter { $0.count > 0 }
  }

  /// In frames of a bounded size. What is told while no agent is there is not counted.
  private static func tellRequests(of relay: Relay, to link: ProxyLinkClient) async {
    var rest = await relay.takeRequests()[...]
    while !rest.isEmpty {
      link.send(.requests(Array(rest.prefix(self.requestsInFrame))))
      rest = rest.dropFirst(self.requestsInFrame)
    }
  }

  private static let requestsInFrame = 1_000

  private func serveStatic() async throws {
    var settings = RequestSettings(self.configuration)
    settings.parsesHTTP = true
    let logs = AccessLogs(logger: self.logger)
    let relay = try self.makeRelay(
      nil, settings, accessLog: try logs.become(settings.accessLog(.defaults)).log, strain: SharedStrain())
    await relay.use(
      try RoutingTable(
        static: self.configuration.staticRelays, http: self.configuration.staticHTTP,
        grpc: self.configuration.staticGRPC))
    var listeners: [RelayListener] = []
    for entry in self.configuration.staticEntries {
      let flow = AcceptedFlow(original: entry.listen, sourceWorkload: 0, namespaceCookie: 0)
      listeners.append(try relay.listen(try LocalListener.open(entry.listen), .init { _ in .success(flow) }))
      self.logger.info("static relay", metadata: [LogKey.path: "\(entry)"])
    }
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
    }
    for listener in listeners { listener.close() }
    let deadline = ContinuousClock.now + .seconds(self.configuration.drainTimeoutSeconds)
    await self.drain(relay, until: { deadline })
    await relay.stop()
    await logs.stop()
  }

  /// Waits until the last connection is done, or the deadline, which may come nearer, is over; then what is left ends with RST.
  private func drain(_ relay: Relay, until deadline: () -> ContinuousClock.Instant) async {
    relay.drain()
    while ContinuousClock.now < deadline(), await relay.counters().active > 0 {
      guard (try? await Task.sleep(for: .milliseconds(100))) != nil else { break }
    }
    relay.abortAll()
  }
}

extension ProxyStats {
  init(_ counters: RelayCounters) {
    self.init(
      active: counters.active, accepted: counters.accepted, relayed: counters.relayed, sentBytes: counters.sentBytes,
      receivedBytes: counters.receivedBytes,
      refused: counters.refused.sorted { $0.key < $1.key }.map { .init(reason: $0.key, count: $0.value) })
  }
}

extension RoutingTable {
  /// A table for relays that no control plane knows.
  ///
  /// - http: of requests; those to `bench.test/api` go on with a field more, so that benchmarks measure a route.
  convenience init(static relays: [StaticRelay], http: [StaticRelay] = [], grpc: [StaticRelay] = []) throws(MeshError) {
    var snapshot = Snapshot()
    for (number, relay) in (relays + http + grpc).enumerated() {
      guard let name = ResourceName(namespace: "static", name: "relay-\(number)") else { continue }
      guard
        snapshot.services.values.allSatisfy({
          !$0.value.addresses.contains(relay.listen.address)
            || $0.value.ports.first?.port != relay.listen.port
        })
      else { throw MeshError(.conflict, "static relay \(relay)", "the address is taken twice") }
      var port = ServicePort(
        port: relay.listen.port, backends: [Backend(service: name, port: relay.listen.port)])
      if number >= relays.count {
        port.appProtocol = number < relays.count + http.count ? .http : .grpc
        port.routing = HTTPRouting(rules: Self.staticRules(name, port: relay.listen.port))
      }
      let endpoint = Endpoint(
        addresses: [relay.upstream.address],
        ports: [PortMapping(servicePort: relay.listen.port, targetPort: relay.upstream.port)])
      let version = ContentVersion(of: relay.description.utf8)
      snapshot.insert(
        VersionedEntry(
          .service(ServiceEntry(name: name, addresses: [relay.listen.address], ports: [port])), version: version))
      snapshot.insert(
        VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version))
    }
    self.init(snapshot)
  }

  private static func staticRules(_ name: ResourceName, port: UInt16) -> [HTTPRule] {
    let backends = [HTTPBackend(service: name, port: port)]
    let edit = HeaderEdit(set: [HeaderField(name: "x-static", value: "1")])
    return [
      HTTPRule(
        origin: RouteOrigin(kind: .http, name: name, rule: 0), hostnames: ["bench.test"],
        matches: [HTTPMatch(path: .prefix("/api"))], filters: [.requestHeaders(edit)], backends: backends),
      HTTPRule(
        origin: RouteOrigin(kind: .http, name: name, rule: 1), matches: [HTTPMatch(path: .prefix("/"))],
        backends: backends),
    ]
  }
}
