import CMeshABI
import MeshBPF
import MeshBase
import MeshDatapath

/// Carries plans out on the maps. Nothing is decided here; the order is the plan's.
struct MapDriver: Sendable {
  let kernel: KernelDatapath

  func run(_ steps: [PlanStep]) throws(MeshError) {
    for step in steps {
      switch step {
      case .changes(let changes): try self.run(changes)
      case .config(let config): self.run(config)
      }
    }
  }

  /// Puts of all maps first, what is referred to before what refers; then deletions, the other way round.
  func run(_ changes: MapChanges) throws(MeshError) {
    try Self.put(changes.endpoints, self.kernel.endpoints)
    try Self.put(changes.policy, self.kernel.policy)
    try Self.put(changes.networks, self.kernel.networks)
    try Self.put(changes.classes, self.kernel.classes)
    try Self.put(changes.guards, self.kernel.guards)
    try Self.put(changes.ports, self.kernel.ports)
    try Self.put(changes.workloads, self.kernel.workloads)
    try Self.put(changes.services, self.kernel.services)
    try Self.put(changes.veths, self.kernel.veths)
    try Self.put(changes.pods, self.kernel.pods)
    try Self.put(changes.units, self.kernel.units)
    try Self.delete(changes.units, self.kernel.units)
    try Self.delete(changes.pods, self.kernel.pods)
    try Self.delete(changes.veths, self.kernel.veths)
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
  private func run(_ config: PlannedConfig) {
    self.kernel.config.configure { config.write(to: &$0) }
    self.kernel.config.generation = config.generation
  }

  /// What is in the maps now: the rows of a predecessor.
  func presentKeys() throws(MeshError) -> PresentKeys {
    var present = PresentKeys()
    present.endpoints = try self.kernel.endpoints.entries().map(\.key)
    present.policy = try self.kernel.policy.entries().map(\.key)
    present.networks = try self.kernel.networks.entries().map(\.key)
    present.classes = try self.kernel.classes.entries().map(\.key)
    present.guards = try self.kernel.guards.entries().map(\.key)
    let workloads = try self.kernel.workloads.entries()
    present.workloads = workloads.map(\.key)
    present.services = try self.kernel.services.entries().map(\.key)
    present.veths = try self.kernel.veths.entries().map(\.key)
    let pods = try self.kernel.pods.entries()
    present.pods = pods.map(\.key)
    let units = try self.kernel.units.entries()
    present.units = units.map(\.key)
    let ports = try self.kernel.ports.entries()
    present.ports = ports.map(\.key)
    present.workloadNumbers = Array(
      Set(workloads.map(\.value.workload) + ports.map(\.value.workload) + (pods + units).map(\.value.workload)))
    present.generation = self.kernel.config.generation
    return present
  }

  private static func put<Key, Value>(
    _ batch: MapBatch<Key, Value>, _ map: BPFMap<Key, Value>
  ) throws(MeshError) {
    guard !batch.keys.isEmpty else { return }
    try map.put(batch: zip(batch.keys, batch.values).map { ($0, $1) })
  }

  private static func delete<Key, Value>(
    _ batch: MapBatch<Key, Value>, _ map: BPFMap<Key, Value>
  ) throws(MeshError) {
    guard !batch.deletions.isEmpty else { return }
    try map.delete(batch: batch.deletions)
  }
}
