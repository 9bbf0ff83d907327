import CMeshBPF
import Glibc
import MeshBase

/// Loads every object of a directory over one common set of maps: each map is made by the first object that declares it
/// and reused by the others.
enum DatapathLoader {
  struct Loaded {
    var programs: [String: OwnedDescriptor] = [:]
    var maps: [String: OwnedDescriptor] = [:]
  }

  /// - Parameter pinned: maps of an earlier process; their layout has to be that of the objects.
  static func load(directory: String, sizes: MapSizes, pinned: [String: OwnedDescriptor]) throws(MeshError) -> Loaded {
    let files = PinDirectory.list(directory).filter { $0.hasSuffix(".bpf.o") && !$0.hasSuffix(".test.bpf.o") }
    guard !files.isEmpty else {
      throw MeshError(.notFound, directory, "has no BPF objects", next: "build them with scripts/build-bpf")
    }
    var objects: [BPFObject] = []
    for file in files {
      objects.append(try BPFObject(path: directory + "/" + file))
    }
    // All comparisons before the first load: an adoption that is refused has touched nothing.
    for object in objects {
      for map in object.mapNames where self.isOurs(map) {
        if let existing = pinned[map] { try self.compare(object, map, existing) }
      }
    }
    var loaded = Loaded(maps: pinned)
    for object in objects {
      for map in object.mapNames where self.isOurs(map) {
        if let existing = loaded.maps[map] {
          try object.reuse(map: map, descriptor: existing.rawValue)
        } else if let size = sizes.size(ofMap: map) {
          try object.resize(map: map, maxEntries: size)
        }
      }
      try object.load()
      for map in object.mapNames where self.isOurs(map) && loaded.maps[map] == nil {
        loaded.maps[map] = try OwnedDescriptor.duplicate(try object.map(map), map)
      }
      for program in object.programNames {
        loaded.programs[program] = try OwnedDescriptor.duplicate(try object.program(program), program)
      }
    }
    return loaded
  }

  /// Not libbpf's own, such as `connect_.rodata`.
  private static func isOurs(_ map: String) -> Bool {
    map.hasPrefix("mesh_") && !map.contains(".")
  }

  private static func compare(_ object: BPFObject, _ map: String, _ existing: OwnedDescriptor) throws(MeshError) {
    let declared = try object.layout(map: map)
    let pinned = try BPFMap<UInt32, UInt32>.layout(existing.rawValue, map)
    guard declared.isCompatible(with: pinned) else {
      throw MeshError(
        .conflict, map, "the pinned map has another layout",
        cause: "type \(pinned.type), key \(pinned.keySize), value \(pinned.valueSize), flags \(pinned.flags) are "
          + "pinned; this version has type \(declared.type), key \(declared.keySize), value \(declared.valueSize), "
          + "flags \(declared.flags)", next: "run the version that made it, or martlet purge")
    }
  }
}
