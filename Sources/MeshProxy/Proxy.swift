import Glibc
package import Logging
import MeshBase
import MeshLink
import MeshNet
import MeshRouting
import MeshSnapshot
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The node proxy as a service: runs until graceful shutdown, then drains.
package struct Proxy: Service {
  private let configuration: ProxyConfiguration
  private let logger: Logger

  package init(_ configuration: ProxyConfiguration, logger: Logger) {
    self.configuration = configuration
    self.logger = logger
  }

  package func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let group = MultiThreadedEventLoopGroup(
      numberOfThreads: self.configuration.loops > 0 ? self.configuration.loops : System.coreCount)
    // The link has a loop of its own, so that a large revision delays no connection.
    let linkGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let result: Result<Void, any Error>
    do {
      if self.configuration.staticRelays.isEmpty {
        try await self.serve(group, linkGroup)
      } else {
        try await self.serveStatic(group)
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try? await linkGroup.shutdownGracefully()
    try? await group.shutdownGracefully()
    try result.get()
  }

  private var idleTimeout: TimeAmount? { self.configuration.idleTimeoutSeconds.map { .seconds($0) } }

  private func serve(_ group: MultiThreadedEventLoopGroup, _ linkGroup: MultiThreadedEventLoopGroup) async throws {
    let orders = Orders()
    let stock = StockRoom { shelf, count in
      orders.send(
        .stockWanted(StockRequest(workload: shelf.workload, isV4: shelf.isV4, count: UInt32(clamping: count))))
    }
    let relay = Relay(
      group: group, stock: stock, idleTimeout: self.idleTimeout, logger: self.logger)
    let listeners = ProxyListeners(relay: relay)
    let agent = AgentEvents(
      relay: relay, stock: stock, listeners: listeners, loop: linkGroup.next(), orders: orders, logger: self.logger)
    let link = ProxyLinkClient(
      configuration: .init(runDirectory: self.configuration.runDirectory), group: linkGroup, logger: self.logger,
      onEvent: { agent.handle($0) })
    orders.use(link)
    self.logger.info("proxy starts", metadata: [LogKey.version: "\(MeshBase.version)", LogKey.process: "\(getpid())"])
    link.start()
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled, !agent.isSuperseded {
        try? await Task.sleep(for: .seconds(1))
        stock.tick()
        if let counters = try? await relay.counters() { link.send(.stats(ProxyStats(counters))) }
      }
    }
    self.logger.info("proxy drains")
    listeners.drain()
    await self.drain(relay)
    link.stop()
  }

  private func serveStatic(_ group: MultiThreadedEventLoopGroup) async throws {
    let relay = Relay(group: group, stock: nil, idleTimeout: self.idleTimeout, logger: self.logger)
    try await relay.use(try RoutingTable(static: self.configuration.staticRelays)).get()
    var channels: [any Channel] = []
    for entry in self.configuration.staticRelays {
      let flow = AcceptedFlow(original: entry.listen, sourceWorkload: 0, namespaceCookie: 0)
      channels.append(
        try await relay.listen(try LocalListener.open(entry.listen), .init { _ in .success(flow) }).get())
      self.logger.info("static relay", metadata: [LogKey.path: "\(entry)"])
    }
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
    }
    for channel in channels { try? await channel.close() }
    await self.drain(relay)
  }

  /// Waits until the last connection is done, or the drain timeout is over; then what is left ends with RST.
  private func drain(_ relay: Relay) async {
    let deadline = NIODeadline.now() + .seconds(self.configuration.drainTimeoutSeconds)
    while NIODeadline.now() < deadline, let counters = try? await relay.counters(), counters.active > 0 {
      try? await Task.sleep(for: .milliseconds(100))
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
  convenience init(static relays: [StaticRelay]) throws(MeshError) {
    var snapshot = Snapshot()
    for (number, relay) in relays.enumerated() {
      guard let name = ResourceName(namespace: "static", name: "relay-\(number)") else { continue }
      guard
        snapshot.services.values.allSatisfy({
          !$0.value.addresses.contains(relay.listen.address)
            || $0.value.ports.first?.port != relay.listen.port
        })
      else { throw MeshError(.conflict, "static relay \(relay)", "the address is taken twice") }
      let port = ServicePort(
        port: relay.listen.port, backends: [Backend(service: name, port: relay.listen.port)])
      let endpoint = Endpoint(
        addresses: [relay.upstream.address],
        ports: [PortMapping(servicePort: relay.listen.port, targetPort: relay.upstream.port)])
      let version = ContentVersion(of: relay.description.utf8)
      snapshot.insert(
        Versioned(
          .service(ServiceEntry(name: name, addresses: [relay.listen.address], ports: [port])), version: version))
      snapshot.insert(Versioned(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version))
    }
    self.init(snapshot)
  }
}
