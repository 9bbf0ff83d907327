import CMeshABI
import CMeshBPF
package import MeshBase

/// One program, for `show programs`.
package struct ProgramStatus: Equatable, Sendable {
  package var name: String
  package var id: UInt32
  /// Counted only while statistics are on (``BPFStatistics`` or the sysctl kernel.bpf_stats_enabled).
  package var runCount: UInt64
  /// Nanoseconds of all runs.
  package var runTime: UInt64
  package var verifiedInstructions: UInt32
  /// Names of the links and filters through which it is attached.
  package var links: [String]
}

/// One map, for `show maps`.
package struct MapStatus: Equatable, Sendable {
  package var name: String
  package var id: UInt32
  /// nil where a map has no entries to count (ring buffer, socket storage).
  package var entries: Int?
  package var maxEntries: UInt32
  /// Bytes of kernel memory.
  package var memory: UInt64
}

/// What is pinned under a directory, read without owning it: for the command line beside a running agent.
package enum DatapathInventory {
  package static func programs(pinDirectory: String) throws(MeshError) -> [ProgramStatus] {
    cmesh_bpf_setup()
    let directory = pinDirectory + "/" + PinDirectory.layoutName + "/links"
    var attached: [(name: String, program: UInt32)] = []
    for name in PinDirectory.list(directory) {
      attached.append((name, try BPFLink.pinned(name, path: directory + "/" + name).info().program))
    }
    for interface in EdgeFilters(pinDirectory: pinDirectory).interfaces() {
      if case .ours(let program) = EdgeFilters.state(of: interface) {
        attached.append((KernelDatapath.edgeName(interface), program))
      }
    }
    var found: [UInt32: ProgramStatus] = [:]
    for (name, identifier) in attached {
      if found[identifier] == nil {
        let program = try OwnedDescriptor.owning(
          cmesh_program_by_id(identifier), name, "cannot open the attached program")
        found[identifier] = try self.status(program.rawValue, name)
      }
      found[identifier]?.links.append(name)
    }
    return found.values.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
  }

  package static func maps(pinDirectory: String) throws(MeshError) -> [MapStatus] {
    cmesh_bpf_setup()
    let directory = pinDirectory + "/" + PinDirectory.layoutName + "/maps"
    var result: [MapStatus] = []
    for name in PinDirectory.list(directory) {
      let map = try OwnedDescriptor.owning(
        cmesh_pin_get(directory + "/" + name), name, "cannot open the pinned map")
      result.append(try self.status(map: map.rawValue, name))
    }
    return result
  }

  static func status(_ program: CInt, _ name: String) throws(MeshError) -> ProgramStatus {
    var info = cmesh_program_info()
    let result = cmesh_program_info(program, &info)
    guard result == 0 else { throw BPFFailure.error(result, name, "cannot read the program") }
    let text = withUnsafePointer(to: &info.name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 16) { String(cString: $0) }
    }
    return ProgramStatus(
      name: text, id: info.id, runCount: info.run_count, runTime: info.run_time_ns,
      verifiedInstructions: info.verified_instructions, links: [])
  }

  static func status(map: CInt, _ name: String) throws(MeshError) -> MapStatus {
    var layout = cmesh_map_layout()
    let result = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) {
      cmesh_map_layout(map, &layout, $0.baseAddress)
    }
    guard result == 0 else { throw BPFFailure.error(result, name, "cannot read the map") }
    return MapStatus(
      name: name, id: layout.id, entries: self.count(map, layout), maxEntries: layout.max_entries,
      memory: cmesh_map_memory(map))
  }

  /// In batches, into a buffer that is thrown away. Arrays are always full.
  private static func count(_ map: CInt, _ layout: cmesh_map_layout) -> Int? {
    let hashes: Set<UInt32> = [1, 5, 9, 10, 11]  // HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH, LPM_TRIE
    guard hashes.contains(layout.type) else { return nil }
    let cpus = layout.type == 5 || layout.type == 10 ? Int(max(cmesh_possible_cpus(), 1)) : 1
    let stride = (Int(layout.value_size) + 7) / 8 * 8 * cpus
    var position = [UInt8](repeating: 0, count: 64)
    var capacity = 4_096
    var first: CInt = 1
    var total = 0
    while true {
      let keys = UnsafeMutableRawPointer.allocate(byteCount: capacity * Int(layout.key_size), alignment: 8)
      let values = UnsafeMutableRawPointer.allocate(byteCount: capacity * stride, alignment: 8)
      defer {
        keys.deallocate()
        values.deallocate()
      }
      var count: UInt32 = 0
      let result = cmesh_map_list_batch(map, first, &position, keys, values, UInt32(capacity), &count)
      if result == -28, capacity < 1 << 20 {  // ENOSPC: a bucket longer than the buffer
        capacity *= 4
        continue
      }
      guard result >= 0 else { return nil }
      total += Int(count)
      if result == 1 { return total }
      first = 0
    }
  }
}

extension KernelDatapath {
  /// The programs of this process, with the links and filters that are pinned for them.
  package func programStatus() throws(MeshError) -> [ProgramStatus] {
    var result: [ProgramStatus] = []
    let links = self.pins.links() + self.filters.interfaces().map(Self.edgeName)
    for (name, descriptor) in self.programs.sorted(by: { $0.key < $1.key }) {
      var status = try DatapathInventory.status(descriptor.rawValue, name)
      status.links = links.filter { Self.program(ofLink: $0) == name }
      result.append(status)
    }
    return result
  }

  package var mapCount: Int { self.maps.count }

  /// What the map in use holds: a pinned one keeps its size.
  package func capacity(of name: MapSizes.Name) -> UInt32 { self.capacities[name] ?? 0 }

  static func capacities(of maps: [String: OwnedDescriptor]) throws(MeshError) -> [MapSizes.Name: UInt32] {
    var capacities: [MapSizes.Name: UInt32] = [:]
    for (name, map) in maps {
      guard let known = MapSizes.Name(map: name) else { continue }
      capacities[known] = try BPFMap<UInt32, UInt32>.layout(map.rawValue, name).maxEntries
    }
    return capacities
  }

  /// Counts the entries of every map: thousands take milliseconds, and buckets without any take their time too.
  ///
  /// - Parameter fresh: only of maps that programs fill; the others change with the agent's tables alone.
  package func mapStatus(filledByPrograms fresh: Bool = false) throws(MeshError) -> [MapStatus] {
    let filled = Set([MapSizes.Name.pending, .flows].map { Self.mapName($0.word) })
    var result: [MapStatus] = []
    for (name, descriptor) in self.maps.sorted(by: { $0.key < $1.key }) where !fresh || filled.contains(name) {
      result.append(try DatapathInventory.status(map: descriptor.rawValue, name))
    }
    return result
  }
}

/// Keeps run counts and times of all programs of the machine while it lives.
package final class BPFStatistics: Sendable {
  private let descriptor: OwnedDescriptor

  package init() throws(MeshError) {
    self.descriptor = try OwnedDescriptor.owning(cmesh_enable_stats(), "bpf statistics", "cannot be enabled")
  }
}
