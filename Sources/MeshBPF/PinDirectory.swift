import CMeshABI
import CMeshBPF
import Glibc
package import MeshBase
import Synchronization

/// The directory in a BPF file system in which everything of one agent is pinned, and the lock that makes this process its
/// only writer. Below it: `v<layout>/maps`, `v<layout>/links`, and `v<layout>/filters` on kernels that need them. The BPF file
/// system holds no ordinary files and no dots in names.
package final class PinDirectory: Sendable {
  package let path: String
  private let lock = Mutex<OwnedDescriptor?>(nil)
  /// As of the last reading.
  let known = Mutex<PinListing?>(nil)

  /// Pins are read by root only: maps hold addresses and identities of everybody.
  static let mode: mode_t = 0o700

  /// Opens or makes the directory, mounting a BPF file system if there is none, and takes the lock.
  ///
  /// - Throws: `conflict` if another process holds the lock.
  package init(path: String) throws(MeshError) {
    cmesh_bpf_setup()
    guard path.hasPrefix("/"), path != "/" else {
      throw MeshError(.invalid, path, "the pin directory has to be an absolute path")
    }
    self.path = path.hasSuffix("/") ? String(path.dropLast()) : path
    try self.makeAndLock()
  }

  /// Whether the path still is the directory that this process has locked.
  var isLocked: Bool {
    guard let lock = self.lock.withLock({ $0 }) else { return false }
    var locked = stat()
    var present = stat()
    return fstat(lock.rawValue, &locked) == 0 && stat(self.path, &present) == 0 && locked.st_dev == present.st_dev
      && locked.st_ino == present.st_ino
  }

  func makeAndLock() throws(MeshError) {
    guard !self.isLocked else { return }
    try Self.makeFileSystem(self.path)
    try Self.makeDirectories(self.path)
    let descriptor = try OwnedDescriptor.owning(
      Self.result(open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), self.path, "cannot open the pin directory")
    guard chmod(self.path, Self.mode) == 0 else {
      throw BPFFailure.error(-errno, self.path, "cannot close the pin directory to others")
    }
    guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else {
      if errno == EWOULDBLOCK {
        throw MeshError(
          .conflict, self.path, "another process owns this pin directory",
          next: "stop the other agent, or give this one its own --pin-dir")
      }
      throw BPFFailure.error(-errno, self.path, "cannot lock the pin directory")
    }
    self.lock.withLock { $0 = descriptor }
  }

  /// `v1`: the layout is part of the path, as it is of every map's name.
  static var layoutName: String { "v\(MESH_LAYOUT)" }

  var layoutPath: String { self.path + "/" + Self.layoutName }
  var mapsPath: String { self.layoutPath + "/maps" }
  var linksPath: String { self.layoutPath + "/links" }

  func linkPath(_ name: String) -> String { self.linksPath + "/" + name }

  /// Layouts that are pinned here.
  package func layouts() -> [String] {
    Self.list(self.path).filter { $0.hasPrefix("v") }
  }

  /// Whether a complete set of this version's maps is pinned.
  package var hasPins: Bool { self.layouts().contains(Self.layoutName) }

  /// - Throws: `conflict` if maps of another layout are pinned: their bytes mean something else (BP-19).
  func refuseOtherLayouts() throws(MeshError) {
    let others = self.layouts().filter { $0 != Self.layoutName }
    guard others.isEmpty else {
      throw MeshError(
        .conflict, self.path, "holds pins of another layout (\(others.joined(separator: ", ")))",
        cause: "this version has layout \(Self.layoutName) and never reinterprets the maps of another",
        next: "run the version that made them, or martlet purge")
    }
  }

  /// Names of the pinned links.
  package func links() -> [String] {
    Self.list(self.linksPath)
  }

  /// Removes one pinned link; the program is detached when nobody else holds the link.
  func unpinLink(_ name: String) {
    unlink(self.linkPath(name))
  }

  /// Pins a link in place of one of the same name: never a moment without.
  func pin(_ link: BPFLink) throws(MeshError) {
    let fresh = self.linkPath("new-\(link.name)")
    unlink(fresh)
    try link.pin(path: fresh)
    guard rename(fresh, self.linkPath(link.name)) == 0 else {
      let failure = -errno
      unlink(fresh)
      throw BPFFailure.error(failure, link.name, "cannot pin the link")
    }
  }

  /// Pins all maps as a transaction: a temporary directory, then one rename.
  func pin(maps: [(name: String, descriptor: CInt)]) throws(MeshError) {
    let temporary = self.path + "/new-\(getpid())"
    Self.removeTree(temporary)
    do throws(MeshError) {
      try Self.makeDirectory(temporary)
      try Self.makeDirectory(temporary + "/maps")
      try Self.makeDirectory(temporary + "/links")
      for map in maps {
        let result = cmesh_pin(map.descriptor, "\(temporary)/maps/\(map.name)")
        guard result == 0 else { throw BPFFailure.error(result, map.name, "cannot pin the map") }
      }
      guard rename(temporary, self.layoutPath) == 0 else {
        throw BPFFailure.error(-errno, self.layoutPath, "cannot put the new pins in place")
      }
    } catch {
      Self.removeTree(temporary)
      throw error
    }
  }

  /// What an interrupted load left behind.
  func removeLeftovers() {
    for name in Self.list(self.path) where name.hasPrefix("new-") {
      Self.removeTree(self.path + "/" + name)
    }
    for directory in [self.linksPath, EdgeFilters(pinDirectory: self.path).directory] {
      for name in Self.list(directory) where name.hasPrefix("new-") { unlink(directory + "/" + name) }
    }
  }

  /// Removes every pin of every layout. Whoever holds a link or map by descriptor keeps it.
  func removeAll() {
    for name in Self.pins(self.path) {
      Self.removeTree(self.path + "/" + name)
    }
    // A directory of ours inside a BPF file system goes; one on which we mounted it stays, empty.
    rmdir(self.path)
  }
}

