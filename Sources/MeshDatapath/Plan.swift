package import CMeshABI
package import MeshBase
package import MeshSnapshot

/// Rows to write into one map and keys to delete from it.
package struct MapBatch<Key: Sendable, Value: Sendable>: Sendable {
  package var keys: [Key] = []
  /// As many as `keys`.
  package private(set) var values: [Value] = []
  package var deletions: [Key] = []

  package init() {}

  package var isEmpty: Bool { self.keys.isEmpty && self.deletions.isEmpty }

  package mutating func put(_ key: Key, _ value: Value) {
    self.keys.append(key)
    self.values.append(value)
  }

  package mutating func delete(_ key: Key) { self.deletions.append(key) }
}

/// Changes of every map that belong together. Order within: the puts of all maps, in the order of the properties here
/// (what is referred to first), then the deletions of all maps in the reverse order. Deleting a key that is not there is
/// no error.
package struct MapChanges: Sendable {
  package var endpoints = MapBatch<mesh_endpoint_key, mesh_endpoint>()
  package var policy = MapBatch<mesh_policy_key, mesh_policy>()
  package var networks = MapBatch<mesh_network_key, UInt32>()
  package var classes = MapBatch<mesh_class_key, UInt32>()
  package var guards = MapBatch<mesh_guard_key, mesh_guard>()
  /// In the host's namespace, by address and port.
  package var ports = MapBatch<mesh_port_key, mesh_workload>()
  package var workloads = MapBatch<mesh_addr, mesh_workload>()
  package var services = MapBatch<mesh_service_key, mesh_service>()
  /// By interface index at the host end.
  package var veths = MapBatch<UInt32, mesh_veth>()
  /// By namespace cookie.
  package var pods = MapBatch<UInt64, mesh_pod>()
  /// By cgroup id.
  package var units = MapBatch<UInt64, mesh_pod>()

  package init() {}

  package var isEmpty: Bool {
    self.endpoints.isEmpty && self.policy.isEmpty && self.networks.isEmpty && self.classes.isEmpty
      && self.guards.isEmpty && self.ports.isEmpty && self.workloads.isEmpty && self.services.isEmpty
      && self.veths.isEmpty && self.pods.isEmpty && self.units.isEmpty
  }

  /// Rows written and deleted.
  package var count: Int {
    self.endpoints.count + self.policy.count + self.networks.count + self.classes.count + self.guards.count
      + self.ports.count + self.workloads.count + self.services.count + self.veths.count + self.pods.count
      + self.units.count
  }
}

extension MapBatch {
  package var count: Int { self.keys.count + self.deletions.count }
}

/// The part of `mesh_config` that follows from the snapshot; the agent owns `proxy_cgroup` and `heartbeat_ns`.
package struct PlannedConfig: Hashable, Sendable {
  package var generation: UInt32
  package var vipRangeV4: IPPrefix?
  package var vipRangeV6: IPPrefix?

  package init(generation: UInt32, vipRangeV4: IPPrefix? = nil, vipRangeV6: IPPrefix? = nil) {
    self.generation = generation
    self.vipRangeV4 = vipRangeV4
    self.vipRangeV6 = vipRangeV6
  }

  /// Writes its fields; the generation last is the driver's duty where the map is memory that programs read meanwhile.
  package func write(to config: inout mesh_config) {
    let mask: UInt32 = self.vipRangeV4.map { $0.length == 0 ? 0 : ~0 << UInt32(32 - $0.length) } ?? 0
    config.vip4_mask_be = mask.bigEndian
    config.vip4_be = (self.vipRangeV4?.address.v4 ?? 0).bigEndian
    config.vip6 = self.vipRangeV6.map { mesh_addr($0.address) } ?? .none
    config.vip6_prefix = UInt32(truncatingIfNeeded: self.vipRangeV6?.length ?? 0)
    config.generation = self.generation
  }
}

/// One step: its parts in order.
package enum PlanStep: Sendable {
  case changes(MapChanges)
  /// Store into the config map: from then on the programs use this generation.
  case config(PlannedConfig)
}

/// What to do to the maps so that they say what the snapshot says. Run `retire`, `before`, `flip`, `after` in
/// this order and at once;
/// run `later` at least one second after. Not running a `later` leaks rows and nothing else; running it after other
/// plans is right too, because generations and tables are not used again.
package struct Plan: Sendable {
  /// Deletes the generation before the one in use, if a new one is made now: there are never more than two.
  package var retire = MapChanges()
  /// Nothing that a look-up can reach yet: endpoint tables, the rows of a new generation.
  package var before = MapChanges()
  /// What makes it visible.
  package var flip: [PlanStep] = []
  /// What nothing refers to any more.
  package var after = MapChanges()
  /// What a program that is running now may still look up: the old generation, old endpoint tables.
  package var later = MapChanges()
  /// What changed in the resolved snapshot: for the proxy.
  package var delta = Delta()
  /// `delta` begins at nothing, not at the snapshot of the plan before: what is not in it is to be forgotten.
  package var startsAnew = false
  /// The generation in use after the plan. 0: none yet.
  package var generation: UInt32 = 0
  /// True if policy or local workloads changed, so that connections have to be judged again (`ConnectionCut`).
  package var changesAccess = false
  /// Set if nothing was planned because the last flip is too recent: call again then.
  package var deferredUntil: Duration?
  /// What could not be done as asked; all of it, not only what is new.
  package var problems: [MeshError] = []

  package init() {}

  package var isEmpty: Bool {
    self.retire.isEmpty && self.before.isEmpty && self.flip.isEmpty && self.after.isEmpty && self.later.isEmpty
  }

  /// Everything that is to be done at once, in order.
  package var steps: [PlanStep] {
    [self.retire, self.before].filter { !$0.isEmpty }.map { .changes($0) } + self.flip
      + [self.after].filter { !$0.isEmpty }.map { .changes($0) }
  }
}

/// The keys that are in the maps: what an agent finds when it adopts the maps of its predecessor.
package struct PresentKeys: Sendable {
  package var endpoints: [mesh_endpoint_key] = []
  package var policy: [mesh_policy_key] = []
  package var networks: [mesh_network_key] = []
  package var classes: [mesh_class_key] = []
  package var guards: [mesh_guard_key] = []
  package var ports: [mesh_port_key] = []
  package var workloads: [mesh_addr] = []
  package var services: [mesh_service_key] = []
  package var veths: [UInt32] = []
  package var pods: [UInt64] = []
  package var units: [UInt64] = []
  /// Numbers of workloads that rows, and sockets in use, bear.
  package var workloadNumbers: [UInt32] = []
  /// Numbers of networks of this host that rows bear.
  package var networkNumbers: [UInt32] = []
  /// In use: `mesh_config.generation`.
  package var generation: UInt32 = 0

  package init() {}
}
