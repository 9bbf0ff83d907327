import Glibc

extension Cgroup {
  /// How many directories one search looks into.
  private static let searchLimit = 20_000

  /// The path of the cgroup of that name nearest to the top, below `root`. Nil: there is none, or it lies behind the first
  /// twenty thousand.
  package static func find(named name: String, below root: String) -> String? {
    var level = [root]
    var looked = 0
    while !level.isEmpty {
      var next: [String] = []
      for path in level {
        looked += 1
        guard looked <= self.searchLimit else { return nil }
        for child in self.children(of: path) {
          if child == name { return path + "/" + child }
          next.append(path + "/" + child)
        }
      }
      level = next
    }
    return nil
  }

  /// The ids of this cgroup and all below it. A task in any of them is in this one.
  package func identifiers() -> [UInt64] {
    var ids = [self.id]
    var level = [self.path]
    while let path = level.popLast(), ids.count < Self.searchLimit {
      for child in Self.children(of: path) {
        let path = path + "/" + child
        guard let status = try? DiskFile.status(path) else { continue }
        ids.append(status.id.inode)
        level.append(path)
      }
    }
    return ids
  }

  /// Names of the directories in one; none if it is gone.
  static func children(of path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var children: [String] = []
    while let entry = readdir(directory) {
      guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { children.append(name) }
    }
    return children
  }
}
