package import ArgumentParser
import Glibc

/// # MeshArguments: what the command lines of the daemons have in common
///
/// Floor 5; imports ArgumentParser only.
extension AsyncParsableCommand {
  /// Parses the command line, runs, and ends as every program of the house does: a wrong command line is exit status 2, not
  /// sysexits' 64; `--help` and `--version` are 0; whatever else is thrown is 1, or the `ExitCode` that it is.
  package static func runAsProgram() async {
    do {
      var command = try Self.parse()
      try await command.run()
    } catch  where Self.exitCode(for: error) == .validationFailure {
      var text = Self.fullMessage(for: error) + "\n"
      text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
      Glibc.exit(2)
    } catch {
      Self.exit(withError: error)
    }
  }
}
