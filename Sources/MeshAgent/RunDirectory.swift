import MeshBase
import MeshLinux
import Synchronization

/// The run directory, and the lock that makes this agent its only one. Whoever is root can remove either while it runs.
final class RunDirectory: Sendable {
  private struct Held {
    var lock: FileLock
    var id: FileID?
  }

  let path: String
  private let held: Mutex<Held?>

  /// Makes the directory if it is not there.
  ///
  /// - Throws: `conflict` if another agent has it.
  init(path: String) throws(MeshError) {
    self.path = path
    self.held = Mutex(nil)
    try self.take()
  }

  /// Makes again what is gone. True if something was.
  func repair() throws(MeshError) -> Bool {
    let id = try DiskFile.status(self.lockPath)?.id
    if id != nil, id == self.held.withLock({ $0?.id }) { return false }
    try self.take()
    return true
  }

  private var lockPath: String { self.path + "/lock" }

  private func take() throws(MeshError) {
    try DiskFile.makeDirectory(self.path, mode: 0o755)
    let lock: FileLock
    do throws(MeshError) {
      lock = try FileLock(path: self.lockPath)
    } catch {
      guard error.code == .conflict else { throw error }
      throw MeshError(
        .conflict, self.path, "another agent owns this run directory", cause: "\(error.object) \(error.message)",
        next: "stop the other agent, or give this one its own --run-dir")
    }
    let held = Held(lock: lock, id: try DiskFile.status(self.lockPath)?.id)
    self.held.withLock { $0 = held }
  }
}
