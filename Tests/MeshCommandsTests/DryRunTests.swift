import Foundation
import MeshBase
import Testing

@testable import MeshCommands

@Suite("Resources, before they are served")
struct DryRunTests {
  /// Writes files into a directory of its own while `body` runs.
  static func with(_ files: [String: String], _ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("mt-dryrun-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory + "/sub", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    for (name, text) in files { try Data(text.utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)")) }
    try await body(directory)
  }

  static let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"
  static let service =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]}\n"
  static let policy = """
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: web, namespace: shop}
    spec:
      action: NONSENSE

    """

  @Test("Every problem has file, line and path, and what is right is counted and shown")
  func findings() async throws {
    try await Self.with(["a.yaml": Self.namespace, "sub/b.yml": Self.service, "c.json": "{", "p.yaml": Self.policy]) {
      let report = try DryRunReport(paths: [$0])
      #expect(report.hasErrors)
      let action = try #require(report.findings.first { $0.path == "spec.action" })
      #expect((action.file, action.line, action.column) == ("\($0)/p.yaml", 5, 11))
      #expect(report.findings.contains { $0.file.hasSuffix("c.json") })
      #expect(report.counts.map(\.kind) == ["AuthorizationPolicy", "Namespace", "Service"])
      #expect(report.counts.map(\.resources) == [0, 1, 1])
      #expect(report.counts.map(\.refused) == [1, 0, 0])
      #expect(report.standIns == ["AuthorizationPolicy shop/web"])
      #expect(report.blocking.map(\.file) == ["\($0)/c.json"])
      #expect(report.text.contains("p.yaml:5:11: error: AuthorizationPolicy shop/web: spec.action: "))
      #expect(report.text.contains("c.json:2 is correct or gone"))
      #expect(report.entries.contains { $0.name == "shop/web" })
    }
  }

  @Test("The exit status says whether it would be in force as written", arguments: ["table", "json", "yaml"])
  func status(format: String) async throws {
    try await Self.with(["a.yaml": Self.namespace, "sub/b.yaml": Self.service]) {
      #expect(await CommandLineRun.run(["dryrun", "-f", $0, "-o", format]) == .yes)
      #expect(await CommandLineRun.run(["dryrun", "--filename", "\($0)/a.yaml", "-f", "\($0)/sub"]) == .yes)
      #expect(await CommandLineRun.run(["dryrun", "-f", "\($0)/nothing"]) == .usage)
      #expect(await CommandLineRun.run(["dryrun"]) == .usage)
      try Data(Self.policy.utf8).write(to: URL(fileURLWithPath: "\($0)/p.yaml"))
      #expect(await CommandLineRun.run(["dryrun", "-f", $0, "-o", format]) == .no)
    }
    try await Self.with([:]) { #expect(await CommandLineRun.run(["dryrun", "-f", $0]) == .usage) }
  }

  @Test("A file that others may write is a warning here: it need not lie here when it is served")
  func distrust() async throws {
    try await Self.with(["a.yaml": Self.namespace]) {
      #expect(chmod("\($0)/a.yaml", 0o666) == 0)
      let report = try DryRunReport(paths: [$0])
      #expect(!report.hasErrors)
      #expect(report.findings.map(\.severity) == ["warning"])
      #expect(report.counts.map(\.resources) == [1])
    }
  }
}
