package import CMeshABI
package import MeshBase

/// The flows of open connections by 4-tuple, as the programs publish them (`bpf/lib/flows.h`): each in the slot of its tuple,
/// or in a hash map if it found the slot in use.
package struct FlowTable: Sendable {
  let slots: BPFMap<UInt32, mesh_slot>
  package let beside: BPFMap<mesh_tuple, mesh_flow>

  package func get(_ tuple: mesh_tuple) throws(MeshError) -> mesh_flow? {
    if let slot = try self.slots.get(mesh_tuple_slot(tuple)), slot.isInUse, slot.holds(tuple) { return slot.flow }
    return try self.beside.get(tuple)
  }

  /// For a call of the agent's own. Slots are the programs'; what is beside them is found as well.
  package func put(_ tuple: mesh_tuple, _ flow: mesh_flow) throws(MeshError) {
    try self.beside.put(tuple, flow)
  }

  /// Of what `put` wrote.
  package func delete(_ tuple: mesh_tuple) throws(MeshError) {
    _ = try self.beside.delete(tuple)
  }

  /// Reads every slot: for tests.
  package func count() throws(MeshError) -> Int {
    try self.slots.entries().count(where: \.value.isInUse) + self.beside.count()
  }
}

extension mesh_slot {
  /// All ones: a program is writing it.
  var isInUse: Bool { self.cookie != 0 && self.cookie != .max }

  fileprivate func holds(_ tuple: mesh_tuple) -> Bool {
    (self.is_local != 0 ? self.flow.netns_cookie : 0) == tuple.netns_cookie
      && self.flow.source_port_be == tuple.remote_port_be && self.flow.destination_port_be == tuple.local_port_be
      && self.flow.source.hi_be == tuple.remote.hi_be && self.flow.source.lo_be == tuple.remote.lo_be
      && self.flow.destination.hi_be == tuple.local.hi_be && self.flow.destination.lo_be == tuple.local.lo_be
  }
}
