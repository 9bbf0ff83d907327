import Glibc
import MeshBase
import MeshLinux

/// Which Worlds there are, over all processes of the machine: a locked file each. A file that is not locked belongs to a
/// run that died, and says by its name what that has left.
enum WorldRegistry {
  static let root = "/run/martlet-worlds"

  static func lockPath(_ identifier: String) -> String { "\(self.root)/\(identifier).lock" }
  static func directoryPath(_ identifier: String) -> String { "\(self.root)/\(identifier)" }
  static func pinPath(_ identifier: String) -> String { "/sys/fs/bpf/\(identifier)" }
  static func namespaceName(_ identifier: String, _ rest: String) -> String { "\(identifier)-\(rest)" }

  /// Held while a World registers or sweeps, so that a file that is not locked yet is not taken for a dead one's.
  static func lock() throws -> FileLock {
    guard mkdir(self.root, 0o755) == 0 || errno == EEXIST else {
      throw SystemError(errno, "mkdir").meshError(self.root, "cannot be made", next: "a World needs root")
    }
    for _ in 0..<3000 {
      if let lock = try self.free("\(self.root)/.registry") { return lock }
      usleep(10_000)
    }
    throw MeshError(.conflict, self.root, "another World has held the registry for 30 seconds")
  }

  /// The lock, or nil if somebody holds it.
  private static func free(_ path: String) throws -> FileLock? {
    switch Result(catching: { () throws(MeshError) in try FileLock(path: path) }) {
    case .success(let lock): return lock
    case .failure(let error) where error.code == .conflict: return nil
    case .failure(let error): throw error
    }
  }

  /// Removes what dead runs have left.
  static func sweep() throws {
    for name in Directory.entries(self.root) where name.hasSuffix(".lock") {
      let identifier = String(name.dropLast(".lock".count))
      guard let lock = try self.free(self.lockPath(identifier)) else { continue }  // it lives
      try withExtendedLifetime(lock) { try self.remove(identifier) }
    }
  }

  /// Removes everything that bears the identifier: processes first, then what they may hold, the file last.
  static func remove(_ identifier: String) throws {
    let path = try Cgroup.unified().path + "/" + identifier
    if access(path, F_OK) == 0 {
      let cgroup = try Cgroup.open(path: path)
      try cgroup.kill()
      try cgroup.remove()
    }
    Directory.removeTree(self.pinPath(identifier))
    for name in Directory.entries("/run/netns") where name.hasPrefix(identifier + "-") {
      let path = "/run/netns/\(name)"
      // A name that a dead run's mount namespace held is a plain file here: EINVAL, and unlink is enough.
      umount2(path, CInt(MNT_DETACH))
      guard unlink(path) == 0 || errno == ENOENT else {
        throw SystemError(errno, "unlink").meshError(path, "cannot be removed")
      }
    }
    Directory.removeTree(self.directoryPath(identifier))
    unlink(self.lockPath(identifier))
  }
}

/// Directories of tests. Never follows a symbolic link.
enum Directory {
  static func entries(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func removeTree(_ path: String, depth: Int = 0) {
    guard depth < 32 else { return }
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      unlink(path)
      return
    }
    for name in self.entries(path) { self.removeTree(path + "/" + name, depth: depth + 1) }
    rmdir(path)
  }
}

extension String {
  /// A file of tests, at most 16 MiB of it.
  package init(contentsOfSmallFile path: String) throws {
    let file = try Descriptor.open(path, O_RDONLY)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while bytes.count < 16 << 20 {
      let count = read(file.rawValue, &chunk, chunk.count)
      guard count >= 0 else { throw SystemError(errno, "read").meshError(path, "cannot be read") }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    self = String(decoding: bytes, as: UTF8.self)
  }

  /// Writes the text to a file, replacing it.
  package func write(toFile path: String) throws {
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    let bytes = Array(self.utf8)
    guard Glibc.write(file.rawValue, bytes, bytes.count) == bytes.count else {
      throw SystemError(errno, "write").meshError(path, "cannot be written")
    }
  }
}
