import ArgumentParser
import Glibc
import MeshBase
import MeshLinux
import MeshTelemetry

struct HostsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hosts", abstract: "Write the mesh's names into a block of /etc/hosts, for the host's own processes.",
    discussion: """
      Asks the agent for the services and writes a line for each of their addresses between two marks; the rest of the file \
      stays as it is. The file is replaced in one step, and not touched if nothing changes. Workloads in a network namespace \
      of their own need none of this: spec.dns of the Workload makes their questions for names go to the mesh. \
      martlet-hosts.timer runs it every ten seconds.

      EXAMPLES
        martlet hosts
        martlet hosts --remove
        systemctl enable --now martlet-hosts.timer
      """)

  @OptionGroup var instance: InstanceOptions
  @Flag(help: "Remove the block. Needs no agent.") var remove = false
  @Option(help: ArgumentHelp("Another file than /etc/hosts.", valueName: "file")) var file = "/etc/hosts"

  func run() async throws {
    var lines: [String]?
    if !self.remove {
      lines = HostsFile.lines(of: try await self.services())
    }
    let old = try ReplacedFile(path: self.file)
    guard let new = HostsFile.replacing(lines, in: old.bytes) else {
      throw MeshError(
        .conflict, self.file, "has a mark of martlet without its other half",
        next: "remove the lines '# BEGIN martlet' and '# END martlet', and what is between them, by hand")
    }
    guard new != old.bytes else {
      Console.print("\(self.file) is as it should be")
      return
    }
    try old.replace(by: new)
    Console.print(lines.map { "\(self.file): \($0.count) lines" } ?? "\(self.file): removed")
  }

  /// An agent that does not know them yet is as one that does not answer: names that were written stay.
  private func services() async throws -> [ServiceReport] {
    do {
      return try await AgentClient(socketPath: self.instance.socketPath).get([ServiceReport].self, "/v1/services")
    } catch let error as MeshError where error.code == .unavailable {
      throw StatusError(.unreachable, "\(self.file) stays as it is: \(error)")
    }
  }
}
