package import Logging
package import MeshBase
import MeshCompiler
import MeshTelemetry
package import MeshWire
package import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// What the control plane answers over HTTP/1: `api.sock` for root and its own user, and, if it is wanted, health on a port
/// for anybody.
package struct ControlReports: Service {
  /// Where to listen.
  package struct Configuration: Sendable {
    package var socketPath: String
    package var healthAddress: SocketEndpoint?
    package var repairInterval = Duration.seconds(1)

    package init(socketPath: String, healthAddress: SocketEndpoint? = nil) {
      self.socketPath = socketPath
      self.healthAddress = healthAddress
    }
  }

  private let configuration: Configuration
  private let server: DiscoveryServer
  private let state: ControlState
  private let authority: AuthorityOffice?
  private let identities: IdentityOffice?
  private let group: any EventLoopGroup
  private let logger: Logger

  package init(
    _ configuration: Configuration, server: DiscoveryServer, state: ControlState, authority: AuthorityOffice? = nil,
    identities: IdentityOffice? = nil, group: any EventLoopGroup, logger: Logger
  ) {
    self.authority = authority
    self.identities = identities
    self.configuration = configuration
    self.server = server
    self.state = state
    self.group = group
    self.logger = logger
  }

  package func run() async throws {
    // Whoever holds the agents' socket holds this one too.
    await cancelWhenGracefulShutdown { await self.server.waitUntilListening() }
    guard self.server.isListening else { return try await gracefulShutdown() }
    var health: ReportServer?
    if let address = self.configuration.healthAddress {
      health = try await ReportServer.start(.tcp(address), on: self.group, route: self.health)
    }
    var local: ReportServer
    do {
      local = try await self.listen()
    } catch {
      await health?.stop()
      throw error
    }
    let interval = self.configuration.repairInterval
    var problem: String?
    while (try? await cancelWhenGracefulShutdown({ try await Task.sleep(for: interval) })) != nil {
      guard !local.isReachable else { continue }
      do {
        let fresh = try await self.listen()
        await local.stopListening()
        local = fresh
        problem = nil
        self.logger.error(
          "somebody removed it: it is made again", metadata: [LogKey.path: "\(self.configuration.socketPath)"])
      } catch {
        if problem != error.description {
          self.logger.error("socket cannot be made again", metadata: [LogKey.error: "\(error)"])
        }
        problem = error.description
      }
    }
    await local.stop()
    await health?.stop()
  }

  private func listen() async throws(MeshError) -> ReportServer {
    try await ReportServer.start(.unix(path: self.configuration.socketPath), on: self.group, route: self.local)
  }

  private var local: ReportServer.Route {
    { request, writer in
      let path = request.target.path
      let known = ["/healthz", "/readyz", "/v1/workloads"] + ResourceKind.routePaths.keys
      let methods = Dictionary(known.map { ($0, HTTPMethod.GET) }, uniquingKeysWith: { a, _ in a })
        .merging(AuthorityReports.paths) { a, _ in a }
      guard try await request.isFor(methods, writer) else { return }
      if AuthorityReports.paths[path] != nil {
        guard let authority = self.authority, let identities = self.identities else {
          return try await writer.send(MeshError(.unsupported, path, "this control plane signs nothing"))
        }
        return try await AuthorityReports(authority: authority, identities: identities).answer(request, writer)
      }
      let kind = ResourceKind.routePaths[path]
      guard path == "/v1/workloads" || kind != nil else { return try await self.answer(request, writer) }
      guard let snapshot = self.state.snapshot else {
        return try await writer.send(
          MeshError(
            .unavailable, "control plane", "nothing is published yet", next: "its log says what could not be read"))
      }
      if let kind { return try await writer.send(json: self.state.routes(kind)) }
      try await writer.send(json: snapshot.workloadReports(self.server.statuses.ledger))
    }
  }

  private var health: ReportServer.Route {
    { request, writer in
      guard try await request.isFor(["/healthz": .GET, "/readyz": .GET], writer) else { return }
      try await self.answer(request, writer)
    }
  }

  /// `/healthz`: nothing is broken that a restart could mend. `/readyz`: agents get what the resources say.
  private func answer(_ request: ReportRequest, _ writer: ReportWriter) async throws {
    let checks = self.state.checks(problem: self.server.problem, refused: self.server.refusedPeers)
    let isReady = request.target.path == "/readyz" ? self.state.isPublished : nil
    try await writer.send(checks, isReady: isReady)
  }
}
