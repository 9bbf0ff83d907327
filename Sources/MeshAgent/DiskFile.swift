import Glibc
import MeshBase

/// Files, without Foundation.
enum DiskFile {
  struct Status {
    var owner: UInt32
    var mode: UInt32
    var id: NamespaceID
  }

  static var effectiveUser: UInt32 { geteuid() }

  /// Nil if nothing is there.
  static func status(_ path: String) throws(MeshError) -> Status? {
    var status = stat()
    guard stat(path, &status) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw self.error(path, "cannot look at it")
    }
    return Status(
      owner: status.st_uid, mode: status.st_mode,
      id: NamespaceID(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
  }

  /// Makes the directory and those above it.
  static func makeDirectory(_ path: String, mode: UInt32) throws(MeshError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      guard mkdir(made, made == path ? mode : 0o755) != 0, errno != EEXIST else { continue }
      throw self.error(made, "cannot make the directory")
    }
  }

  /// Writes, and waits until the disk has it.
  static func write(_ bytes: [UInt8], to path: String, mode: UInt32) throws(MeshError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw self.error(path, "cannot write") }
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        throw self.error(path, "cannot write")
      }
      rest = rest.dropFirst(written)
    }
    guard fsync(descriptor) == 0 else { throw self.error(path, "cannot write") }
  }

  static func read(_ path: String, limit: Int) throws(MeshError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw self.error(path, "cannot read") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw self.error(path, "cannot read")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { throw MeshError(.invalid, path, "is larger than \(limit) bytes") }
    }
  }

  static func rename(_ old: String, to new: String) throws(MeshError) {
    guard Glibc.rename(old, new) == 0 else { throw self.error(new, "cannot replace it") }
  }

  static func remove(_ path: String) { unlink(path) }

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
