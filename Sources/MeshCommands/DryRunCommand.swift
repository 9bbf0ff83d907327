import ArgumentParser
import Foundation
import MeshBase
import MeshCompiler
import MeshSnapshot

/// What a directory of resources would become.
struct DryRunReport: Codable, Sendable, Hashable {
  struct Entry: Codable, Sendable, Hashable {
    var kind: String
    var name: String
    var version: String
  }

  struct Finding: Codable, Sendable, Hashable {
    var severity: String
    var file: String
    var line: Int
    var column: Int
    var path: String
    var object: String
    var message: String
    var next: String?
  }

  var findings: [Finding]
  var entries: [Entry]

  /// Compiles files given as name and bytes, as `martlet-control` would on its first start.
  init(files: [(name: String, bytes: [UInt8])], now: Int64) {
    var compiler = Compiler()
    for file in files { compiler.update(file: file.name, bytes: file.bytes) }
    let result = compiler.compile(now: now)
    self.findings = result.problems.sorted().map { problem in
      Finding(
        severity: problem.severity.rawValue, file: problem.file, line: problem.position.line,
        column: problem.position.column, path: problem.position.path, object: problem.object,
        message: problem.message, next: problem.next)
    }
    self.entries = result.snapshot.entries.map { entry in
      Entry(kind: "\(entry.value.key.kind)", name: entry.value.key.name, version: entry.version.description)
    }
  }

  var hasErrors: Bool { self.findings.contains { $0.severity == "error" } }

  var text: String {
    var text = self.findings.map { finding in
      "\(finding.file):\(finding.line):\(finding.column): \(finding.severity): \(finding.object): "
        + (finding.path.isEmpty ? "" : finding.path + ": ") + finding.message + (finding.next.map { "; \($0)" } ?? "")
        + "\n"
    }.joined()
    text += TextTable(["KIND", "NAME", "VERSION"], self.entries.map { [$0.kind, $0.name, $0.version] }).text
    return text
  }
}

struct DryRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dryrun", abstract: "Compile a directory of resources and print what would be distributed.",
    discussion: """
      Reads every *.yaml and *.yml file of DIR, checks them as martlet-control does, and prints all problems with file, \
      line and column, then the entries that nodes would get, with their content versions. Talks to nobody. Exit status 1 \
      if there is an error. Addresses that the control plane chooses for services may differ from those of a running one, \
      and so may the versions of these services.

      EXAMPLE
        martlet dryrun -f resources/ -o json | jq .findings
      """)

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory, or one file.", valueName: "dir")) var file: String
  @OptionGroup var output: OutputOptions

  func run() throws {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: self.file, isDirectory: &isDirectory) else {
      throw MeshError(.notFound, self.file, "is not there")
    }
    let names =
      isDirectory.boolValue
      ? try FileManager.default.contentsOfDirectory(atPath: self.file).sorted()
        .filter { !$0.hasPrefix(".") && ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) }
        .map { self.file + "/" + $0 } : [self.file]
    guard !names.isEmpty else { throw StatusError(.no, "no *.yaml in \(self.file)") }
    let files = try names.map { name in
      guard let data = FileManager.default.contents(atPath: name) else {
        throw MeshError(.denied, name, "cannot be read")
      }
      return (name: name, bytes: Array(data))
    }
    let report = DryRunReport(files: files, now: Int64(Date().timeIntervalSince1970))
    Console.print(try Presentation.text(report, self.output.output) { $0.text })
    if report.hasErrors { throw StatusError(.no) }
  }
}
