import CMeshBPF
import Glibc
package import MeshBase

/// A table in the kernel whose keys and values have the bytes of two C structs. Every call is one system call; the kernel
/// orders concurrent callers.
package final class BPFMap<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>: Sendable {
  package let name: String
  package let maxEntries: UInt32
  let descriptor: OwnedDescriptor
  /// Of a map whose rows decide.
  let epoch: DecisionEpoch?

  /// BPF_ANY, BPF_NOEXIST, BPF_EXIST.
  package enum Put: UInt64, Sendable {
    case always = 0
    case onlyNew = 1
    case onlyExisting = 2
  }

  /// - Parameters:
  ///   - descriptor: is duplicated.
  ///   - epoch: is counted up around each change.
  /// - Throws: `conflict` if the kernel's sizes differ from those of `Key` and `Value`.
  package init(name: String, descriptor: CInt, epoch: DecisionEpoch? = nil) throws(MeshError) {
    let layout = try Self.layout(descriptor, name)
    guard layout.keySize == MemoryLayout<Key>.size, layout.valueSize == MemoryLayout<Value>.size else {
      throw MeshError(
        .conflict, name, "key and value are not those of this version",
        cause: "\(layout.keySize) and \(layout.valueSize) bytes in the kernel, \(MemoryLayout<Key>.size) and "
          + "\(MemoryLayout<Value>.size) here", next: "run martlet purge, then start the matching version")
    }
    self.name = name
    self.maxEntries = layout.maxEntries
    self.descriptor = try OwnedDescriptor.duplicate(descriptor, name)
    self.epoch = epoch
  }

  static func layout(_ descriptor: CInt, _ name: String) throws(MeshError) -> BPFObject.Layout {
    var layout = cmesh_map_layout()
    let result = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) { text in
      cmesh_map_layout(descriptor, &layout, text.baseAddress)
    }
    guard result == 0 else { throw BPFFailure.error(result, name, "cannot read the map's layout") }
    return BPFObject.Layout(layout)
  }

  /// The descriptor, borrowed: for system calls that name a map.
  package var rawDescriptor: CInt { self.descriptor.rawValue }

  package func get(_ key: Key) throws(MeshError) -> Value? {
    let (result, value) = withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) { value in
      withUnsafePointer(to: key) { key in
        let result = cmesh_map_get(self.descriptor.rawValue, key, value.baseAddress)
        return (result, result == 0 ? value[0] : nil)
      }
    }
    if result == -ENOENT { return nil }
    guard result == 0 else { throw BPFFailure.error(result, self.name, "cannot look up") }
    return value
  }

  /// - Throws: `exhausted` when the map is full, `conflict` or `notFound` for the two conditional forms.
  package func put(_ key: Key, _ value: Value, _ put: Put = .always) throws(MeshError) {
    try self.changing { () throws(MeshError) in try self.write(key, value, put) }
  }

  private func write(_ key: Key, _ value: Value, _ put: Put) throws(MeshError) {
    var result: CInt = 0
    // A map that is not preallocated can be short of memory for an instant; the kernel refills in the background.
    for _ in 0..<8 {
      result = withUnsafePointer(to: key) { key in
        withUnsafePointer(to: value) { value in
          cmesh_map_put(self.descriptor.rawValue, key, value, put.rawValue)
        }
      }
      guard result == -ENOMEM else { break }
      sched_yield()
    }
    guard result == 0 else { throw self.failure(result, "cannot write") }
  }

  /// - Returns: whether there was an entry.
  @discardableResult
  package func delete(_ key: Key) throws(MeshError) -> Bool {
    try self.changing { () throws(MeshError) in
      let result = withUnsafePointer(to: key) { cmesh_map_delete(self.descriptor.rawValue, $0) }
      if result == -ENOENT { return false }
      guard result == 0 else { throw self.failure(result, "cannot delete") }
      return true
    }
  }

  func failure(_ result: CInt, _ message: String) -> MeshError {
    let full = result == -E2BIG || result == -ENOSPC
    return BPFFailure.error(
      result, self.name, full ? "the map is full (\(self.maxEntries) entries)" : message,
      next: full ? "a larger --map-limit of the agent, after martlet purge" : nil)
  }
}
