import CMeshLinux
import Glibc

extension Cgroup {
  /// The cgroup of that id, wherever it is in the hierarchy of this one. Nil: it is gone, or ids cannot be opened here (that
  /// needs CAP_DAC_READ_SEARCH).
  package func sibling(id: UInt64) -> Descriptor? {
    guard let any = try? Descriptor.open(self.path, O_RDONLY | O_DIRECTORY) else { return nil }
    let result = cmesh_cgroup_open_id(any.rawValue, id)
    return result >= 0 ? Descriptor(owning: result) : nil
  }

  /// Whether the cgroup of that id is this one or below it. Nil: it is gone.
  package func contains(id: UInt64) -> Bool? {
    if id == self.id { return true }
    guard let descriptor = self.sibling(id: id) else { return nil }
    var path = [CChar](repeating: 0, count: 4097)
    let length = readlink("/proc/self/fd/\(descriptor.rawValue)", &path, 4096)
    guard length > 0 else { return nil }
    return String(decoding: path.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .hasPrefix(self.path + "/")
  }

  /// Processes of this cgroup and all below it.
  package func allProcesses() -> [Int32] {
    var found: [Int32] = []
    var level = [self.path]
    while let path = level.popLast(), level.count < 10_000 {
      if let cgroup = try? Cgroup.open(path: path) { found += (try? cgroup.processes()) ?? [] }
      level += Self.children(of: path).map { path + "/" + $0 }
    }
    return found
  }

  /// Whether a process in this cgroup or below it holds the socket of that inode: a service manager can make the listener
  /// and hand it over. Looks at every descriptor of every one of these processes.
  package func holdsSocket(inode: UInt32) -> Bool {
    guard inode != 0 else { return false }
    let wanted = "socket:[\(inode)]"
    return self.allProcesses().contains { process in
      let directory = "/proc/\(process)/fd"
      guard let listing = opendir(directory) else { return false }
      defer { closedir(listing) }
      while let entry = readdir(listing) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        var target = [CChar](repeating: 0, count: 65)
        let length = readlink(directory + "/" + name, &target, 64)
        guard length == wanted.utf8.count else { continue }
        if String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) == wanted {
          return true
        }
      }
      return false
    }
  }
}
