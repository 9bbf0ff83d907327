import Glibc
import MeshCommands

/// `martlet`, the command line: everything is in `MeshCommands`.
@main
struct Main {
  static func main() async {
    // A socket or a pipe whose reader has gone is an error of the write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    exit(await CommandLineRun.run(Array(CommandLine.arguments.dropFirst())).rawValue)
  }
}
