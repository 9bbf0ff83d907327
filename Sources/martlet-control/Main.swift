import ArgumentParser
import Foundation
import Logging
import MeshArguments
import MeshBase
import MeshControlPlane
import MeshLinux

/// The control plane: watches resources, serves agents.
@main
struct MartletControl: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet-control",
    abstract:
      "The control plane: watches a directory of resources, serves them to agents, and signs their certificates.",
    discussion: """
      Reads every *.yaml, *.yml and *.json file below --resources, also in subdirectories, and follows their changes. A file \
      that is broken is reported in the log, with line and column, and its last good content stays in force; a file that is \
      removed withdraws its resources. --check does one reading and ends, as for a hook before a commit.

      Exit status: 0 ended by SIGTERM or SIGINT, or --check found no error; 1 it failed, or --check found one; 2 wrong \
      command line.

      EXAMPLES
        martlet-control --resources /etc/martlet/resources
        martlet-control --resources /etc/martlet/resources --listen 0.0.0.0:15012
        martlet-control --resources resources --check
      """,
    version: ControlPlane.version)

  @Option(help: ArgumentHelp("Directory of YAML files.", valueName: "dir"))
  var resources: String

  @Option(help: ArgumentHelp("Unix socket that agents connect to; root only.", valueName: "path"))
  var socket = "/run/martlet/control.sock"

  @Option(
    help: ArgumentHelp(
      "Unix socket of martlet get, and of /healthz and /readyz; root only (default: api.sock beside --socket).",
      valueName: "path"))
  var apiSocket: String?

  @Option(help: ArgumentHelp("Also serve /healthz and /readyz here (default: nowhere).", valueName: "address:port"))
  var healthAddress: String?

  @Option(
    help: ArgumentHelp("Directory that keeps epoch, service addresses and last good resources.", valueName: "dir"))
  var stateDir = "/var/lib/martlet-control"

  @Option(
    help: ArgumentHelp(
      "Serve agents of other hosts here, over mutual TLS 1.3 (default: nowhere).", valueName: "address:port"))
  var listen: String?

  @Option(
    help: ArgumentHelp(
      "Certificate chain of an authority of your own, the one that signs first (default: one is made in --state-dir).",
      valueName: "file"))
  var caCertificate: String?

  @Option(help: ArgumentHelp("Private key of --ca-certificate, readable by nobody else.", valueName: "file"))
  var caKey: String?

  @Option(help: ArgumentHelp("Roots that nodes trust: of --ca-certificate, and others beside it.", valueName: "file"))
  var caRoot: String?

  @Option(help: ArgumentHelp("How much is logged to standard error.", valueName: "level"))
  var logLevel: LogLevel = .info

  @Flag(help: "Read the resources once, print every problem, and end: 1 if there is an error, else 0.")
  var check = false

  static func main() async {
    SecretMemory.keepFromDumps()
    await Self.runAsProgram()
  }

  func validate() throws {
    for (option, path) in [
      ("--resources", self.resources), ("--socket", self.socket), ("--state-dir", self.stateDir),
      ("--api-socket", self.apiSocket ?? "api.sock"),
    ] where path.isEmpty { throw ValidationError("\(option) is empty; give a path") }
    guard self.healthAddress == nil || self.health != nil else {
      throw ValidationError("--health-address \(self.healthAddress ?? "") is not ADDRESS:PORT, as in 127.0.0.1:15022")
    }
    guard self.listen == nil || self.listenAddress != nil else {
      throw ValidationError("--listen \(self.listen ?? "") is not ADDRESS:PORT, as in 0.0.0.0:15012")
    }
    let given = [self.caCertificate, self.caKey, self.caRoot].compactMap { $0 }
    guard given.isEmpty || given.count == 3, !given.contains("") else {
      throw ValidationError("--ca-certificate, --ca-key and --ca-root are given together, or none of them")
    }
  }

  private var listenAddress: SocketEndpoint? { self.listen.flatMap { SocketEndpoint($0) } }

  private var authority: BroughtAuthority? {
    guard let certificate = self.caCertificate, let key = self.caKey, let root = self.caRoot else { return nil }
    return BroughtAuthority(certificate: certificate, key: key, root: root)
  }

  private var health: SocketEndpoint? { self.healthAddress.flatMap { SocketEndpoint($0) } }

  func run() async throws {
    do {
      if self.check {
        let check = try ResourceCheck(resources: self.resources)
        for line in check.lines { print(line) }
        if check.hasErrors { throw ExitCode(1) }
        return
      }
      LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
      var logger = Logger(label: "martlet-control")
      logger.logLevel = self.logLevel.level
      var configuration = ControlPlane.Configuration(
        resources: self.resources, socketPath: self.socket, stateDirectory: self.stateDir,
        apiSocketPath: self.apiSocket, healthAddress: self.health, supervisor: .current)
      configuration.listenAddress = self.listenAddress
      configuration.authority = self.authority
      try await ControlPlane.run(configuration, logger: logger)
    } catch let exit as ExitCode {
      throw exit
    } catch {
      FileHandle.standardError.write(Data("martlet-control: \(error)\n".utf8))
      throw ExitCode(1)
    }
  }
}

/// The levels of swift-log, as an argument.
enum LogLevel: String, ExpressibleByArgument, CaseIterable {
  case trace, debug, info, notice, warning, error, critical

  var level: Logger.Level { Logger.Level(rawValue: self.rawValue) ?? .info }
}
