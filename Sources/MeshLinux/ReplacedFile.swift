import Glibc
package import MeshBase

/// A file of others that is read and replaced whole: whoever reads it meanwhile sees the old one or the new one. Owner and
/// mode stay. Through a symbolic link the file that it leads to is replaced.
package struct ReplacedFile {
  private static let limit = 16 << 20

  package let path: String
  package let bytes: [UInt8]
  private let status: DiskFile.Status
  private let group: UInt32

  package init(path: String) throws(MeshError) {
    guard let resolved = realpath(path, nil) else {
      throw SystemError(errno, "realpath").meshError(path, "cannot be found")
    }
    defer { free(resolved) }
    self.path = String(cString: resolved)
    var status = stat()
    guard stat(self.path, &status) == 0, let known = try DiskFile.status(self.path) else {
      throw SystemError(errno, "stat").meshError(self.path, "cannot look at it")
    }
    guard known.mode & S_IFMT == S_IFREG else { throw MeshError(.invalid, self.path, "is no file") }
    self.status = known
    self.group = status.st_gid
    self.bytes = try DiskFile.read(self.path, limit: Self.limit)
  }

  /// Throws `conflict` if somebody else wrote meanwhile, as far as that can be seen.
  package func replace(by bytes: [UInt8]) throws(MeshError) {
    let fresh = "\(self.path).martlet-\(getpid())"
    DiskFile.remove(fresh)
    do throws(MeshError) {
      try DiskFile.write(bytes, to: fresh, mode: 0o600)
      guard chown(fresh, self.status.owner, self.group) == 0, chmod(fresh, self.status.mode & 0o7777) == 0 else {
        throw SystemError(errno, "chown, chmod").meshError(fresh, "cannot be made like \(self.path)")
      }
      guard try DiskFile.read(self.path, limit: Self.limit) == self.bytes else {
        throw MeshError(.conflict, self.path, "was changed by somebody else meanwhile", next: "try again")
      }
      guard rename(fresh, self.path) == 0 else {
        // EBUSY: it is mounted by itself, as in containers.
        throw SystemError(errno, "rename").meshError(
          self.path, "cannot be replaced in one step", next: "give another file with --file")
      }
    } catch {
      DiskFile.remove(fresh)
      throw error
    }
  }
}
