import Glibc
package import MeshBase

/// What the control plane keeps between starts: its epoch, and (written by MeshStore) which service has which address.
/// Files are replaced whole (written beside, synced, renamed), so a crash leaves the old or the new content.
package struct StateDirectory: Sendable {
  private static let maximumFileSize = 4096

  package let path: String

  /// Makes the directory, 0700, if it is not there; its parent has to be.
  package init(path: String) throws(MeshError) {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw Self.failure(path, "cannot be made") }
    self.path = path
  }

  /// The epoch of this start: larger than every earlier one, and than that of a state directory that was lost, unless
  /// the clock went back as well.
  package func nextEpoch(now: Int64) throws(MeshError) -> UInt64 {
    var last: UInt64 = 0
    if let text = try self.read("epoch") {
      guard let epoch = UInt64(strictDecimal: text.filter { $0 != "\n" }), epoch < .max else {
        throw MeshError(
          .invalid, "\(self.path)/epoch", "is not a number",
          next: "write a number larger than every epoch that agents have seen, or remove the file")
      }
      last = epoch
    }
    let next = max(last + 1, UInt64(clamping: now))
    try self.write("epoch", "\(next)\n")
    return next
  }

  /// Where MeshStore keeps service addresses.
  package var vipFile: String { "\(self.path)/vips" }

  private func read(_ name: String) throws(MeshError) -> String? {
    let file = "\(self.path)/\(name)"
    let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw Self.failure(file, "cannot be opened")
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Self.failure(file, "cannot be read") }
      if count == 0 { break }
      bytes += buffer[..<count]
      guard bytes.count <= Self.maximumFileSize else {
        throw MeshError(.exhausted, file, "is larger than \(Self.maximumFileSize) bytes")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw MeshError(.invalid, file, "is not UTF-8")
    }
    return text
  }

  private func write(_ name: String, _ text: String) throws(MeshError) {
    let file = "\(self.path)/\(name)"
    let temporary = "\(file).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw Self.failure(temporary, "cannot be written") }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let error = Self.failure(temporary, "cannot be written")
        close(descriptor)
        throw error
      }
      rest = rest.dropFirst(count)
    }
    let synced = fsync(descriptor)
    guard close(descriptor) == 0, synced == 0, rename(temporary, file) == 0 else {
      throw Self.failure(file, "cannot be replaced")
    }
    // The rename itself has to survive too.
    let directory = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  private static func failure(_ object: String, _ message: String) -> MeshError {
    let code: MeshError.Code = errno == EACCES || errno == EPERM ? .denied : .unavailable
    return MeshError(code, object, message, cause: String(cString: strerror(errno)))
  }
}
