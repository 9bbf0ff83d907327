import CMeshBPF
import Glibc
package import MeshBase

/// Many entries in one system call: 10,000 take 7 ms one after the other, 3.5 ms so.
extension BPFMap {
  /// Entries a call: bounds the memory that the kernel copies at once.
  private static var batchSize: Int { 8_192 }

  /// Writes all, or stops at the first failure: then an unknown prefix is written.
  package func put(batch: some Collection<(key: Key, value: Value)>) throws(MeshError) {
    var keys = ContiguousArray<Key>()
    var values = ContiguousArray<Value>()
    keys.reserveCapacity(batch.count)
    values.reserveCapacity(batch.count)
    for (key, value) in batch {
      keys.append(key)
      values.append(value)
    }
    var start = 0
    var attempts = 0
    while start < keys.count {
      let count = min(Self.batchSize, keys.count - start)
      var done: UInt32 = 0
      let result = try self.changing {
        keys.withUnsafeBufferPointer { keys in
          values.withUnsafeBufferPointer { values in
            cmesh_map_put_batch(
              self.descriptor.rawValue, keys.baseAddress?.advanced(by: start),
              values.baseAddress?.advanced(by: start), UInt32(count), &done)
          }
        }
      }
      if result == -ENOMEM, attempts < 64 {
        // See put(_:_:_:).
        attempts += 1
        start += min(Int(done), count)
        sched_yield()
        continue
      }
      guard result == 0 else { throw self.failure(result, "cannot write a batch of \(count) entries") }
      start += count
    }
  }

  /// Writes what there is room for. Rows whose keys are in the map always have room.
  ///
  /// - Returns: the keys of the others.
  package func putFitting(batch: some Collection<(key: Key, value: Value)>) throws(MeshError) -> [Key] {
    do throws(MeshError) {
      try self.put(batch: batch)
      return []
    } catch {
      guard error.code == .exhausted else { throw error }
    }
    var rest: [Key] = []
    for (key, value) in batch {
      do throws(MeshError) {
        try self.put(key, value)
      } catch {
        guard error.code == .exhausted else { throw error }
        rest.append(key)
      }
    }
    return rest
  }

  /// Keys that are not there are no failure.
  package func delete(batch: some Collection<Key>) throws(MeshError) {
    let keys = ContiguousArray(batch)
    var start = 0
    while start < keys.count {
      let count = min(Self.batchSize, keys.count - start)
      var done: UInt32 = 0
      let result = try self.changing {
        keys.withUnsafeBufferPointer { keys in
          cmesh_map_delete_batch(
            self.descriptor.rawValue, keys.baseAddress?.advanced(by: start), UInt32(count), &done)
        }
      }
      if result == -ENOENT {
        // The batch ends at the first missing key.
        start += min(Int(done), count - 1) + 1
        continue
      }
      guard result == 0 else { throw self.failure(result, "cannot delete a batch of \(count) entries") }
      start += count
    }
  }

  /// Every entry, in the kernel's order. Entries that change meanwhile may be missing or old.
  package func entries() throws(MeshError) -> [(key: Key, value: Value)] {
    try self.list(valueStride: MemoryLayout<Value>.size) { values, index in
      (values + index * MemoryLayout<Value>.size).loadUnaligned(as: Value.self)
    }
  }

  /// How many entries there are now: iterates, so do not ask often.
  package func count() throws(MeshError) -> Int {
    try self.list(valueStride: MemoryLayout<Value>.size) { _, _ in () }.count
  }
}

extension BPFMap {
  /// - Parameter valueStride: bytes of a value as the kernel copies it; per-CPU maps copy one for each CPU.
  func list<Element>(valueStride: Int, _ element: (UnsafeRawPointer, Int) -> Element) throws(MeshError)
    -> [(key: Key, value: Element)]
  {
    var entries: [(key: Key, value: Element)] = []
    var capacity = 1_024
    var first = true
    var position = [UInt8](repeating: 0, count: 64)
    while true {
      var count: UInt32 = 0
      let keys = UnsafeMutableRawPointer.allocate(byteCount: capacity * MemoryLayout<Key>.size, alignment: 8)
      let values = UnsafeMutableRawPointer.allocate(byteCount: capacity * valueStride, alignment: 8)
      defer {
        keys.deallocate()
        values.deallocate()
      }
      let result = cmesh_map_list_batch(
        self.descriptor.rawValue, first ? 1 : 0, &position, keys, values, UInt32(capacity), &count)
      if result == -ENOSPC, capacity < 1 << 20 {
        capacity *= 4
        continue
      }
      guard result >= 0 else { throw self.failure(result, "cannot list") }
      for index in 0..<Int(count) {
        let key = (keys + index * MemoryLayout<Key>.size).loadUnaligned(as: Key.self)
        entries.append((key, element(UnsafeRawPointer(values), index)))
      }
      if result == 1 { return entries }
      first = false
    }
  }
}
