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

  static func read(_ path: String, limit: Int = ResourceFileReader.limit) -> Outcome {
    // Non-blocking: a FIFO in the file's place must not hold us.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else {
      let code = errno
      if code == ENOENT { return .changing }
      return .failure(
        message: "cannot be read: \(DirectoryListing.reason(code))", next: "correct the link or the permissions")
    }
    defer { close(descriptor) }
    guard let before = Self.stamp(descriptor) else { return .changing }
    guard before.isRegular else {
      return .failure(message: "no regular file", next: "remove it, or give it another ending")
    }
    if let distrust = before.distrust(user: geteuid()) {
      return .failure(message: "not read, because \(distrust.message)", next: distrust.next)
    }
    var bytes = [UInt8](repeating: 0, count: min(limit, max(0, Int(clamping: before.size)) + 1))
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return Glibc.read(descriptor, base + count, buffer.count - count)
      }
      if got < 0 {
        if errno == EINTR { continue }
        return .failure(message: "cannot be read: \(DirectoryListing.reason(errno))", next: "check the file system")
      }
      if got == 0 { break }
      count += got
    }
    guard Self.stamp(descriptor) == before, count == limit || Int64(count) == before.size else {
      return .changing
    }
    return .content(Array(bytes[..<count]), before)
  }

  private static func stamp(_ descriptor: CInt) -> FileStamp? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? FileStamp(status) : nil
  }
}
