import CMeshBPF
import Glibc
package import MeshBase

/// A table that holds one value for each CPU under a key: counters without contention.
package final class PerCPUMap<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>: Sendable {
  private let map: BPFMap<Key, Value>
  private let cpus: Int

  /// The kernel copies values of eight-byte multiples.
  private static var stride: Int { (MemoryLayout<Value>.size + 7) & ~7 }

  package init(name: String, descriptor: CInt) throws(MeshError) {
    self.map = try BPFMap(name: name, descriptor: descriptor)
    let cpus = cmesh_possible_cpus()
    guard cpus > 0 else { throw BPFFailure.error(cpus, name, "cannot count the CPUs") }
    self.cpus = Int(cpus)
  }

  package var name: String { self.map.name }
  package var maxEntries: UInt32 { self.map.maxEntries }
  package var rawDescriptor: CInt { self.map.rawDescriptor }

  /// One value for each possible CPU.
  package func get(_ key: Key) throws(MeshError) -> [Value]? {
    let bytes = self.cpus * Self.stride
    let (result, values) = withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 8) { buffer in
      let result = withUnsafePointer(to: key) { cmesh_map_get(self.map.rawDescriptor, $0, buffer.baseAddress) }
      guard result == 0, let base = buffer.baseAddress else { return (result, [Value]()) }
      return (result, Self.values(UnsafeRawPointer(base), 0, self.cpus))
    }
    if result == -ENOENT { return nil }
    guard result == 0 else { throw BPFFailure.error(result, self.name, "cannot look up") }
    return values
  }

  package func entries() throws(MeshError) -> [(key: Key, value: [Value])] {
    try self.map.list(valueStride: self.cpus * Self.stride) { values, index in
      Self.values(values, index, self.cpus)
    }
  }

  @discardableResult
  package func delete(_ key: Key) throws(MeshError) -> Bool {
    try self.map.delete(key)
  }

  private static func values(_ base: UnsafeRawPointer, _ index: Int, _ cpus: Int) -> [Value] {
    (0..<cpus).map { (base + (index * cpus + $0) * Self.stride).loadUnaligned(as: Value.self) }
  }
}
