import CMeshABI
import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// What the programs cost: nothing per byte, little per connection.
@Suite(.serialized)
struct CostRootTests {
  private static func runs(_ rig: Rig) throws -> [String: ProgramStatus] {
    Dictionary(uniqueKeysWithValues: try rig.datapath.programStatus().map { ($0.name, $0) })
  }

  @Test("bytes of a kernel-tier connection run no program: iperf3 by VIP for two lengths")
  func perByte() throws {
    let rig = try Rig.make()
    try rig.service("240.7.0.5", port: 5201, id: 50, endpoint: Rig.serverIP, endpointPort: 5201)
    let statistics = try BPFStatistics()
    var totals: [[String: UInt64]] = []
    var bytes: [Double] = []
    for length in ["64M", "512M"] {
      let server = Process()
      server.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
      server.arguments =
        ["60"] + rig.words("server", ["iperf3", "-s", "-1", "-B", Rig.serverIP, "--forceflush"])
      let output = Pipe()
      server.standardOutput = output
      try server.run()
      // It says that it listens.
      _ = output.fileHandleForReading.availableData
      let before = try Self.runs(rig)
      let text = try Commands.run(
        rig.words("client", ["iperf3", "-c", "240.7.0.5", "-n", length, "-J"]), seconds: 50)
      let after = try Self.runs(rig)
      _ = output.fileHandleForReading.readDataToEndOfFile()
      server.waitUntilExit()
      let json = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
      let end = try #require(json["end"] as? [String: Any])
      let sum = try #require(end["sum_sent"] as? [String: Any])
      bytes.append(try #require(sum["bytes"] as? Double))
      totals.append(after.mapValues { $0.runCount - (before[$0.name]?.runCount ?? 0) })
    }
    withExtendedLifetime(statistics) {}
    #expect(bytes[1] > bytes[0] * 7)
    #expect((totals[0]["mesh_connect4"] ?? 0) == 2, "control and data connection")
    for (name, count) in totals[1] {
      // Programs of the connection itself run a fixed number of times; a few close callbacks may differ.
      #expect(count <= (totals[0][name] ?? 0) + 8, "\(name): \(totals[0][name] ?? 0), then \(count)")
      #expect(count < 60, "\(name) ran \(count) times")
    }
  }

  @Test("a kernel-tier connection costs little program time, with 10,000 entries in every table")
  func perConnection() throws {
    let rig = try Rig.make(sizes: .defaults)
    try Self.fill(rig)
    let program = try Commands.connectLoop()
    try rig.serve(words: rig.words("server", [program, "serve", Rig.serverIP, "8080"]))
    let reader = try rig.datapath.readEvents { _ in }
    defer { reader.stop() }
    let storm = rig.words("client", [program, "connect", Rig.vip, "80", "2"])
    _ = try Commands.run(storm)
    let statistics = try BPFStatistics()
    let before = try Self.runs(rig)
    let answer = try Answer(try Commands.run(storm))
    let after = try Self.runs(rig)
    withExtendedLifetime(statistics) {}
    let connections = try #require(answer.errnos["0"])
    #expect(connections > 1_000)
    #expect(answer.errnos["111"] == 0)
    #expect(answer.errnos["-1"] == 0)
    var sum = 0.0
    for name in ["mesh_connect4", "mesh_sockops", "mesh_lookup"] {
      guard let new = after[name], let old = before[name] else { continue }
      let runs = Double(new.runCount - old.runCount)
      let time = Double(new.runTime - old.runTime)
      print(
        "\(name): \(Int(time / max(runs, 1))) ns a run, \((runs / Double(connections) * 10).rounded() / 10) runs and "
          + "\(Int(time / Double(connections))) ns a connection")
      sum += time / Double(connections)
    }
    print("program time of a connection: \(Int(sum)) ns over \(connections) connections")
    // The bar of 3,000 ns is measured on a quiet machine by the benchmark; a busy one must not fail the tests.
    #expect(sum < 6_000)
  }

  private static func fill(_ rig: Rig) throws {
    let d = rig.datapath
    func address(_ index: UInt32) -> mesh_addr {
      Rig.address("240.9.\(index / 256).\(index % 256)")
    }
    try d.services.put(
      batch: (0..<10_000).map { index -> (key: mesh_service_key, value: mesh_service) in
        (
          mesh_service_key(
            address: address(index), port_be: UInt16(80).bigEndian, protocol: 6, zero8: 0, zero32: 0),
          mesh_service(
            service: 1_000 + index, table: 1_000 + index, slots: 1, mode: UInt8(MESH_MODE_KERNEL.rawValue), zero8: 0,
            zero16: 0)
        )
      })
    try d.endpoints.put(
      batch: (0..<10_000).map { index -> (key: mesh_endpoint_key, value: mesh_endpoint) in
        (
          mesh_endpoint_key(table: 1_000 + index, slot: 0),
          mesh_endpoint(address: Rig.address(Rig.serverIP), workload: Rig.server, port_be: 80, flags: 0, zero8: 0)
        )
      })
    try d.workloads.put(
      batch: (0..<10_000).map { index -> (key: mesh_addr, value: mesh_workload) in
        (address(12_000 + index), mesh_workload(workload: 1_000 + index, flags: 1, network: 0))
      })
    try d.guards.put(
      batch: (0..<10_000).map { index -> (key: mesh_guard_key, value: mesh_guard) in
        (mesh_guard_key(generation: Rig.generation, workload: 1_000 + index), mesh_guard(group: 1 + index, flags: 0))
      })
    try d.classes.put(
      batch: (0..<10_000).map { index -> (key: mesh_class_key, value: UInt32) in
        (mesh_class_key(generation: Rig.generation, workload: 1_000 + index, family: 4, zero32: 0), index)
      })
    try d.policy.put(
      batch: (0..<10_000).map { index -> (key: mesh_policy_key, value: mesh_policy) in
        (
          mesh_policy_key(
            generation: Rig.generation, group: 200_000, source_class: 1_000 + index, port_be: 0, zero16: 0),
          mesh_policy(policy: index, verdict: UInt8(MESH_VERDICT_ALLOW.rawValue), reason: 0, zero16: 0)
        )
      })
    // The group in use: this source and any port, the second look-up.
    try d.classes.put(mesh_class_key(generation: Rig.generation, workload: Rig.client, family: 4, zero32: 0), 17)
    try rig.rule(group: 200_000, sourceClass: 17, allow: true)
    try rig.rule(group: 200_000, allow: false)
    try rig.guardWorkload(Rig.server, group: 200_000)
  }
}
