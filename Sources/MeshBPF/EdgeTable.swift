package import CMeshABI
package import MeshBase

/// Counters of who spoke to whom, as the programs keep them (`bpf/lib/edges.h`): each CPU has those of an edge in the edge's slot,
/// or in a hash map if another edge took the slot.
package struct EdgeTable: Sendable {
  let slots: PerCPUMap<UInt32, mesh_edge_slot>
  let beside: PerCPUMap<mesh_edge_key, mesh_edge>

  /// Every edge once, with a value for each place in which it is counted.
  package func entries() throws(MeshError) -> [(key: mesh_edge_key, value: [mesh_edge])] {
    var found: [Words: (key: mesh_edge_key, value: [mesh_edge])] = [:]
    for slot in try self.slots.entries().flatMap(\.value) where slot.state == MESH_EDGE_SLOT_TAKEN {
      found[Words(slot.key), default: (slot.key, [])].value.append(slot.edge)
    }
    for (key, value) in try self.beside.entries() {
      found[Words(key), default: (key, [])].value += value
    }
    return Array(found.values)
  }

  private struct Words: Hashable {
    let source: UInt32
    let destination: UInt32
    let service: UInt32
    let port: UInt16
    let tier: UInt8
    let reason: UInt8

    init(_ key: mesh_edge_key) {
      self.source = key.source_workload
      self.destination = key.destination_workload
      self.service = key.service
      self.port = key.port_be
      self.tier = key.tier
      self.reason = key.reason
    }
  }
}
