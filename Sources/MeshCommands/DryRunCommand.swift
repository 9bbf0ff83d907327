import ArgumentParser
import MeshBase
import MeshCompiler
import MeshSnapshot
import MeshStore

/// What files of resources would become.
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

    init(_ problem: Problem) {
      self.severity = problem.severity.rawValue
      self.file = problem.file
      self.line = problem.position.line
      self.column = problem.position.column
      self.path = problem.position.path
      self.object = problem.object
      self.message = problem.message
      self.next = problem.next
    }
  }

  /// Objects of one kind.
  struct Count: Codable, Sendable, Hashable {
    var kind: String
    /// In force as written.
    var resources: Int
    /// Not in force.
    var refused: Int
  }

  var findings: [Finding]
  var counts: [Count]
  /// Policies that cannot be used, for which all connections to what they select are refused.
  var standIns: [String]
  /// What a control plane's first start would wait for, publishing nothing.
  var blocking: [Finding]
  var entries: [Entry]

  init(_ result: CompileResult) {
    self.findings = result.problems.map { Finding($0) }
    var refused: [ResourceKind: Int] = [:]
    for key in result.summary.refused { refused[key.kind, default: 0] += 1 }
    self.counts = Set(result.resources.keys).union(refused.keys).sorted().map {
      Count(kind: $0.rawValue, resources: result.resources[$0] ?? 0, refused: refused[$0] ?? 0)
    }
    self.standIns = result.summary.standIns.map(\.description)
    self.blocking = result.summary.unaccounted.map { Finding($0) }
    self.entries = result.snapshot.entries.map { entry in
      Entry(kind: "\(entry.value.key.kind)", name: entry.value.key.name, version: entry.version.description)
    }
  }

  /// Compiles files and directories, as `martlet-control` would on its first start.
  init(paths: [String]) throws(MeshError) { self.init(try ResourceFiles.compile(paths)) }

  var hasErrors: Bool { self.findings.contains { $0.severity == "error" } }

  var text: String {
    var text = self.findings.map { finding in
      "\(finding.file):\(finding.line):\(finding.column): \(finding.severity): \(finding.object): "
        + (finding.path.isEmpty ? "" : finding.path + ": ") + finding.message + (finding.next.map { "; \($0)" } ?? "")
        + "\n"
    }.joined()
    if !self.findings.isEmpty { text += "\n" }
    for blocking in self.blocking {
      text += "a first start would publish nothing before \(blocking.file):\(blocking.line) is correct or gone\n"
    }
    for name in self.standIns { text += "\(name) would refuse every connection to what it selects\n" }
    text +=
      TextTable(
        ["KIND", "RESOURCES", "REFUSED"], self.counts.map { [$0.kind, "\($0.resources)", "\($0.refused)"] }
      ).text
    text += "\n"
    text += TextTable(["ENTRY", "NAME", "VERSION"], self.entries.map { [$0.kind, $0.name, $0.version] }).text
    let errors = self.findings.count { $0.severity == "error" }
    return text + "\n\(self.entries.count) entries, \(errors) errors, \(self.findings.count - errors) warnings\n"
  }
}

struct DryRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dryrun", abstract: "Compile resources and print what would be served, before it is.",
    discussion: """
      Reads files, and the *.yaml, *.yml and *.json files of directories (and of their subdirectories), checks them as \
      martlet-control does, and prints all problems with file, line, column and path; how many objects of each kind would \
      be in force; and the entries that nodes would get, with their content versions. Talks to nobody and changes nothing.

      Exit status: 0 no error (there may be warnings), 1 a resource has an error, 2 wrong command line, or nothing to read.

      Addresses that the control plane chooses for services may differ from those of a running one, and so may the \
      versions of these services.

      EXAMPLES
        martlet dryrun -f resources/
        martlet dryrun -f resources/ -f new-policy.yaml -o json | jq .findings
      """)

  @Option(
    name: [.customShort("f"), .customLong("filename")],
    help: ArgumentHelp("Directory or file; may be given several times.", valueName: "path"))
  var filename: [String]

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard !self.filename.isEmpty else { throw ValidationError("Give files or directories with -f.") }
  }

  func run() throws {
    let report: DryRunReport
    do throws(MeshError) {
      report = try DryRunReport(paths: self.filename)
    } catch {
      throw StatusError(.usage, error.description)
    }
    Console.print(try Presentation.text(report, self.output.output) { $0.text })
    if report.hasErrors { throw StatusError(.no) }
  }
}
