import CMeshABI
import MeshBPF
import MeshBase
import MeshDatapath

/// Carries plans out on the maps. Nothing is decided here; the order is the plan's.
///
/// A full map stops nothing but what does not fit into it: endpoints, services and workloads beyond are refused at connect.
/// Rows that decide about access come whole or not at all: without room for them the generation in force stays, the last
/// good one.
struct MapDriver: Sendable {
  let kernel: KernelDatapath

  func run(_ steps: [PlanStep]) throws(MeshError) -> MapShortfall {
    var shortfall = MapShortfall()
    for step in steps {
      switch step {
      case .changes(let changes): try self.run(changes, &shortfall)
      case .config(let config): self.run(config, keepsGeneration: shortfall.concernsAccess)
      }
    }
    return shortfall
  }

  /// Puts of all maps first, what is referred to before what refers; then deletions, the other way round.
  private func run(_ changes: MapChanges, _ shortfall: inout MapShortfall) throws(MeshError) {
    shortfall.add(.endpoints, try Self.put(changes.endpoints, self.kernel.endpoints).count)
    shortfall.add(.policy, try Self.put(changes.policy, self.kernel.policy).count)
    shortfall.add(.networks, try Self.put(changes.networks, self.kernel.networks).count)
    shortfall.add(.classes, try Self.put(changes.classes, self.kernel.classes).count)
    shortfall.add(.guards, try Self.put(changes.guards, self.kernel.guards).count)
    shortfall.add(.ports, try Self.put(changes.ports, self.kernel.ports).count)
    shortfall.add(.workloads, try Self.put(changes.workloads, self.kernel.workloads).count)
    let services = try Self.put(changes.services, self.kernel.services)
    shortfall.add(.services, services.count)
    shortfall.addresses.formUnion(services.map { IPAddress($0.address) })
    let veths = zip(changes.veths.keys, changes.veths.values).map { (key: $0, value: $1) }
    shortfall.add(.veths, try self.kernel.veths.putFitting(veths).count)
    shortfall.add(.pods, try Self.put(changes.pods, self.kernel.pods).count)
    shortfall.add(.units, try Self.put(changes.units, self.kernel.units).count)
    try Self.delete(changes.units, self.kernel.units)
    try Self.delete(changes.pods, self.kernel.pods)
    for interface in changes.veths.deletions { try self.kernel.veths.delete(interface) }
    try Self.delete(changes.services, self.kernel.services)
    try Self.delete(changes.workloads, self.kernel.workloads)
    try Self.delete(changes.ports, self.kernel.ports)
    try Self.delete(changes.guards, self.kernel.guards)
    try Self.delete(changes.classes, self.kernel.classes)
    try Self.delete(changes.networks, self.kernel.networks)
    try Self.delete(changes.policy, self.kernel.policy)
    try Self.delete(changes.endpoints, self.kernel.endpoints)
  }

  /// The ranges first, then the generation: the one store that makes it current.
  private func run(_ config: PlannedConfig, keepsGeneration: Bool) {
    self.kernel.config.configure { config.write(to: &$0) }
    if !keepsGeneration { self.kernel.config.generation = config.generation }
  }

  /// Addresses that are refused because their services do not fit.
  func refusedAddresses() throws(MeshError) -> Set<IPAddress> {
    Set(
      try self.kernel.workloads.entries().filter { $0.value.flags & MESH_WORKLOAD_NONE != 0 }.map { IPAddress($0.key) })
  }

  /// Calls to `addresses` are refused from now on, those to others of `old` are not any more. Where nothing of a service is
  /// in the maps, calls to it would pass as calls to the world outside.
  func refuse(_ addresses: Set<IPAddress>, insteadOf old: Set<IPAddress>) throws(MeshError) {
    for address in addresses {
      let row = mesh_workload(workload: 0, flags: MESH_WORKLOAD_NONE, network: 0)
      do throws(MeshError) {
        try self.kernel.workloads.put(mesh_addr(address), row, .onlyNew)
      } catch {
        guard error.code == .conflict else { throw error }
      }
    }
    for address in old.subtracting(addresses) {
      guard let row = try self.kernel.workloads.get(mesh_addr(address)), row.flags & MESH_WORKLOAD_NONE != 0 else {
        continue
      }
      try self.kernel.workloads.delete(mesh_addr(address))
    }
  }

  /// What is in the maps now: the rows of a predecessor, or those of a plan that did not fit.
  func presentKeys() throws(MeshError) -> PresentKeys {
    var present = PresentKeys()
    present.endpoints = try self.kernel.endpoints.entries().map(\.key)
    present.policy = try self.kernel.policy.entries().map(\.key)
    present.networks = try self.kernel.networks.entries().map(\.key)
    present.classes = try self.kernel.classes.entries().map(\.key)
    present.guards = try self.kernel.guards.entries().map(\.key)
    let workloads = try self.kernel.workloads.entries().filter { $0.value.flags & MESH_WORKLOAD_NONE == 0 }
    present.workloads = workloads.map(\.key)
    present.services = try self.kernel.services.entries().map(\.key)
    present.veths = try self.kernel.veths.interfaces()
    let pods = try self.kernel.pods.entries()
    present.pods = pods.map(\.key)
    let units = try self.kernel.units.entries()
    present.units = units.map(\.key)
    let ports = try self.kernel.ports.entries()
    present.ports = ports.map(\.key)
    present.workloadNumbers = Array(
      Set(workloads.map(\.value.workload) + ports.map(\.value.workload) + (pods + units).map(\.value.workload)))
    present.networkNumbers = Array(Set(workloads.map(\.value.network) + pods.map(\.value.network)))
    present.generation = self.kernel.config.generation
    return present
  }

  /// - Returns: the keys that did not fit.
  private static func put<Key, Value>(
    _ batch: MapBatch<Key, Value>, _ map: BPFMap<Key, Value>
  ) throws(MeshError) -> [Key] {
    guard !batch.keys.isEmpty else { return [] }
    return try map.putFitting(batch: zip(batch.keys, batch.values).map { ($0, $1) })
  }

  private static func delete<Key, Value>(
    _ batch: MapBatch<Key, Value>, _ map: BPFMap<Key, Value>
  ) throws(MeshError) {
    guard !batch.deletions.isEmpty else { return }
    try map.delete(batch: batch.deletions)
  }
}

/// What of a plan found its map full.
struct MapShortfall: Sendable {
  /// Rows that are not there, by map.
  private(set) var rows: [MapSizes.Name: Int] = [:]
  /// Of services with a row that is not there.
  var addresses: Set<IPAddress> = []

  var isEmpty: Bool { self.rows.isEmpty }

  /// The new generation is not complete, so that it must not decide.
  var concernsAccess: Bool { self.rows.keys.contains(where: \.holdsTwoGenerations) }

  mutating func add(_ map: MapSizes.Name, _ count: Int) {
    if count > 0 { self.rows[map, default: 0] += count }
  }

  /// Nil if everything fits.
  func error(_ capacity: (MapSizes.Name) -> UInt32) -> MeshError? {
    guard !self.isEmpty else { return nil }
    let maps = self.rows.sorted { $0.key.rawValue < $1.key.rawValue }
    return MeshError(
      .exhausted, "map \(maps.map(\.key.rawValue).joined(separator: ", "))",
      "is full: "
        + maps.map { "\($0.value) rows of \($0.key.rawValue) do not fit into \(capacity($0.key))" }
        .joined(separator: ", ")
        + (self.concernsAccess ? "; the policy that was in force before stays" : "; calls to them are refused"),
      next: "a larger --map-limit of the agent, after martlet purge")
  }
}
