import ArgumentParser
import Foundation
import MeshBase
import MeshTelemetry

struct BugReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bugreport", abstract: "Collect what a developer would ask for into one directory.",
    discussion: """
      Writes the agent's answers (status, workloads, services, policies, connections, programs, maps, metrics, the last \
      10000 flows), the result of martlet check, bpftool's lists and the last 2000 lines of the units' journals, whatever \
      of it can be had; what could not is listed in MISSING. There are no keys in it, but names, addresses and who talked to \
      whom: look through it before you send it.

      EXAMPLE
        martlet bugreport --to /tmp/report && tar -czf report.tar.gz -C /tmp report
      """)

  @Option(help: ArgumentHelp("A directory that does not exist yet.", valueName: "dir")) var to: String
  @OptionGroup var instance: InstanceOptions
  @OptionGroup var datapath: DatapathOptions

  func run() async throws {
    let directory = URL(fileURLWithPath: self.to, isDirectory: true)
    do {
      try FileManager.default.createDirectory(
        at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    } catch {
      throw MeshError(.conflict, self.to, "cannot be made", cause: "\(error)", next: "name a directory that is new")
    }
    var missing: [String] = []
    let client = AgentClient(socketPath: self.instance.socketPath)
    for name in [
      "status", "workloads", "services", "policies", "connections", "programs", "maps", "metrics", "flows?last=10000",
    ] {
      let file = String(name.prefix { $0 != "?" }) + (name == "metrics" ? ".txt" : ".json")
      do {
        try Data(try await client.bytes(.get, "/v1/\(name)")).write(to: directory.appendingPathComponent(file))
      } catch {
        missing.append("\(file): \((error as? StatusError)?.message ?? "\(error)")")
      }
    }
    let facts = HostFacts.gather(
      pinDir: self.datapath.pinDir, cgroupRoot: self.datapath.cgroupRoot, bpfDir: self.datapath.bpfDir)
    try Data(Presentation.table(Preflight(facts: facts).checks).utf8)
      .write(to: directory.appendingPathComponent("check.txt"))
    let tools: [(String, [String])] = [
      ("uname.txt", ["uname", "-a"]), ("bpf-programs.json", ["bpftool", "-j", "prog", "show"]),
      ("bpf-maps.json", ["bpftool", "-j", "map", "show"]), ("bpf-links.json", ["bpftool", "-j", "link", "show"]),
      ("martletd.log", ["journalctl", "--no-pager", "-n", "2000", "-u", "martletd"]),
      ("martlet-control.log", ["journalctl", "--no-pager", "-n", "2000", "-u", "martlet-control"]),
    ]
    for (file, arguments) in tools {
      if let result = Tool.run(arguments, seconds: 20), result.status == 0 {
        try Data(result.output.utf8).write(to: directory.appendingPathComponent(file))
      } else {
        missing.append("\(file): \(arguments.joined(separator: " ")) failed or is not installed")
      }
    }
    if !missing.isEmpty {
      try Data((missing.joined(separator: "\n") + "\n").utf8).write(to: directory.appendingPathComponent("MISSING"))
    }
    Console.print("wrote \(self.to)" + (missing.isEmpty ? "" : ", without \(missing.count) parts (see MISSING)"))
  }
}
