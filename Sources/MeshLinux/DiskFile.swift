import Glibc
package import MeshBase

/// What a file is, whatever its name: while somebody holds it open, neither number is used again for another.
package struct FileID: Hashable, Sendable {
  package var device: UInt64
  package var inode: UInt64

  package init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}

/// Files, without Foundation.
package enum DiskFile {
  package struct Status {
    package var owner: UInt32
    package var mode: UInt32
    /// Device and inode.
    package var id: FileID

    package var isSocket: Bool { self.mode & S_IFMT == S_IFSOCK }
    /// Of what was not followed.
    package var isLink: Bool { self.mode & S_IFMT == S_IFLNK }
  }

  package static var effectiveUser: UInt32 { geteuid() }

  /// Nil if nothing is there.
  package static func status(_ path: String, followLinks: Bool = true) throws(MeshError) -> Status? {
    var status = stat()
    guard (followLinks ? stat(path, &status) : lstat(path, &status)) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw self.error(path, "cannot look at it")
    }
    return Status(
      owner: status.st_uid, mode: status.st_mode,
      id: FileID(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
  }

  /// Makes the directory and those above it.
  package static func makeDirectory(_ path: String, mode: UInt32) throws(MeshError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      guard mkdir(made, made == path ? mode : 0o755) != 0, errno != EEXIST else { continue }
      throw self.error(made, "cannot make the directory")
    }
  }

  /// Writes, and waits until the disk has it.
  package static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(MeshError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw self.error(path, "cannot write") }
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { bytes in
        bytes.baseAddress.map { Glibc.write(descriptor, $0, bytes.count) } ?? 0
      }
      if written < 0 {
        if errno == EINTR { continue }
        throw self.error(path, "cannot write")
      }
      rest = rest.dropFirst(written)
    }
    guard fsync(descriptor) == 0 else { throw self.error(path, "cannot write") }
  }

  package static func read(_ path: String, limit: Int) throws(MeshError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw self.error(path, "cannot read") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = chunk.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { Glibc.read(descriptor, $0, bytes.count) } ?? 0
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw self.error(path, "cannot read")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { throw MeshError(.invalid, path, "is larger than \(limit) bytes") }
    }
  }

  /// A regular file, through links as well: for what others wrote, as files of /etc.
  package static func readText(_ path: String, limit: Int) throws(MeshError) -> String {
    guard let status = try self.status(path) else { throw MeshError(.notFound, path, "is not there") }
    guard status.mode & S_IFMT == S_IFREG else { throw MeshError(.invalid, path, "is no file") }
    do throws(SystemError) {
      return try FileBytes.readText(path, limit: limit)
    } catch {
      throw error.meshError(path, "cannot read")
    }
  }

  package static func rename(_ old: String, to new: String) throws(MeshError) {
    guard Glibc.rename(old, new) == 0 else { throw self.error(new, "cannot replace it") }
  }

  package static func remove(_ path: String) { unlink(path) }

  private static func error(_ path: String, _ message: String) -> MeshError {
    let code: MeshError.Code =
      switch errno {
      case ENOSPC, EDQUOT: .exhausted
      case EACCES, EPERM, EROFS: .denied
      case ENOENT: .notFound
      default: .internal
      }
    return MeshError(code, path, message, cause: String(cString: strerror(errno)))
  }
}
