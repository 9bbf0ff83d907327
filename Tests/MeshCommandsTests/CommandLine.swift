import MeshCommands
import Synchronization

/// Runs a command line inside the test process and keeps what it prints.
struct CommandLineResult {
  var status: CommandLineRun.Status
  var out: String
  var errors: String

  static func of(_ arguments: String...) async -> CommandLineResult {
    await self.of(arguments)
  }

  static func of(_ arguments: [String]) async -> CommandLineResult {
    let out = Captured()
    let errors = Captured()
    let console = Console(out: { out.add($0) }, error: { errors.add($0) })
    let status = await Console.$current.withValue(console) { await CommandLineRun.run(arguments) }
    return CommandLineResult(status: status, out: out.text, errors: errors.text)
  }

  private final class Captured: Sendable {
    private let state = Mutex("")
    var text: String { self.state.withLock { $0 } }
    func add(_ text: String) { self.state.withLock { $0 += text } }
  }
}
