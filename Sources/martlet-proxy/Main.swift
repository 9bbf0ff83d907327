import ArgumentParser
import Glibc
import Logging
import MeshArguments
import MeshBase
import MeshProxy
import ServiceLifecycle
import UnixSignals

/// The node proxy: arguments and wiring.
@main struct Main: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet-proxy",
    abstract: "Carries the connections of a host's workloads. Started by martletd.",
    discussion: """
      Nobody needs to start it by hand. Needs no capability and no root. It finds the agent's sockets proxy.sock and fds.sock in the run directory, and
      connects again whenever the agent was away; connections go on meanwhile. SIGTERM: accepts no more, waits for open
      connections, and ends. The agent can ask for the same when another proxy has taken over.

      Exit status: 0 ended by SIGTERM or SIGINT or replaced, 1 it failed, 2 wrong command line.

      EXAMPLE
        martlet-proxy --run-dir /run/martlet --loops 2
      """,
    version: MeshBase.version)

  @Option(help: ArgumentHelp("Directory of the agent's proxy.sock and fds.sock.", valueName: "dir"))
  var runDir = "/run/martlet"

  @Option(help: ArgumentHelp("Event loops. 0: one for each CPU that the process may use.", valueName: "n"))
  var loops = 0

  @Option(
    help: ArgumentHelp("How long open connections may go on after SIGTERM, 0 to 86400.", valueName: "seconds"))
  var drainTimeout: Int64 = 300

  @Option(
    help: ArgumentHelp(
      "A connection without a byte for so long is closed, 0 (never) to 2592000.", valueName: "seconds"))
  var idleTimeout: Int64 = 3600

  @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
  var logLevel = "info"

  /// For benchmarks: relays between two loopback addresses without an agent, on the path of every other connection.
  @Option(help: .private)
  var staticRelay: [String] = []

  /// The same, of requests: on the path of every other port that speaks HTTP.
  @Option(name: .customLong("static-http"), help: .private)
  var staticHTTP: [String] = []

  /// The same, of calls of gRPC, to an upstream of HTTP/2.
  @Option(name: .customLong("static-grpc"), help: .private)
  var staticGRPC: [String] = []

  @Flag(
    name: .customLong("no-http"),
    help: "Relay bytes on every port, instead of parsing those that speak HTTP/1.1 and routing their requests.")
  var relaysHTTP = false

  /// For tests: as a proxy of another build would speak with its agent.
  @Option(help: .private)
  var linkProtocol: UInt16?

  @OptionGroup var requests: RequestOptions

  static func main() async { await Self.runAsProgram() }

  mutating func validate() throws {
    guard (0...1024).contains(self.loops) else { throw ValidationError("--loops is 0 to 1024") }
    guard (0...86_400).contains(self.drainTimeout) else {
      throw ValidationError("--drain-timeout is 0 to 86400 seconds")
    }
    guard (0...2_592_000).contains(self.idleTimeout) else {
      throw ValidationError("--idle-timeout is 0 to 2592000 seconds")
    }
    guard Logger.Level(rawValue: self.logLevel) != nil else {
      throw ValidationError(
        "--log-level \(self.logLevel) is not trace, debug, info, notice, warning, error or critical")
    }
    guard !self.runDir.isEmpty else { throw ValidationError("--run-dir is empty; give a path") }
    for (name, texts) in [
      ("--static-relay", self.staticRelay), ("--static-http", self.staticHTTP), ("--static-grpc", self.staticGRPC),
    ] {
      guard texts.allSatisfy({ StaticRelay($0) != nil }) else {
        throw ValidationError("\(name) is LISTEN=UPSTREAM, both loopback, as 127.0.0.1:7001=127.0.0.1:7000")
      }
    }
  }

  func run() async throws {
    let level = Logger.Level(rawValue: self.logLevel) ?? .info
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
    let logger = Logger(label: "martlet-proxy")
    Self.raiseDescriptorLimit(logger)
    Self.takeName()
    var configuration = ProxyConfiguration(
      runDirectory: self.runDir, loops: self.loops, drainTimeoutSeconds: self.drainTimeout,
      idleTimeoutSeconds: self.idleTimeout == 0 ? nil : self.idleTimeout,
      staticRelays: self.staticRelay.compactMap { StaticRelay($0) },
      staticHTTP: self.staticHTTP.compactMap { StaticRelay($0) }, speaksHTTP: !self.relaysHTTP)
    configuration.staticGRPC = self.staticGRPC.compactMap { StaticRelay($0) }
    configuration.forwarding = self.requests.forwarding
    configuration.accessLog = self.requests.log
    configuration.locality = self.requests.place
    configuration.linkProtocol = self.linkProtocol
    let proxy = Proxy(configuration, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: proxy, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
  }

  /// The agent can start it by a descriptor; ps shall name it all the same.
  private static func takeName() {
    let file = open("/proc/self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    let name = Array("martlet-proxy".utf8)
    _ = write(file, name, name.count)
    close(file)
  }

  /// Each connection takes two descriptors: the soft limit becomes the hard one.
  private static func raiseDescriptorLimit(_ logger: Logger) {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    if limit.rlim_cur < 65_536 {
      logger.warning("few descriptors: each connection takes two", metadata: ["limit": "\(limit.rlim_cur)"])
    }
  }
}
