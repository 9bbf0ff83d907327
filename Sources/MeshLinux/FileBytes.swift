import Glibc

/// Small files of /proc, /sys and cgroup file systems: read whole within a bound, written in one call.
enum FileBytes {
  /// More than `limit` bytes is EFBIG.
  static func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
    let file = try Descriptor.open(path, O_RDONLY)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = Glibc.read(file.rawValue, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw SystemError(errno, "read") }
      if count == 0 { return bytes }
      guard bytes.count + count <= limit else { throw SystemError(EFBIG, "read") }
      bytes += chunk[..<count]
    }
  }

  static func readText(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> String {
    String(decoding: try self.read(path, limit: limit), as: UTF8.self)
  }

  static func write(_ text: String, to path: String) throws(SystemError) {
    let file = try Descriptor.open(path, O_WRONLY)
    let bytes = Array(text.utf8)
    while true {
      let count = Glibc.write(file.rawValue, bytes, bytes.count)
      if count == bytes.count { return }
      if count < 0 && errno == EINTR { continue }
      throw SystemError(count < 0 ? errno : EIO, "write")
    }
  }
}