extension PinDirectory {
  static func result(_ value: CInt) -> CInt { value < 0 ? -errno : value }

  static func list(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Without the kernel's own files at the root of a BPF file system (`maps.debug`, `progs.debug`): pins have no dots.
  static func pins(_ path: String) -> [String] {
    self.list(path).filter { !$0.contains(".") }
  }

  /// Only two levels exist; the bound stops at anything else.
  static func removeTree(_ path: String, depth: Int = 0) {
    if unlink(path) == 0 { return }
    if depth < 4 {
      for name in self.list(path) {
        self.removeTree(path + "/" + name, depth: depth + 1)
      }
    }
    rmdir(path)
  }

  static func makeDirectory(_ path: String) throws(MeshError) {
    guard mkdir(path, self.mode) == 0 || errno == EEXIST else {
      throw BPFFailure.error(-errno, path, "cannot make the directory")
    }
  }

  private static func makeDirectories(_ path: String) throws(MeshError) {
    var prefix = ""
    for part in path.split(separator: "/") {
      prefix += "/" + part
      if access(prefix, F_OK) != 0 { try self.makeDirectory(prefix) }
    }
  }

  /// Mounts at /sys/fs/bpf if the path is there, else at the path itself.
  private static func makeFileSystem(_ path: String) throws(MeshError) {
    let present = cmesh_is_bpffs(path)
    if present == 1 { return }
    guard present == 0 else { throw BPFFailure.error(present, path, "cannot look at the file system") }
    let standard = "/sys/fs/bpf"
    let target = path == standard || path.hasPrefix(standard + "/") ? standard : path
    try self.makeDirectories(target)
    let result = cmesh_mount_bpffs(target)
    guard result == 0 else {
      throw BPFFailure.error(result, target, "cannot mount a BPF file system", next: "mount -t bpf bpf \(target)")
    }
  }
}
