package import CMeshABI
package import MeshBase

/// Whose veth an interface index is: in the slot of the index if no other one has it, where the program finds it without a
/// hash, else in a hash map. For one writer at a time.
package struct VethTable: Sendable {
  let slots: BPFMap<UInt32, mesh_veth_slot>
  let beside: BPFMap<UInt32, mesh_veth>

  private static func number(_ interface: UInt32) -> UInt32 { interface % UInt32(MESH_VETH_SLOTS) }

  /// - Throws: `exhausted` when the map is full.
  package func put(_ interface: UInt32, _ row: mesh_veth) throws(MeshError) {
    let number = Self.number(interface)
    guard let slot = try self.slots.get(number), slot.index == 0 || slot.index == interface else {
      try self.beside.put(interface, row)
      return
    }
    try self.slots.put(number, mesh_veth_slot(index: interface, zero32: 0, veth: row))
    // Of a version without slots, or of a time when another one had the slot.
    try self.beside.delete(interface)
  }

  /// - Returns: the interfaces for whose rows there is no room.
  package func putFitting(_ batch: some Sequence<(key: UInt32, value: mesh_veth)>) throws(MeshError) -> [UInt32] {
    var rest: [UInt32] = []
    for (interface, row) in batch {
      do throws(MeshError) {
        try self.put(interface, row)
      } catch {
        guard error.code == .exhausted else { throw error }
        rest.append(interface)
      }
    }
    return rest
  }

  package func delete(_ interface: UInt32) throws(MeshError) {
    let number = Self.number(interface)
    if let slot = try self.slots.get(number), slot.index == interface {
      try self.slots.put(number, mesh_veth_slot())
    }
    try self.beside.delete(interface)
  }

  package func interfaces() throws(MeshError) -> [UInt32] {
    let slots = try self.slots.entries().map(\.value.index).filter { $0 != 0 }
    let beside = try self.beside.entries().map(\.key)
    return slots + beside.filter { !slots.contains($0) }
  }
}
