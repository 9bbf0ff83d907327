import CMeshBPF
package import MeshBase

/// One compiled object file: opened, adjusted, loaded. Programs and maps stay while a descriptor, a link or a pin holds
/// them; this value closes its own in `deinit`. Confined to one thread at a time.
package final class BPFObject {
  /// The file's name without directory.
  package let name: String
  private let object: OpaquePointer

  /// What a map of an object or of the kernel looks like.
  package struct Layout: Equatable, Sendable {
    package var type: UInt32
    package var keySize: UInt32
    package var valueSize: UInt32
    package var maxEntries: UInt32
    package var flags: UInt32

    init(_ layout: cmesh_map_layout) {
      self.type = layout.type
      self.keySize = layout.key_size
      self.valueSize = layout.value_size
      self.maxEntries = layout.max_entries
      self.flags = layout.flags
    }

    /// Equal but for the number of entries, which is a choice and no layout.
    package func isCompatible(with other: Layout) -> Bool {
      self.type == other.type && self.keySize == other.keySize && self.valueSize == other.valueSize
        && self.flags == other.flags
    }
  }

  /// - Throws: `notFound` for a missing file, else with libbpf's words.
  package init(path: String) throws(MeshError) {
    cmesh_bpf_setup()
    BPFFailure.clearLog()
    var failure: CInt = 0
    guard let object = cmesh_object_open(path, &failure) else {
      throw BPFFailure.error(failure, path, "cannot open the BPF object", next: "build it with scripts/build-bpf")
    }
    self.object = object
    self.name = path.split(separator: "/").last.map(String.init) ?? path
  }

  deinit {
    cmesh_object_close(self.object)
  }

  package var mapNames: [String] {
    (0..<cmesh_object_map_count(self.object)).compactMap { index in
      cmesh_object_map_name(self.object, index).map { String(cString: $0) }
    }
  }

  package var programNames: [String] {
    (0..<cmesh_object_program_count(self.object)).compactMap { index in
      cmesh_object_program_name(self.object, index).map { String(cString: $0) }
    }
  }

  private func mapIndex(_ map: String) throws(MeshError) -> Int {
    guard let index = self.mapNames.firstIndex(of: map) else {
      throw MeshError(.notFound, self.name, "has no map \(map)")
    }
    return index
  }

  /// What the object declares.
  package func layout(map: String) throws(MeshError) -> Layout {
    var layout = cmesh_map_layout()
    let result = cmesh_object_map_layout(self.object, try self.mapIndex(map), &layout)
    guard result == 0 else { throw BPFFailure.error(result, map, "cannot read the layout") }
    return Layout(layout)
  }

  /// Before ``load()``.
  package func resize(map: String, maxEntries: UInt32) throws(MeshError) {
    let result = cmesh_object_map_resize(self.object, try self.mapIndex(map), maxEntries)
    guard result == 0 else { throw BPFFailure.error(result, map, "cannot set \(maxEntries) entries") }
  }

  /// Uses an existing map in place of the object's own. Before ``load()``.
  package func reuse(map: String, descriptor: CInt) throws(MeshError) {
    let result = cmesh_object_map_reuse(self.object, try self.mapIndex(map), descriptor)
    guard result == 0 else { throw BPFFailure.error(result, map, "cannot reuse the existing map") }
  }

  /// Overwrites bytes of the constants (section .rodata). Before ``load()``.
  package func setConstants(_ bytes: [UInt8], at offset: Int) throws(MeshError) {
    let result = cmesh_object_rodata_set(self.object, offset, bytes, bytes.count)
    guard result == 0 else { throw BPFFailure.error(result, self.name, "cannot set constants") }
  }

  /// Creates the maps that are not reused, and has the kernel verify every program.
  ///
  /// - Throws: with the verifier's last lines as the cause.
  package func load() throws(MeshError) {
    BPFFailure.clearLog()
    let result = cmesh_object_load(self.object)
    guard result == 0 else {
      throw BPFFailure.error(
        result, self.name, "the kernel refuses the object", next: "martlet check names what this kernel lacks")
    }
  }

  /// The descriptor of a loaded program; it stays the object's.
  package func program(_ program: String) throws(MeshError) -> CInt {
    guard let index = self.programNames.firstIndex(of: program) else {
      throw MeshError(.notFound, self.name, "has no program \(program)")
    }
    let descriptor = cmesh_object_program_fd(self.object, index)
    guard descriptor >= 0 else { throw BPFFailure.error(descriptor, program, "is not loaded") }
    return descriptor
  }

  /// The descriptor of a map of the loaded object; it stays the object's.
  package func map(_ map: String) throws(MeshError) -> CInt {
    let descriptor = cmesh_object_map_fd(self.object, try self.mapIndex(map))
    guard descriptor >= 0 else { throw BPFFailure.error(descriptor, map, "is not created") }
    return descriptor
  }

  /// Runs a program once on a packet, without attaching it anywhere (BPF_PROG_TEST_RUN).
  ///
  /// - Returns: its return value.
  package func run(program: String, packet: [UInt8] = [UInt8](repeating: 0, count: 64)) throws(MeshError) -> UInt32 {
    var value: UInt32 = 0
    var duration: UInt32 = 0
    let result = cmesh_program_run(try self.program(program), packet, UInt32(packet.count), 1, &value, &duration)
    guard result == 0 else { throw BPFFailure.error(result, program, "cannot be run for a test") }
    return value
  }
}
