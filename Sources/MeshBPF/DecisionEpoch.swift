import CMeshBPF
import Glibc
import MeshBase
import Synchronization

/// Counts up around every write of a row that a decision reads: odd while one changes. What the programs remember of an epoch
/// is nothing to them in the next (`bpf/lib/memo.h`), so whoever writes such a row by another way than a ``BPFMap`` that bears
/// the epoch has to count as well.
///
/// Unchecked: the page is memory that the kernel reads concurrently; the number is stored whole, under the lock.
package final class DecisionEpoch: @unchecked Sendable {
  private let page: UnsafeMutablePointer<UInt64>
  private let length: Int
  private let writing = Mutex(())

  private init(page: UnsafeMutablePointer<UInt64>, length: Int) {
    self.page = page
    self.length = length
  }

  /// Begins an epoch: nothing counts that was remembered before, by whatever wrote rows until now. (No throwing initializer:
  /// Swift 6.3's optimizer crashes on one, of a class that bears a mutex, in other modules.)
  static func begin(descriptor: CInt, name: String) throws(MeshError) -> DecisionEpoch {
    let length = Int(sysconf(CInt(_SC_PAGESIZE)))
    var failure: CInt = 0
    guard let address = cmesh_map_mmap(descriptor, length, &failure) else {
      throw BPFFailure.error(failure, name, "cannot map the page of the epoch")
    }
    let epoch = DecisionEpoch(page: address.bindMemory(to: UInt64.self, capacity: 1), length: length)
    // A predecessor can have died while it wrote.
    cmesh_epoch_store(epoch.page, (epoch.current | 1) &+ 1)
    return epoch
  }

  deinit {
    cmesh_map_munmap(self.page, self.length)
  }

  package var current: UInt64 { cmesh_epoch_load(self.page) }

  func change<Result>(_ write: () throws(MeshError) -> Result) throws(MeshError) -> Result {
    try self.writing.withLock { _ throws(MeshError) in
      let even = self.current
      cmesh_epoch_store(self.page, even &+ 1)
      defer { cmesh_epoch_store(self.page, even &+ 2) }
      return try write()
    }
  }
}

extension BPFMap {
  /// Of the map of decisions, or of none.
  func changing<Result>(_ write: () throws(MeshError) -> Result) throws(MeshError) -> Result {
    guard let epoch = self.epoch else { return try write() }
    return try epoch.change(write)
  }
}
