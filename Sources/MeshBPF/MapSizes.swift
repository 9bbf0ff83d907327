/// How many entries each map holds. Tables that the agent fills take memory only for what is in them; `pending`, `flows`
/// and `edges` are allocated whole.
package struct MapSizes: Equatable, Sendable {
  package var pods: UInt32 = 65_536
  package var units: UInt32 = 65_536
  package var ports: UInt32 = 65_536
  package var workloads: UInt32 = 65_536
  package var services: UInt32 = 65_536
  package var endpoints: UInt32 = 262_144
  package var guards: UInt32 = 131_072
  package var classes: UInt32 = 131_072
  package var networks: UInt32 = 131_072
  package var policy: UInt32 = 262_144
  package var pending: UInt32 = 65_536
  package var flows: UInt32 = 16_384
  package var veths: UInt32 = 65_536
  package var edges: UInt32 = 16_384
  /// Bytes of the ring buffer: a power of two, at least a page.
  package var events: UInt32 = 2 * 1_024 * 1_024

  package static let defaults = MapSizes()

  package init() {}

  /// Word of the map's name (`mesh_<word>_v<layout>`) to entries. What is missing keeps the object's own size.
  var byWord: [String: UInt32] {
    [
      "pods": self.pods, "units": self.units, "ports": self.ports, "wload": self.workloads, "svc": self.services, "ep": self.endpoints, "guards": self.guards,
      "classes": self.classes, "nets": self.networks, "policy": self.policy, "pending": self.pending,
      "flows": self.flows, "veths": self.veths, "edges": self.edges, "events": self.events,
    ]
  }
}
