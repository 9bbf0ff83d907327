import Glibc
package import MeshBase

/// A lock on a file (flock(2)) that ends with this object or with the process, however it ends. Its content is the pid of
/// the holder, for people.
package final class FileLock: Sendable {
  package let path: String
  private let descriptor: Descriptor

  /// Takes the lock, or fails at once with `conflict`.
  package init(path: String) throws(MeshError) {
    do throws(SystemError) {
      let file = try Descriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
      try SystemError.check(flock(file.rawValue, LOCK_EX | LOCK_NB), "flock")
      let pid = Array("\(getpid())\n".utf8)
      try SystemError.check(ftruncate(file.rawValue, 0), "ftruncate")
      guard pwrite(file.rawValue, pid, pid.count, 0) == pid.count else { throw SystemError(errno, "write") }
      self.descriptor = file
    } catch {
      guard error.errno != EWOULDBLOCK else {
        let holder = (try? FileBytes.readText(path, limit: 64))?.prefix { $0.isNumber } ?? ""
        throw MeshError(
          .conflict, path, "is locked by process \(holder.isEmpty ? "unknown" : String(holder))",
          next: "only one may run on it")
      }
      throw error.meshError(path, "cannot lock")
    }
    self.path = path
  }
}
