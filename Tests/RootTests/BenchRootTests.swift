import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The benchmarks work; their figures are not looked at.
@Suite("Benchmarks", .serialized)
struct BenchRootTests {
  private struct Row: Decodable {
    var row: String
    var unit: String
    var martlet: Double
    var peers: [String: Double]
    var ratios: [String: Double]
    var rounds: Int
  }

  /// The rows of a quick run with the binaries of this build.
  private func rows(_ arguments: [String]) throws -> [Row] {
    let world = try World("bench")
    defer { try? world.close() }
    let node = try world.node("a")
    let finished = try node.run(
      [Mesh.root + "/scripts/bench"] + arguments + ["--quick", "--json", "--binaries", Mesh.binaries],
      timeout: .seconds(120))
    #expect(finished.isSuccess, "\(finished.stderr)")
    return try finished.stdout.split(separator: "\n").map {
      try JSONDecoder().decode(Row.self, from: Data($0.utf8))
    }
  }

  @Test("the kernel tier is measured against a direct connection, and no program follows the bytes")
  func kernelTierBulk() throws {
    let rows = try self.rows(["tcp", "--row", "kernel tier bulk"])
    #expect(rows.map(\.row) == ["kernel tier bulk", "kernel tier bulk x8"])
    for row in rows {
      #expect(row.unit == "Gbit/s")
      #expect(row.rounds == 2)
      #expect(row.martlet > 0)
      #expect(Set(row.peers.keys) == ["direct"])
      #expect(Set(row.ratios.keys) == ["direct"])
    }
  }

  @Test("connections and churn are measured, and nothing is left behind")
  func connectionsAndChurn() throws {
    let rows = try self.rows(["conn", "churn", "--no-churn-peer"])
    #expect(
      rows.map(\.row) == [
        "kernel tier connect", "kernel tier connect rate", "full resync", "endpoint change", "policy change", "enrol",
      ])
    #expect(rows.allSatisfy { $0.martlet > 0 && $0.rounds == ($0.row == "full resync" ? 1 : 3) })
    for place in ["/run", "/sys/fs/bpf", "/run/netns"] {
      let names = try FileManager.default.contentsOfDirectory(atPath: place)
      #expect(!names.contains { $0.hasPrefix("martlet-bench-") }, "\(place): \(names)")
    }
  }

  @Test("what callers notice of failing backends is measured, by every part of scripts/resilience")
  func resilience() throws {
    let world = try World("resil")
    defer { try? world.close() }
    let node = try world.node("a")
    let finished = try node.run(
      [
        Mesh.root + "/scripts/resilience", "--quick", "--no-peer", "--json", "--faults", "refuse,bursts", "--settings",
        "plain,all", "--binaries", Mesh.binaries,
      ], timeout: .seconds(120))
    // Bars that figures of a quick run miss are no failure of it.
    #expect(finished.status == .code(0) || finished.status == .code(1), "\(finished.stderr)")
    let parts = finished.stdout.split(separator: "\n").compactMap {
      (try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])?["part"] as? String
    }
    #expect(Set(parts) == ["table", "rolling", "storm", "balance", "fair", "cost"], "\(finished.stderr)")
  }
}
