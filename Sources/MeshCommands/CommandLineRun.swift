import ArgumentParser
import MeshBase

/// From arguments to an exit status.
package enum CommandLineRun {
  package enum Status: Int32, Sendable {
    case yes = 0
    /// The answer is no, or the command failed.
    case no = 1
    case usage = 2
    case unreachable = 3
    /// A condition of a systemd unit that fails the unit: 1 to 254 would skip it as if nothing were wrong
    /// (systemd.service(5), ExecCondition=).
    case failsUnit = 255
  }

  /// Parses, runs, prints what is to be said, and returns the exit status. ArgumentParser's own status for a wrong
  /// command line (64, sysexits.h) becomes 2.
  package static func run(_ arguments: [String]) async -> Status {
    do {
      var command = try Martlet.parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return .yes
    } catch let status as StatusError {
      if let message = status.message { Console.complain("martlet: \(message)") }
      return status.status
    } catch let error as MeshError {
      Console.complain("martlet: \(error)")
      return error.code == .invalid ? .usage : .no
    } catch {
      let message = Martlet.fullMessage(for: error)
      if Martlet.exitCode(for: error) == .success {
        Console.print(message)
        return .yes
      }
      Console.complain(message)
      return Martlet.exitCode(for: error) == .validationFailure ? .usage : .no
    }
  }
}

/// Ends a command with a status.
package struct StatusError: Error, Sendable {
  package var status: CommandLineRun.Status
  package var message: String?

  package init(_ status: CommandLineRun.Status, _ message: String? = nil) {
    self.status = status
    self.message = message
  }
}
