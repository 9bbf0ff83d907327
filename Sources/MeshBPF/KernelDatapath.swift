package import CMeshABI
import CMeshBPF
package import MeshBase
import Synchronization

/// The mesh's programs and maps in the kernel: one per agent. ``load(objects:pins:sizes:)`` makes everything new,
/// ``adopt(objects:pins:)`` takes over what an earlier process pinned, keeping every map and swapping the programs in
/// place. What is attached stays attached when the process dies; ``purge(pinDirectory:)`` removes it.
///
/// Maps are safe to use from any thread. Attaching and adopting are for one caller at a time: the agent's start and its
/// enrolment of workloads.
package final class KernelDatapath: Sendable {
  package let pins: PinDirectory
  /// How `edge` is attached.
  let edge: EdgeAttachment

  package let pods: BPFMap<UInt64, mesh_pod>
  package let units: BPFMap<UInt64, mesh_pod>
  package let ports: BPFMap<mesh_port_key, mesh_workload>
  package let workloads: BPFMap<mesh_addr, mesh_workload>
  package let services: BPFMap<mesh_service_key, mesh_service>
  package let endpoints: BPFMap<mesh_endpoint_key, mesh_endpoint>
  package let guards: BPFMap<mesh_guard_key, mesh_guard>
  package let classes: BPFMap<mesh_class_key, UInt32>
  package let networks: BPFMap<mesh_network_key, UInt32>
  package let policy: BPFMap<mesh_policy_key, mesh_policy>
  package let veths: VethTable
  package let pending: BPFMap<UInt64, mesh_flow>
  package let flows: FlowTable
  /// Keyed by the descriptor of an upstream socket of this process.
  package let legs: BPFMap<CInt, mesh_leg>
  /// Keyed by the descriptor of an accepted socket of this process.
  package let accepted: BPFMap<CInt, mesh_flow>
  package let edges: EdgeTable
  package let counters: PerCPUMap<UInt32, UInt64>
  package let config: ConfigPage
  package let epoch: DecisionEpoch

  let programs: [String: OwnedDescriptor]
  let maps: [String: OwnedDescriptor]
  let programIdentifiers: [String: UInt32]
  let capacities: [MapSizes.Name: UInt32]
  let held = Mutex(Held())

  /// `mesh_pods_v1`.
  package static func mapName(_ word: String) -> String {
    "mesh_\(word)_v\(MESH_LAYOUT)"
  }

  init(pins: PinDirectory, loaded: DatapathLoader.Loaded, edge: EdgeAttachment) throws(MeshError) {
    func descriptor(_ word: String) throws(MeshError) -> (name: String, descriptor: CInt) {
      let name = Self.mapName(word)
      guard let map = loaded.maps[name] else {
        throw MeshError(
          .notFound, name, "no object declares this map", next: "build the objects with scripts/build-bpf")
      }
      return (name, map.rawValue)
    }
    func map<K: BitwiseCopyable & Sendable, V: BitwiseCopyable & Sendable>(
      _ word: String, _ epoch: DecisionEpoch? = nil
    ) throws(MeshError) -> BPFMap<K, V> {
      let (name, value) = try descriptor(word)
      return try BPFMap(name: name, descriptor: value, epoch: epoch)
    }
    func perCPU<K: BitwiseCopyable & Sendable, V: BitwiseCopyable & Sendable>(_ word: String) throws(MeshError)
      -> PerCPUMap<K, V>
    {
      let (name, value) = try descriptor(word)
      return try PerCPUMap(name: name, descriptor: value)
    }
    // Before this version's programs are in place: what they remember is of a time in which every writer counted.
    let (name, page) = try descriptor("epoch")
    let epoch = try DecisionEpoch.begin(descriptor: page, name: name)
    self.epoch = epoch
    self.pods = try map("pods", epoch)
    self.units = try map("units", epoch)
    self.ports = try map("ports", epoch)
    self.workloads = try map("wload", epoch)
    self.services = try map("svc", epoch)
    self.endpoints = try map("ep", epoch)
    self.guards = try map("guards", epoch)
    self.classes = try map("classes", epoch)
    self.networks = try map("nets", epoch)
    self.policy = try map("policy", epoch)
    self.veths = VethTable(slots: try map("vslots"), beside: try map("veths"))
    self.pending = try map("pending")
    self.flows = FlowTable(slots: try map("slots"), beside: try map("flows"))
    self.legs = try map("legs")
    self.accepted = try map("accept")
    self.edges = EdgeTable(slots: try perCPU("eslots"), beside: try perCPU("edges"))
    self.counters = try perCPU("count")
    let config = try descriptor("config")
    self.config = try ConfigPage(descriptor: config.descriptor, name: config.name)
    self.pins = pins
    self.edge = edge
    self.programs = loaded.programs
    self.programIdentifiers = try Self.identifiers(of: loaded.programs)
    self.maps = loaded.maps
    self.capacities = try Self.capacities(of: loaded.maps)
  }

  /// Adopts what is pinned, or loads everything new.
  ///
  /// - Parameters:
  ///   - objects: the directory of the compiled objects.
  ///   - pinDirectory: in a BPF file system, which is mounted if it is missing.
  ///   - sizes: of maps that are made now; pinned ones keep theirs.
  ///   - edge: how `edge` is attached.
  /// - Returns: the datapath, and whether it was adopted.
  package static func open(
    objects: String, pinDirectory: String, sizes: MapSizes = .defaults, edge: EdgeAttachment = .best
  ) throws(MeshError) -> (datapath: KernelDatapath, adopted: Bool) {
    let pins = try PinDirectory(path: pinDirectory)
    if pins.hasPins {
      return (try self.adopt(objects: objects, pins: pins, edge: edge), true)
    }
    return (try self.load(objects: objects, pins: pins, sizes: sizes, edge: edge), false)
  }

  /// Loads and pins everything, or nothing: a temporary directory, then one rename.
  ///
  /// - Throws: `conflict` if something is pinned already; the verifier's last lines if it refuses a program.
  package static func load(
    objects: String, pins: PinDirectory, sizes: MapSizes = .defaults, edge: EdgeAttachment = .best
  ) throws(MeshError) -> KernelDatapath {
    try pins.refuseOtherLayouts()
    guard !pins.hasPins else {
      throw MeshError(.conflict, pins.path, "is in use already", next: "adopt it, or martlet purge")
    }
    pins.removeLeftovers()
    let loaded = try DatapathLoader.load(directory: objects, sizes: sizes, pinned: [:])
    let datapath = try KernelDatapath(pins: pins, loaded: loaded, edge: edge)
    try pins.pin(maps: loaded.maps.map { ($0.key, $0.value.rawValue) }.sorted { $0.0 < $1.0 })
    return datapath
  }

  /// The same from a path; takes the lock.
  package static func load(
    objects: String, pinDirectory: String, sizes: MapSizes = .defaults, edge: EdgeAttachment = .best
  ) throws(MeshError) -> KernelDatapath {
    try self.load(objects: objects, pins: try PinDirectory(path: pinDirectory), sizes: sizes, edge: edge)
  }

  /// Reuses every pinned map and puts this version's programs into every pinned link, one atomic exchange each.
  ///
  /// - Throws: `conflict`, before anything is touched, if the pinned maps are not of this layout.
  package static func adopt(objects: String, pins: PinDirectory, edge: EdgeAttachment = .best) throws(MeshError)
    -> KernelDatapath
  {
    try pins.refuseOtherLayouts()
    guard pins.hasPins else { throw MeshError(.notFound, pins.path, "nothing is pinned here") }
    pins.removeLeftovers()
    var pinned: [String: OwnedDescriptor] = [:]
    for name in PinDirectory.list(pins.mapsPath) {
      let path = pins.mapsPath + "/" + name
      pinned[name] = try OwnedDescriptor.owning(cmesh_pin_get(path), path, "cannot open the pinned map")
    }
    let loaded = try DatapathLoader.load(directory: objects, sizes: .defaults, pinned: pinned)
    let datapath = try KernelDatapath(pins: pins, loaded: loaded, edge: edge)
    // A map that this version added to the same layout.
    for (name, map) in loaded.maps where pinned[name] == nil {
      let result = cmesh_pin(map.rawValue, pins.mapsPath + "/" + name)
      guard result == 0 else { throw BPFFailure.error(result, name, "cannot pin the map") }
    }
    try datapath.replacePrograms()
    return datapath
  }

  /// Notes for which workload the proxy will dial with this socket of ours.
  package func tag(socket: CInt, as leg: mesh_leg) throws(MeshError) {
    try self.legs.put(socket, leg)
  }

  /// Reads refusals and ends of connections on a thread of its own.
  package func readEvents(_ deliver: @escaping @Sendable ([mesh_event]) -> Void) throws(MeshError)
    -> RingBufferReader
  {
    let name = Self.mapName("events")
    guard let map = self.maps[name] else { throw MeshError(.notFound, name, "no object declares this map") }
    return try RingBufferReader(name: name, descriptor: map.rawValue, deliver: deliver)
  }

  func program(_ name: String) throws(MeshError) -> CInt {
    guard let program = self.programs[name] else {
      throw MeshError(.notFound, name, "no object has this program", next: "build the objects with scripts/build-bpf")
    }
    return program.rawValue
  }
}
