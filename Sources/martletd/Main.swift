import ArgumentParser
import Logging
import MeshAgent
import MeshBase
import MeshLinux
import ServiceLifecycle
import UnixSignals

@main
struct Main: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martletd",
    abstract: "The agent of one host: takes the workloads' traffic by eBPF, and starts the node proxy.",
    discussion: """
      Runs as root. Needs Linux 6.1 or later, cgroup2 and a BPF file system (martlet check tells). Programs and the proxy \
      go on when the agent ends; martlet purge removes everything.
      """,
    version: MeshBase.version)

  @Option(help: "This host's name: Workloads whose spec.node is this are enrolled here.")
  var node: String

  @Option(help: "Unix socket of the control plane: unix:PATH. Without it the snapshot on disk is served.")
  var control: String?

  @Option(help: "Attach to this cgroup and all below it (default: the cgroup2 mount).")
  var cgroupRoot: String?

  @Option(help: "Put agent/ and proxy/ below this cgroup (default: the agent's own).")
  var serviceCgroup: String?

  @Option(help: "Where programs, maps and links are pinned, in a BPF file system.")
  var pinDir = "/sys/fs/bpf/martlet"

  @Option(help: "Where the sockets are.")
  var runDir = "/run/martlet"

  @Option(help: "Where the last good snapshot is kept.")
  var stateDir = "/var/lib/martlet"

  @Option(help: "Where the BPF objects are.")
  var bpfDir = "/usr/lib/martlet/bpf"

  @Flag(
    help: ArgumentHelp(
      "Attach to veths by clsact filters on every kernel, as on kernels before 6.6.", visibility: .hidden))
  var edgeFilters = false

  @Option(help: "The node proxy's executable.")
  var proxy = "/usr/libexec/martlet-proxy"

  @Option(help: "The account of the node proxy, a name or a number.")
  var proxyUser = "martlet-proxy"

  @Option(help: "Event loops of the node proxy (default: one a core).")
  var proxyLoops = 0

  @Option(
    help: ArgumentHelp(
      "Entries of a map, as services=100000; several times. See docs/operations.md, Large meshes.",
      valueName: "name=entries"))
  var mapLimit: [String] = []

  @Option(help: "Address of /metrics.")
  var metricsAddress = "0.0.0.0:15020"

  @Option(help: "Address of /healthz and /readyz.")
  var healthAddress = "0.0.0.0:15021"

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  func run() async throws {
    guard let level = Logger.Level(rawValue: self.logLevel) else {
      throw ValidationError("--log-level \(self.logLevel) is no level")
    }
    LogLevel.shared.set(level)
    LoggingSystem.bootstrap { AgentLogHandler(label: $0) }
    let logger = Logger(label: "martletd")
    do {
      let configuration = try self.agentConfiguration()
      let agent = try Agent(configuration, service: .current, logger: logger)
      let group = ServiceGroup(
        configuration: .init(
          services: [.init(service: AgentService(configuration, agent: agent, logger: logger))],
          gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
      try await group.run()
    } catch {
      logger.critical("agent ends", metadata: [LogKey.error: "\(error)"])
      throw ExitCode(1)
    }
  }

  private func agentConfiguration() throws -> AgentConfiguration {
    guard ResourceName.isSubdomain(self.node) else {
      throw ValidationError("--node \(self.node) is no name: lower case letters, digits, - and .")
    }
    var configuration = AgentConfiguration(node: self.node)
    if let control = self.control {
      guard control.hasPrefix("unix:/") else { throw ValidationError("--control is unix:PATH with a full path") }
      configuration.controlSocket = String(control.dropFirst("unix:".count))
    }
    configuration.cgroupRoot = self.cgroupRoot
    configuration.serviceCgroup = self.serviceCgroup
    configuration.pinDirectory = self.pinDir
    configuration.runDirectory = self.runDir
    configuration.stateDirectory = self.stateDir
    configuration.objectDirectory = self.bpfDir
    configuration.usesEdgeFilters = self.edgeFilters
    configuration.proxyExecutable = self.proxy
    configuration.proxyUser = self.proxyUser
    configuration.proxyLoops = self.proxyLoops
    for limit in self.mapLimit { try configuration.setMapLimit(limit) }
    configuration.metricsAddress = try Self.endpoint(self.metricsAddress, "--metrics-address")
    configuration.healthAddress = try Self.endpoint(self.healthAddress, "--health-address")
    return configuration
  }

  private static func endpoint(_ text: String, _ option: String) throws -> SocketEndpoint {
    guard let endpoint = SocketEndpoint(text) else { throw ValidationError("\(option) \(text) is not ADDRESS:PORT") }
    return endpoint
  }
}
