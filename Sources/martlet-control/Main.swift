import ArgumentParser
import Foundation
import Logging
import MeshControlPlane
import MeshLinux

/// The control plane: watches resources, serves agents.
@main
struct MartletControl: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet-control",
    abstract: "Watches a directory of resources and serves them to the agents of this host.",
    version: ControlPlane.version)

  @Option(help: ArgumentHelp("A directory of YAML files.", valueName: "dir"))
  var resources: String

  @Option(help: ArgumentHelp("The Unix socket that agents connect to.", valueName: "path"))
  var socket = "/run/martlet/control.sock"

  @Option(help: ArgumentHelp("Where epoch, service addresses and last good resources are kept.", valueName: "dir"))
  var stateDir = "/var/lib/martlet-control"

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel: LogLevel = .info

  @Flag(help: "Read the resources once, print every problem, and end: 1 if there is an error, else 0.")
  var check = false

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
      try await ControlPlane.run(
        ControlPlane.Configuration(
          resources: self.resources, socketPath: self.socket, stateDirectory: self.stateDir,
          supervisor: .current),
        logger: logger)
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
