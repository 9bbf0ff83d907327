import Foundation
import MeshBase
import MeshTelemetry
import Testing

@testable import MeshCommands

@Suite struct BugReportTests {
  /// A new directory that is gone afterwards.
  private func inDirectory(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("mt-report-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await body(directory)
  }

  private func unpack(_ archive: String, in directory: String) throws -> String {
    let result = try #require(Tool.run(["tar", "-xzf", archive, "-C", directory], seconds: 30))
    #expect(result.status == 0, "\(result.errors)")
    return directory + "/" + String((archive as NSString).lastPathComponent.dropLast(".tar.gz".count))
  }

  @Test("one file for its owner only, named for node and time, with the answers in a directory of the same name")
  func report() async throws {
    try await self.inDirectory { directory in
      try await FakeAgent().serve { runDir in
        let result = await CommandLineResult.of("bugreport", "--run-dir", runDir, "--to", directory)
        #expect(result.status == .yes, "\(result.errors)")
        #expect(result.errors.contains("  workloads.json, ") && result.errors.contains("packing"))
        let files = try FileManager.default.contentsOfDirectory(atPath: directory)
        let name = try #require(files.first)
        #expect(files.count == 1)
        #expect(name.wholeMatch(of: /martlet-bugreport-n1-[0-9]{8}T[0-9]{6}Z\.tar\.gz/) != nil, "\(name)")
        #expect(result.out.contains("wrote \(directory)/\(name)"))
        let mode = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")[.posixPermissions]
        #expect(mode as? Int == 0o600)
        let content = try self.unpack("\(directory)/\(name)", in: directory)
        let status = try ReportCoding.decode(
          AgentStatus.self, from: Array(Data(contentsOf: URL(fileURLWithPath: content + "/status.json"))))
        #expect(status.node == "n1")
        #expect(try String(contentsOfFile: content + "/check.txt", encoding: .utf8).contains("kernel"))
        // This agent has no connections to tell.
        #expect(try String(contentsOfFile: content + "/MISSING", encoding: .utf8).contains("connections.json: "))
      }
    }
  }

  @Test("without an agent it holds what the host says, and lists what is missing")
  func withoutAgent() async throws {
    try await self.inDirectory { directory in
      let file = directory + "/r.tar.gz"
      let result = await CommandLineResult.of("bugreport", "--run-dir", "/nonexistent/mt", "--to", file)
      #expect(result.status == .yes, "\(result.errors)")
      #expect(result.out.contains("see MISSING"))
      let list = try #require(Tool.run(["tar", "-tzf", file], seconds: 30))
      #expect(list.output.contains("/check.txt\n") && list.output.contains("/MISSING\n"))
      #expect(!list.output.contains("status.json"))
      let again = await CommandLineResult.of("bugreport", "--run-dir", "/nonexistent/mt", "--to", file)
      #expect(again.status == .no && again.errors.contains("\(file): cannot be made: File exists"))
      let nowhere = await CommandLineResult.of("bugreport", "--run-dir", "/nonexistent/mt", "--to", "/nonexistent/r")
      #expect(nowhere.status == .no && nowhere.errors.contains("name a new file"))
    }
  }

  @Test("a node's name becomes part of a file's name only with safe letters")
  func name() {
    #expect(
      BugReportCommand.name(node: "../a b", time: Date(timeIntervalSince1970: 1_800_000_000.5))
        == "martlet-bugreport-..-a-b-20270115T080000Z")
  }
}
