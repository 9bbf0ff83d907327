import Glibc
package import Logging
package import MeshBase
package import MeshLinux
import MeshStore
import MeshWire
import NIOPosix
import ServiceLifecycle
import UnixSignals

/// The parts of `martlet-control`, wired.
package enum ControlPlane {
  package static var version: String { MeshBase.version }

  package struct Configuration: Sendable {
    /// A directory of YAML files.
    package var resources: String
    package var socketPath: String
    package var stateDirectory: String
    /// Unix socket of the command line, and of `/healthz` and `/readyz`.
    package var apiSocketPath: String
    /// Where `/healthz` and `/readyz` are served for everybody. Nil: nowhere.
    package var healthAddress: SocketEndpoint?
    /// Where agents of other hosts are served. Nil: nowhere.
    package var listenAddress: SocketEndpoint?
    /// The authority that somebody brings. Nil: one is made in the state directory.
    package var authority: BroughtAuthority?
    /// Who is told that agents are served, and that this process is not hung.
    package var supervisor: ServiceSupervisor

    package init(
      resources: String, socketPath: String, stateDirectory: String, apiSocketPath: String? = nil,
      healthAddress: SocketEndpoint? = nil, supervisor: ServiceSupervisor = ServiceSupervisor(notifySocket: nil)
    ) {
      self.resources = resources
      self.socketPath = socketPath
      self.stateDirectory = stateDirectory
      self.apiSocketPath = apiSocketPath ?? Self.apiSocket(beside: socketPath)
      self.healthAddress = healthAddress
      self.supervisor = supervisor
    }

    /// `api.sock` in the directory of the agents' socket.
    private static func apiSocket(beside path: String) -> String {
      (path.lastIndex(of: "/").map { String(path[...$0]) } ?? "") + "api.sock"
    }
  }

  /// Serves until SIGTERM or SIGINT, then ends the streams and returns.
  package static func run(_ configuration: Configuration, logger: Logger) async throws {
    let services = try Self.services(configuration, logger: logger)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: services.map {
          ServiceGroupConfiguration.ServiceConfiguration(
            service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
            failureTerminationBehavior: .cancelGroup)
        },
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
  }

  /// In the order of their start; they are stopped the other way round. Takes the next epoch.
  private static func services(_ configuration: Configuration, logger: Logger) throws -> [any Service] {
    let state = try StateDirectory(path: configuration.stateDirectory)
    let epoch = try state.nextEpoch(now: Int64(time(nil)))
    let facts = ControlState()
    let authority = AuthorityOffice(
      try configuration.authority.map { .brought($0) } ?? .directory(try state.authority()))
    let identities = try IdentityOffice(authority, state: state, logger: logger) { facts.isPlaced($0, on: $1) }
    var serving = DiscoveryServer.Configuration(socketPath: configuration.socketPath)
    serving.networkAddress = configuration.listenAddress
    let server = DiscoveryServer(serving, epoch: epoch, authority: identities, logger: logger)
    let directory = ResourceDirectory(
      ResourceDirectory.Configuration(
        path: configuration.resources, vipState: state.vips, lastGood: state.lastGood),
      group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    return [
      server,
      ControlReports(
        ControlReports.Configuration(
          socketPath: configuration.apiSocketPath, healthAddress: configuration.healthAddress),
        server: server, state: facts, authority: authority, identities: identities,
        group: MultiThreadedEventLoopGroup.singleton, logger: logger),
      Watch(directory: directory),
      Publisher(
        results: directory.results, server: server, state: facts, supervisor: configuration.supervisor,
        authority: authority, logger: logger),
      AuthorityClock(authority: authority, server: server, logger: logger),
      Pulse(supervisor: configuration.supervisor),
    ]
  }

  /// Tells systemd that tasks still run, and that the end has begun.
  private struct Pulse: Service {
    let supervisor: ServiceSupervisor

    func run() async throws {
      let interval = self.supervisor.watchdogInterval
      await cancelWhenGracefulShutdown {
        while !Task.isCancelled {
          if interval != nil { self.supervisor.send(.watchdog) }
          try? await Task.sleep(for: interval ?? .seconds(86_400))
        }
      }
      self.supervisor.send(.stopping)
    }
  }

  /// The store's watch as a service.
  private struct Watch: Service {
    let directory: ResourceDirectory

    func run() async throws {
      try await cancelWhenGracefulShutdown { try await self.directory.run() }
    }
  }
}
