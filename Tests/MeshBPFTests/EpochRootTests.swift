import CMeshABI
import CMeshBPF
import MeshBase
import Testing

@testable import MeshBPF

/// What connect() remembers of a decision is worth nothing once a row has changed (`bpf/lib/memo.h`).
@Suite(.serialized)
struct EpochRootTests {
  @Test("a row that changes begins an epoch, one that does not decide begins none")
  func counting() throws {
    let rig = try Rig.make()
    let d = rig.datapath
    var before = d.epoch.current
    #expect(before > 0 && before % 2 == 0)
    func expectNext(_ comment: Comment, _ write: () throws -> Void) throws {
      try write()
      #expect(d.epoch.current > before, comment)
      #expect(d.epoch.current % 2 == 0, comment)
      before = d.epoch.current
    }
    let guardKey = mesh_guard_key(generation: Rig.generation, workload: 77)
    try expectNext("guards") { try rig.guardWorkload(77, group: 3) }
    try expectNext("a deletion") { try d.guards.delete(guardKey) }
    try expectNext("policy") { try rig.rule(group: 3, allow: true) }
    try expectNext("a service") { try rig.service("240.7.0.9", port: 1, id: 60, endpoint: nil) }
    try expectNext("batches") { try d.guards.put(batch: [(key: guardKey, value: mesh_guard(group: 1, flags: 0))]) }
    try expectNext("batches of deletions") { try d.guards.delete(batch: [guardKey]) }
    try expectNext("pods") { try d.pods.delete(12345) }
    try expectNext("a write that fails") {
      #expect(throws: MeshError.self) {
        try d.workloads.put(Rig.address(Rig.clientIP), mesh_workload(workload: 1, flags: 0, network: 0), .onlyNew)
      }
    }
    try d.veths.put(7, mesh_veth(workload: 1, v4_be: 0, v6: mesh_addr()))
    #expect(d.epoch.current == before)
  }

  @Test("an agent that takes over begins an epoch, also where the one before died while it wrote")
  func adoption() throws {
    let rig = try Rig.make()
    let earlier = rig.datapath.epoch.current
    let map = try #require(rig.datapath.maps[KernelDatapath.mapName("epoch")])
    let page = try BPFMap<UInt32, UInt64>(name: "epoch", descriptor: map.rawValue)
    try rig.adopt()
    #expect(rig.datapath.epoch.current == earlier + 2)
    try page.put(0, earlier + 3)
    try rig.adopt()
    #expect(rig.datapath.epoch.current == earlier + 4)
  }

  @Test("calls that were decided before are decided anew after each change")
  func changes() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    func call(_ times: Int = 2) throws -> [Int?] {
      try (0..<times).map { _ in try rig.probe("client", "connect \(Rig.vip) 80").errno }
    }
    let ways = try BPFMap<UInt32, mesh_memo_row>(
      name: "way", descriptor: try #require(rig.datapath.maps[KernelDatapath.mapName("way")]).rawValue)
    func remembered() throws -> Int {
      try ways.entries().count { $0.value.epoch == rig.datapath.epoch.current }
    }
    #expect(try call() == [0, 0])
    #expect(try remembered() > 0)
    // Policy in place, in the generation in force.
    try rig.rule(group: 5, allow: false)
    try rig.guardWorkload(Rig.server, group: 5)
    #expect(try remembered() == 0)
    #expect(try call() == [111, 111])
    #expect(try remembered() == 0, "a refusal is not remembered")
    try rig.rule(group: 5, allow: true)
    #expect(try call() == [0, 0])
    // A generation in which nothing is known.
    rig.datapath.config.generation = Rig.generation + 1
    #expect(try call() == [111, 111])
    rig.datapath.config.generation = Rig.generation
    #expect(try call() == [0, 0])
    // The address becomes somebody else's; the destination is in quarantine; the service has no endpoint; the caller is in
    // quarantine; the service is gone.
    let address = Rig.address(Rig.serverIP)
    let row = try #require(try rig.datapath.workloads.get(address))
    var other = row
    other.workload = 9
    try rig.datapath.workloads.put(address, other)
    #expect(try call() == [111, 111])
    other = row
    other.flags |= UInt32(MESH_WORKLOAD_QUARANTINED)
    try rig.datapath.workloads.put(address, other)
    #expect(try call() == [111, 111])
    try rig.datapath.workloads.put(address, row)
    #expect(try call() == [0, 0])
    try rig.service(Rig.vip, port: 80, id: 9, endpoint: nil)
    #expect(try call() == [111, 111])
    try rig.service(Rig.vip, port: 80, id: 9, endpoint: Rig.serverIP, endpointPort: 8080)
    #expect(try call() == [0, 0])
    let cookie = try rig.cookie("client")
    let pod = try #require(try rig.datapath.pods.get(cookie))
    var quarantined = pod
    quarantined.flags |= UInt32(MESH_POD_QUARANTINED)
    try rig.datapath.pods.put(cookie, quarantined)
    #expect(try call() == [111, 111])
    try rig.datapath.pods.put(cookie, pod)
    #expect(try call() == [0, 0])
    try rig.datapath.services.delete(
      mesh_service_key(address: Rig.address(Rig.vip), port_be: UInt16(80).bigEndian, protocol: 6, zero8: 0, zero32: 0))
    #expect(try call() == [111, 111])
  }
}

/// struct mesh_way of the programs.
struct mesh_memo_row: BitwiseCopyable, Sendable {
  var sequence: UInt64
  var epoch: UInt64
  var rest: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
}
