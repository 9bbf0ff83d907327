import Glibc

/// Reads one resource file as it is at one moment.
enum ResourceFileReader {
  enum Outcome {
    case content([UInt8], FileStamp)
    /// It changed while it was read, or is another file than the one that was listed.
    case changing
    case failure(message: String, next: String)
  }

  /// One byte more than a resource file may have, so that the compiler sees that it is too large.
  static let limit = 1 << 20 | 1

  /// `O_PATH` (include/uapi/asm-generic/fcntl.h), which Glibc's module leaves out.
  private static let pathOnly: CInt = 0o10_000_000

  /// - Parameters:
  ///   - root: the directory that the file has to lie in, without links. Nil: anywhere.
  ///   - listed: what the name stood for when it was listed.
  ///   - isTrusting: read also what others may write.
  static func read(
    _ path: String, inside root: String? = nil, listed: FileStamp? = nil, isTrusting: Bool = false
  ) -> Outcome {
    // Found first and opened for reading afterwards, so that no device or FIFO that was put in the file's place is ever
    // opened, and a link that was turned elsewhere after it was listed is not followed out of the directory.
    let found = open(path, Self.pathOnly | O_CLOEXEC)
    guard found >= 0 else {
      let code = errno
      if code == ENOENT { return .changing }
      return .failure(
        message: "cannot be read: \(DirectoryListing.reason(code))", next: "correct the link or the permissions")
    }
    defer { close(found) }
    guard let stamp = FileStamp(descriptor: found) else { return .changing }
    if let listed, (listed.device, listed.inode) != (stamp.device, stamp.inode) { return .changing }
    guard stamp.isRegular else {
      return .failure(message: "no regular file", next: "remove it, or give it another ending")
    }
    if !isTrusting, let distrust = stamp.distrust(user: geteuid()) {
      return .failure(message: "not read, because \(distrust.message)", next: distrust.next)
    }
    let opened = "/proc/self/fd/\(found)"
    if let root, !(Self.linkTarget(opened).map { DirectoryListing.isInside($0, root) } ?? false) { return .changing }
    let descriptor = open(opened, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else {
      return .failure(
        message: "cannot be read: \(DirectoryListing.reason(errno))", next: "correct the link or the permissions")
    }
    defer { close(descriptor) }
    guard let before = FileStamp(descriptor: descriptor) else { return .changing }
    guard let bytes = Self.bytes(of: descriptor, size: before.size, limit: Self.limit) else {
      return .failure(message: "cannot be read: \(DirectoryListing.reason(errno))", next: "check the file system")
    }
    guard FileStamp(descriptor: descriptor) == before, bytes.count == Self.limit || Int64(bytes.count) == before.size
    else { return .changing }
    return .content(bytes, before)
  }

  /// At most `limit` bytes; a file that grows gives one more than `size`. Nil with `errno` if it cannot be read.
  static func bytes(of descriptor: CInt, size: Int64, limit: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: min(limit, max(0, Int(clamping: size)) + 1))
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return Glibc.read(descriptor, base + count, buffer.count - count)
      }
      if got < 0 {
        if errno == EINTR { continue }
        return nil
      }
      if got == 0 { break }
      count += got
    }
    return Array(bytes[..<count])
  }

  private static func linkTarget(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { readlink(path, $0, bytes.count) } ?? -1 }
    }
    return count > 0 && count < buffer.count ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
