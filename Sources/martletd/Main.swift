import ArgumentParser
import Glibc
import Logging
import MeshAgent
import MeshArguments
import MeshBase
import MeshLinux
import ServiceLifecycle
import UnixSignals

@main struct Main: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martletd",
    abstract: "The agent of one host: takes the workloads' traffic by eBPF, and starts the node proxy.",
    discussion: """
      Runs as root. Needs Linux 6.1 or later, cgroup2 and a BPF file system (martlet check tells). Programs and the proxy \
      go on when the agent ends; martlet purge removes everything. Several agents can share a host, each with its own \
      --cgroup-root, --pin-dir, --run-dir and --state-dir. Relative paths are seen from the directory in which it is started.

      Exit status: 0 ended by SIGTERM or SIGINT, 1 it failed (the last line of its log says why), 2 wrong command line.

      EXAMPLES
        martletd --node host-a --control unix:/run/martlet/control.sock
        martletd --node host-b --control-plane 10.0.0.1:15012 --join-token-file /etc/martlet/join-token
        martletd --node host-a --bpf-dir .build/bpf --proxy .build/debug/martlet-proxy --log-level debug
      """,
    version: MeshBase.version)

  @Option(
    help: ArgumentHelp("This host's name: Workloads whose spec.node is this are enrolled here.", valueName: "name"))
  var node: String

  @OptionGroup var controlPlane: ControlPlaneOptions

  @Option(help: ArgumentHelp("Unix socket of podman's REST API, for Workloads that are containers.", valueName: "path"))
  var podmanSocket = "/run/podman/podman.sock"

  @Option(
    help: ArgumentHelp(
      "Directory in cgroup2 whose processes, and those of all below it, are seen (default: where it is mounted).",
      valueName: "dir"))
  var cgroupRoot: String?

  @Option(
    help: ArgumentHelp("Cgroup below which agent/ and proxy/ are made (default: the agent's own).", valueName: "dir"))
  var serviceCgroup: String?

  @Option(help: ArgumentHelp("Directory in bpffs for the pins of programs, maps and links.", valueName: "dir"))
  var pinDir = "/sys/fs/bpf/martlet"

  @Option(help: ArgumentHelp("Directory for agent.sock, proxy.sock and fds.sock.", valueName: "dir"))
  var runDir = "/run/martlet"

  @Option(help: ArgumentHelp("Directory for the last good snapshot.", valueName: "dir"))
  var stateDir = "/var/lib/martlet"

  @Option(help: ArgumentHelp("Directory of the compiled BPF objects (*.bpf.o).", valueName: "dir"))
  var bpfDir = "/usr/lib/martlet/bpf"

  @Flag(
    help: ArgumentHelp(
      "Attach to veths by clsact filters on every kernel, as on kernels before 6.6.", visibility: .hidden))
  var edgeFilters = false

  @Option(help: ArgumentHelp("Executable of the node proxy.", valueName: "file"))
  var proxy = "/usr/libexec/martlet-proxy"

  @Option(help: ArgumentHelp("Account of the node proxy: a name, or a number.", valueName: "user"))
  var proxyUser = "martlet-proxy"

  @Option(help: ArgumentHelp("Event loops of the node proxy. 0: one for each CPU.", valueName: "n"))
  var proxyLoops = 0

  @Flag(
    name: .customLong("no-http"),
    help: "The node proxy relays bytes on every port: no HTTPRoute is obeyed, and no request looked at.")
  var relaysHTTP = false

  @OptionGroup var requests: RequestOptions

  @Option(
    help: ArgumentHelp(
      "Name servers of workloads with dns: true that name none and have no /etc/netns/NAME/resolv.conf.",
      valueName: "file"))
  var resolvConf = "/etc/resolv.conf"

  @Flag(help: "Answer names of the mesh on 127.0.0.1:15053 and [::1]:15053 of the host, for its own resolver.")
  var hostNames = false

  @Option(
    help: ArgumentHelp(
      "How long open connections may go on in a proxy that was replaced, 0 to 86400.", valueName: "seconds"))
  var drainTimeout = 300

  @Option(
    help: ArgumentHelp(
      "Entries of a map, as services=100000; several times. See docs/operations.md, Large meshes.",
      valueName: "name=entries"))
  var mapLimit: [String] = []

  /// For tests: as an agent of another build, and its proxies, would speak with each other.
  @Option(help: .private)
  var linkProtocol: UInt16?

  @Option(help: ArgumentHelp("Where /metrics is served.", valueName: "address:port"))
  var metricsAddress = "0.0.0.0:15020"

  @Option(help: ArgumentHelp("Where /healthz and /readyz are served.", valueName: "address:port"))
  var healthAddress = "0.0.0.0:15021"

  @Option(
    help: ArgumentHelp(
      "trace, debug, info, notice, warning, error or critical. martlet log-level changes it while running.",
      valueName: "level"))
  var logLevel = "info"

  static func main() async {
    Heap.keepSmall()
    SecretMemory.keepFromDumps()
    await Self.runAsProgram()
  }

  func validate() throws {
    guard Logger.Level(rawValue: self.logLevel) != nil else {
      throw ValidationError(
        "--log-level \(self.logLevel) is not trace, debug, info, notice, warning, error or critical")
    }
    _ = try self.agentConfiguration()
  }

  func run() async throws {
    LogLevel.shared.set(Logger.Level(rawValue: self.logLevel) ?? .info)
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
}
