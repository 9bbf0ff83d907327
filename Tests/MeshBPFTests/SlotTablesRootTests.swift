import CMeshABI
import CMeshBPF
import MeshBase
import Testing

@testable import MeshBPF

/// The tables of two maps, whose first is an array of slots.
@Suite struct SlotTablesRootTests {
  private let loaded: DatapathLoader.Loaded

  init() throws {
    self.loaded = try DatapathLoader.load(directory: Commands.objects, sizes: .small, pinned: [:])
  }

  private func map<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>(
    _ word: String
  ) throws -> BPFMap<Key, Value> {
    let name = KernelDatapath.mapName(word)
    return try BPFMap(name: name, descriptor: try #require(self.loaded.maps[name]).rawValue)
  }

  private func perCPU<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>(
    _ word: String
  ) throws -> PerCPUMap<Key, Value> {
    let name = KernelDatapath.mapName(word)
    return try PerCPUMap(name: name, descriptor: try #require(self.loaded.maps[name]).rawValue)
  }

  @Test("veths of one slot: the first has it, the others are beside, and who goes leaves the rest alone")
  func veths() throws {
    let table = VethTable(slots: try self.map("vslots"), beside: try self.map("veths"))
    let size = UInt32(MESH_VETH_SLOTS)
    let (first, second, other): (UInt32, UInt32, UInt32) = (7, 7 + size, 8)
    func row(_ workload: UInt32) -> mesh_veth { mesh_veth(workload: workload, v4_be: 0, v6: mesh_addr()) }
    #expect(try table.putFitting([(key: first, value: row(1)), (key: second, value: row(2))]).isEmpty)
    try table.put(other, row(3))
    #expect(try table.slots.get(7)?.veth.workload == 1)
    #expect(try table.beside.get(second)?.workload == 2)
    #expect(try table.interfaces().sorted() == [first, other, second])
    try table.put(first, row(4))
    #expect(try table.slots.get(7)?.veth.workload == 4)
    try table.delete(first)
    #expect(try table.slots.get(7)?.index == 0)
    #expect(try table.interfaces().sorted() == [other, second])
    // What is beside keeps its row until it is written again, and has one only.
    try table.put(second, row(5))
    #expect(try table.slots.get(7)?.veth.workload == 5)
    #expect(try table.beside.get(second) == nil)
    for interface in [second, other] { try table.delete(interface) }
    #expect(try table.interfaces().isEmpty)
  }

  @Test("a flow is found in its slot or beside it, and not while a program writes it")
  func flows() throws {
    let table = FlowTable(slots: try self.map("slots"), beside: try self.map("flows"))
    let tuple = mesh_tuple(
      local: Rig.address(Rig.serverIP), remote: Rig.address(Rig.clientIP), netns_cookie: 0,
      local_port_be: UInt16(80).bigEndian, remote_port_be: UInt16(40_000).bigEndian, zero32: 0)
    var other = tuple
    other.remote_port_be = UInt16(40_000 + 2 * MESH_SLOTS).bigEndian
    #expect(mesh_tuple_slot(other) == mesh_tuple_slot(tuple))
    var flow = mesh_flow()
    flow.source = tuple.remote
    flow.destination = tuple.local
    flow.source_port_be = tuple.remote_port_be
    flow.destination_port_be = tuple.local_port_be
    flow.service = 9
    let number = mesh_tuple_slot(tuple)
    try table.slots.put(number, mesh_slot(cookie: 5, spilled: 0, is_local: 0, flow: flow))
    #expect(try table.get(tuple)?.service == 9)
    #expect(try table.get(other) == nil)
    flow.service = 10
    try table.beside.put(other, flow)
    #expect(try table.get(other)?.service == 10)
    #expect(try table.count() == 2)
    try table.slots.put(number, mesh_slot(cookie: .max, spilled: 0, is_local: 0, flow: flow))
    #expect(try table.get(tuple) == nil)
    try table.slots.put(number, mesh_slot())
    #expect(try table.get(tuple) == nil)
    #expect(try table.count() == 1)
  }

  @Test("an edge is told once, whether its counters lie in slots of CPUs or beside them")
  func edges() throws {
    let slots: BPFMap<UInt32, mesh_edge_slot> = try self.map("eslots")
    let table = EdgeTable(slots: try self.perCPU("eslots"), beside: try self.perCPU("edges"))
    #expect(try table.entries().isEmpty)
    let key = mesh_edge_key(
      source_workload: 1, destination_workload: 2, service: 9, port_be: UInt16(80).bigEndian, tier: 1, reason: 0)
    func fill(_ index: UInt32, state: UInt32, service: UInt32) throws {
      var key = key
      key.service = service
      let edge = mesh_edge(opened: 1, closed: 0, refused: 0, sent_bytes: 3, received_bytes: 4)
      let one = mesh_edge_slot(state: UInt64(state), key: key, edge: edge)
      let values = [mesh_edge_slot](repeating: one, count: Int(cmesh_possible_cpus()))
      let result = withUnsafePointer(to: index) { index in
        values.withUnsafeBytes { cmesh_map_put(slots.rawDescriptor, index, $0.baseAddress, 0) }
      }
      #expect(result == 0)
    }
    try fill(3, state: MESH_EDGE_SLOT_TAKEN, service: 9)
    try fill(4, state: MESH_EDGE_SLOT_BUSY, service: 10)
    let found = try table.entries()
    #expect(found.count == 1)
    #expect(found.first?.key.service == 9)
    #expect(found.first?.value.count == Int(cmesh_possible_cpus()))
    #expect(found.first?.value.allSatisfy { $0.opened == 1 && $0.received_bytes == 4 } == true)
  }
}
