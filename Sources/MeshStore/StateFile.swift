import Glibc
package import MeshBase

/// A file that only the control plane writes: replaced as a whole (written beside, flushed, renamed), so that a crash
/// leaves the old or the new content, and read only if nobody else could have put it there.
package struct StateFile: Sendable {
  package let path: String
  /// It holds a key: who is in neither its user nor its group may not read it.
  package let isSecret: Bool

  package init(path: String, isSecret: Bool = false) {
    self.path = path
    self.isSecret = isSecret
  }

  /// Nil if there is no file.
  /// - Parameter limit: bytes; a larger file is an error.
  package func read(limit: Int) throws(MeshError) -> [UInt8]? {
    // Non-blocking: a FIFO in the file's place must not hold us.
    let descriptor = open(self.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw Self.failure(self.path, "cannot be opened")
    }
    defer { close(descriptor) }
    guard let stamp = FileStamp(descriptor: descriptor), stamp.isRegular else {
      throw MeshError(.invalid, self.path, "is no regular file", next: "remove it")
    }
    guard stamp.owner == 0 || stamp.owner == geteuid(), stamp.mode & 0o022 == 0 else {
      throw MeshError(
        .denied, self.path,
        "could have been written by others (owner \(stamp.owner), mode \(String(stamp.mode & 0o7777, radix: 8)))",
        next: "look at who wrote it; then remove it, or chown it to the control plane's user and chmod 600")
    }
    guard !self.isSecret || stamp.mode & 0o007 == 0 else {
      throw MeshError(
        .denied, self.path, "is a secret that everybody may read (mode \(String(stamp.mode & 0o7777, radix: 8)))",
        next: "chmod 600; if others have access to this host, replace the key as well")
    }
    guard let bytes = ResourceFileReader.bytes(of: descriptor, size: stamp.size, limit: limit + 1) else {
      throw Self.failure(self.path, "cannot be read")
    }
    guard bytes.count <= limit else {
      throw MeshError(.exhausted, self.path, "is larger than \(limit) bytes", next: "look at who wrote it; remove it")
    }
    return bytes
  }

  package func write(_ bytes: [UInt8]) throws(MeshError) {
    try self.replace(bytes)
    Self.flush(directory: String(self.path[..<(self.path.lastIndex(of: "/") ?? self.path.startIndex)]) + "/")
  }

  private var temporary: String { self.path + ".new" }

  /// As `write`, but for `flush(directory:)`, which serves several files.
  func replace(_ bytes: [UInt8]) throws(MeshError) {
    let descriptor = open(self.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { throw Self.failure(self.path, "cannot be written") }
    var rest = bytes[...]
    var isWritten = true
    while !rest.isEmpty, isWritten {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count > 0 { rest = rest.dropFirst(count) } else { isWritten = false }
    }
    guard isWritten, fsync(descriptor) == 0 else {
      let error = Self.failure(self.path, "cannot be written")
      close(descriptor)
      unlink(self.temporary)
      throw error
    }
    guard close(descriptor) == 0, rename(self.temporary, self.path) == 0 else {
      throw Self.failure(self.path, "cannot be replaced")
    }
  }

  package func remove() { unlink(self.path) }

  /// A rename has to survive a crash too. A file system that cannot do this is not an error: the content is there.
  static func flush(directory: String) {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// Of the system call before.
  package static func failure(_ object: String, _ message: String) -> MeshError {
    let code: MeshError.Code =
      switch errno {
      case ENOSPC, EDQUOT: .exhausted
      case EACCES, EPERM, EROFS: .denied
      default: .unavailable
      }
    return MeshError(
      code, object, message, cause: DirectoryListing.reason(errno),
      next: "check the state directory's owner, permissions and space")
  }
}
