package import MeshBase
package import MeshWire
package import NIOCore
import ServiceLifecycle

/// The agent's three HTTP servers as one service: metrics and health for machines on the network, `agent.sock` for root.
package struct AgentHTTP: Service {
  package struct Configuration: Sendable {
    /// Scraped from other hosts, so every address by default. Nil: no server.
    package var metrics: SocketEndpoint? = SocketEndpoint(IPAddress(v4: 0), MeshPort.metrics)
    package var health: SocketEndpoint? = SocketEndpoint(IPAddress(v4: 0), MeshPort.health)
    package var socketPath: String
    package var limits = ReportServer.Limits.defaults

    package init(socketPath: String) { self.socketPath = socketPath }
  }

  private let configuration: Configuration
  private let agent: any AgentReporting
  private let group: any EventLoopGroup

  package init(_ configuration: Configuration, agent: any AgentReporting, group: any EventLoopGroup) {
    self.configuration = configuration
    self.agent = agent
    self.group = group
  }

  /// Opens all servers, or none: throws what the one that failed said.
  package func start() async throws(MeshError) -> [ReportServer] {
    var wanted: [(ReportServer.Address, ReportServer.Route)] = []
    if let metrics = self.configuration.metrics { wanted.append((.tcp(metrics), AgentEndpoints.metrics(self.agent))) }
    if let health = self.configuration.health { wanted.append((.tcp(health), AgentEndpoints.health(self.agent))) }
    var servers = [try await self.startCommands()]
    for (address, route) in wanted {
      do {
        servers.append(
          try await ReportServer.start(address, on: self.group, limits: self.configuration.limits, route: route))
      } catch {
        for server in servers { await server.stop() }
        throw error
      }
    }
    return servers
  }

  /// The one of `agent.sock`.
  package func startCommands() async throws(MeshError) -> ReportServer {
    try await ReportServer.start(
      .unix(path: self.configuration.socketPath), on: self.group, limits: self.configuration.limits,
      route: AgentEndpoints.commands(self.agent))
  }

  package func run() async throws {
    let servers = try await self.start()
    try? await gracefulShutdown()
    for server in servers { await server.stop() }
  }
}
