import ArgumentParser
import Foundation
import Glibc
import MeshBPF
import MeshBase
import MeshTelemetry

struct BugReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bugreport", abstract: "Collect what a developer would ask for into one .tar.gz.",
    discussion: """
      Collects the agent's answers (status, workloads, services, policies, connections, programs, maps, metrics, the last \
      10000 flows), the result of martlet check, what is pinned below --pin-dir, bpftool's lists if it is installed, and the \
      last 2000 lines of the units' journals. What cannot be had, as when no agent answers, is listed in MISSING, and the \
      rest is written all the same. The file can be read by its owner only (0600). There are no keys and no environment \
      variables in it, but names, addresses and who talked to whom: look through it (tar -tzf, tar -xzf) before you send it.

      EXAMPLES
        martlet bugreport
        martlet bugreport --to /var/tmp
      """)

  @Option(
    help: ArgumentHelp(
      "A directory to put martlet-bugreport-NODE-TIME.tar.gz in, or a file that does not exist yet.", valueName: "path")
  )
  var to = "."
  @OptionGroup var instance: InstanceOptions
  @OptionGroup var datapath: DatapathOptions

  func run() async throws {
    guard let tar = Tool.find("tar") else {
      throw MeshError(.unsupported, "tar", "is not installed", next: "apt-get install tar gzip")
    }
    let client = AgentClient(socketPath: self.instance.socketPath)
    Console.complain("asking the agent at \(self.instance.socketPath)")
    let status = try? await client.get(AgentStatus.self, "/v1/status")
    let name = Self.name(node: status?.node ?? ProcessInfo.processInfo.hostName, time: Date())
    let target = try Self.target(self.to, name)
    // Made first: a place that cannot be written is told before the work.
    let archive = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard archive >= 0 else {
      throw MeshError(
        errno == EEXIST ? .conflict : .denied, target, "cannot be made", cause: String(cString: strerror(errno)),
        next: "name a new file in a directory that can be written with --to")
    }
    let output = FileHandle(fileDescriptor: archive, closeOnDealloc: true)
    var parts = BugReportParts()
    let work = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: work) }
    do {
      try FileManager.default.createDirectory(
        at: work.appendingPathComponent(name), withIntermediateDirectories: true,
        attributes: [.posixPermissions: 0o700])
      await self.askAgent(client, &parts)
      self.lookAtHost(&parts)
      try parts.write(to: work.appendingPathComponent(name))
      Console.complain("packing")
      try Self.pack([tar, "--owner=0", "--group=0", "-C", work.path, "-cz", name], output)
    } catch {
      unlink(target)
      throw error
    }
    Console.print(
      "wrote \(target)" + (parts.missing.isEmpty ? "" : ", without \(parts.missing.count) parts (see MISSING in it)"))
  }

  /// Of letters that every file system and shell takes.
  static func name(node: String, time: Date) -> String {
    let node = String(node.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") ? $0 : "-" })
    let text = Timestamp(microseconds: Int64(time.timeIntervalSince1970) * 1_000_000).description
    let compact = text.prefix { $0 != "." && $0 != "Z" }.filter { $0 != "-" && $0 != ":" }
    return "martlet-bugreport-\(node)-\(compact)Z"
  }

  private static func target(_ path: String, _ name: String) throws(MeshError) -> String {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue else {
      return path
    }
    return path == "." ? "\(name).tar.gz" : "\(path)/\(name).tar.gz"
  }

  private func askAgent(_ client: AgentClient, _ parts: inout BugReportParts) async {
    for path in [
      "status", "workloads", "services", "policies", "connections", "programs", "maps", "metrics", "flows?last=10000",
    ] {
      let file = String(path.prefix { $0 != "?" }) + (path == "metrics" ? ".txt" : ".json")
      do {
        parts.add(file, Data(try await client.bytes(.get, "/v1/\(path)")))
      } catch {
        parts.lacks(file, (error as? StatusError)?.message ?? "\(error)")
      }
    }
  }

  private func lookAtHost(_ parts: inout BugReportParts) {
    let facts = HostFacts.gather(
      pinDir: self.datapath.pinDir, cgroupRoot: self.datapath.cgroupRoot, bpfDir: self.datapath.bpfDir)
    parts.add("check.txt", Data(Presentation.table(Preflight(facts: facts).checks).utf8))
    parts.add("version.txt", Data("martlet \(MeshBase.version)\n".utf8))
    do throws(MeshError) {
      let programs = try DatapathInventory.programs(pinDirectory: self.datapath.pinDir)
      let maps = try DatapathInventory.maps(pinDirectory: self.datapath.pinDir)
      let rows =
        programs.map { ["program", $0.name, "\($0.id)", $0.links.joined(separator: " ")] }
        + maps.map { ["map", $0.name, "\($0.id)", "\($0.entries.map(String.init) ?? "-") of \($0.maxEntries)"] }
      parts.add("pinned.txt", Data(TextTable(["KIND", "NAME", "ID", "USE"], rows).text.utf8))
    } catch {
      parts.lacks("pinned.txt", "\(error)")
    }
    let tools: [(String, [String])] = [
      ("uname.txt", ["uname", "-a"]), ("bpf-programs.json", ["bpftool", "-j", "prog", "show"]),
      ("bpf-maps.json", ["bpftool", "-j", "map", "show"]), ("bpf-links.json", ["bpftool", "-j", "link", "show"]),
      ("martletd.log", ["journalctl", "--no-pager", "-n", "2000", "-u", "martletd"]),
      ("martlet-control.log", ["journalctl", "--no-pager", "-n", "2000", "-u", "martlet-control"]),
    ]
    for (file, arguments) in tools {
      guard let program = arguments.first, Tool.find(program) != nil else {
        parts.lacks(file, "\(arguments.first ?? "") is not installed")
        continue
      }
      guard let result = Tool.run(arguments, seconds: 20), result.status == 0 else {
        parts.lacks(file, "\(arguments.joined(separator: " ")) failed")
        continue
      }
      parts.add(file, Data(result.output.utf8))
    }
  }

  private static func pack(_ arguments: [String], _ output: FileHandle) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: arguments[0])
    process.arguments = Array(arguments.dropFirst())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw MeshError(
        .internal, "tar", "ended with status \(process.terminationStatus)", next: "is gzip installed, is the disk full?"
      )
    }
  }
}

/// Files of a report, and what could not be had. Says what it does on standard error.
struct BugReportParts {
  private(set) var files: [(name: String, data: Data)] = []
  private(set) var missing: [String] = []

  mutating func add(_ name: String, _ data: Data) {
    Console.complain("  \(name), \(data.count) bytes")
    self.files.append((name, data))
  }

  mutating func lacks(_ name: String, _ reason: String) {
    Console.complain("  \(name) is missing: \(reason)")
    self.missing.append("\(name): \(reason)")
  }

  func write(to directory: URL) throws {
    for (name, data) in self.files { try data.write(to: directory.appendingPathComponent(name)) }
    guard !self.missing.isEmpty else { return }
    try Data((self.missing.joined(separator: "\n") + "\n").utf8).write(to: directory.appendingPathComponent("MISSING"))
  }
}
