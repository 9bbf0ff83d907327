package import Logging
import MeshBase
import MeshLink
import MeshLinux
import MeshSync
import MeshTelemetry
import MeshWire
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The agent as one long task: sockets for the proxy, the proxy itself, the session, the timers, the HTTP endpoints.
///
/// Ending it ends nothing in the kernel: programs stay attached, the proxy serves on, and the next agent takes over.
package struct AgentService: Service {
  private let agent: Agent
  private let configuration: AgentConfiguration
  private let logger: Logger

  package init(_ configuration: AgentConfiguration, agent: Agent, logger: Logger) {
    self.configuration = configuration
    self.agent = agent
    self.logger = logger
  }

  /// At rest with every other scan: it wakes other threads.
  private static let socketMilliseconds: Int64 = 3000

  package func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let (events, continuation) = AsyncStream.makeStream(of: ProxyLinkEvent.self)
    let link = try await self.agent.openLink(group: group) { continuation.yield($0) }
    let session = await self.agent.makeSession()
    await self.agent.reconcileAtStart()
    await self.agent.adoptProxies(link)
    let http = AgentHTTP(self.endpoints, agent: self.agent, group: group)
    let sockets = AgentSockets(agent: self.agent, link: link, http: http, logger: self.logger)
    try await sockets.open()
    let scans = try self.agent.scans()
    self.agent.service.send(.ready)
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { tasks in
        tasks.addTask { await self.agent.sayAlive() }
        tasks.addTask { await self.agent.supervisor.run() }
        tasks.addTask {
          for await event in events {
            await self.agent.handle(event)
            await self.agent.supervise(event)
          }
        }
        tasks.addTask {
          var nextLook: Int64 = 0
          for await _ in scans {
            await self.agent.scan()
            let now = MonotonicClock.milliseconds
            guard now >= nextLook else { continue }
            nextLook = now + Self.socketMilliseconds
            await sockets.keep()
          }
        }
        tasks.addTask {
          await ContainerWatch(
            agent: self.agent, client: PodmanClient(socketPath: self.configuration.podmanSocket)
          ).run()
        }
        if let identity = self.agent.nodeIdentity { tasks.addTask { await identity.run() } }
        if let certificates = await self.agent.certificates {
          tasks.addTask { await certificates.run() }
          tasks.addTask { await self.agent.followCertificates() }
        }
        if let session {
          tasks.addTask {
            do {
              try await session.run()
            } catch {
              self.logger.error("session ended", metadata: [LogKey.error: "\(error)"])
            }
          }
        }
      }
    }
    self.agent.service.send(.stopping)
    await sockets.close()
    try? await group.shutdownGracefully()
  }

  private var endpoints: AgentHTTP.Configuration {
    var endpoints = AgentHTTP.Configuration(socketPath: self.configuration.agentSocket)
    endpoints.metrics = self.configuration.metricsAddress
    endpoints.health = self.configuration.healthAddress
    return endpoints
  }
}

extension Agent {
  func openLink(
    group: MultiThreadedEventLoopGroup, onEvent: @escaping @Sendable (ProxyLinkEvent) -> Void
  ) throws(MeshError) -> ProxyLinkServer {
    guard let user = ProcessIdentity.user(named: self.configuration.proxyUser) else {
      throw MeshError(.notFound, "user \(self.configuration.proxyUser)", "does not exist")
    }
    let cgroup = self.cgroups.proxy
    let roles = self.supervisor.roles
    var configuration = ProxyLinkServer.Configuration(
      runDirectory: self.configuration.runDirectory, proxyUser: user.uid, proxyGroup: user.gid,
      isAllowed: { peer in (try? cgroup.processes().contains(peer.process)) ?? false },
      role: { roles.role(of: $0) }, drainMilliseconds: UInt64(self.configuration.drainSeconds) * 1000)
    configuration.spoken = self.configuration.linkProtocol
    let link = ProxyLinkServer(
      configuration: configuration, group: group, logger: self.logger, onEvent: onEvent)
    self.link = link
    return link
  }

  /// Before the link opens.
  func adoptProxies(_ link: ProxyLinkServer) async {
    guard let found = self.foundProxies else { return }
    self.foundProxies = nil
    await self.supervisor.adopt(found, link: link) { await self.handOverListeners() }
  }

  /// Nil: no control plane is configured.
  func makeSession() -> DiscoveryClient? {
    let address: ControlPlaneAddress
    let shown: String
    if let endpoint = self.configuration.controlPlane, let identity = self.nodeIdentity {
      address = .network(endpoint) { try identity.credential() }
      shown = "\(endpoint)"
    } else if let path = self.configuration.controlSocket {
      address = .unix(path: path)
      shown = "unix:" + path
    } else {
      return nil
    }
    let feed = StatusFeed(
      node: self.configuration.node, gateways: self.configuration.opensTunnels ? self.nodeAddresses : [],
      logger: self.logger)
    self.readiness.feed = feed
    let client = DiscoveryClient(
      .init(address, node: self.configuration.node), held: self.heldVersions,
      version: self.isComplete ? self.snapshotVersion : nil, statuses: feed, logger: self.logger
    ) { await self.apply($0, received: MonotonicClock.nanoseconds) }
    self.certificates = CertificateKeeper(logger: self.logger) { [weak client] request in
      guard let client else { throw MeshError(.unavailable, "control plane", "there is no session") }
      return try await client.sign(request)
    }
    self.sessionStatus = {
      let status = client.status
      let state: ControlPlaneStatus.State =
        switch status.phase {
        case .disconnected: status.connections == 0 ? .connecting : .disconnected
        case .catchingUp, .complete: .connected
        }
      return ControlPlaneStatus(state: state, address: shown, lastError: status.lastError)
    }
    return client
  }

  /// What the disk had is made true at once.
  func reconcileAtStart() {
    self.restoreContainers()
    self.wakeContainers()
    if self.isComplete { self.reconcile() }
  }
}
