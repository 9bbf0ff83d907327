/// How much memory the process may use, and uses: of the cgroup above it that has the least room. Both versions of cgroups are
/// looked at, because a host can have the memory controller in either (cgroups(7), Documentation/admin-guide/cgroup-v2.rst).
struct MemoryLimit: Equatable, Sendable {
  /// Directory of the cgroup.
  var directory: String
  var isUnified: Bool
  /// Bytes.
  var limit: UInt64

  /// A limit of version 1 that nobody set is the largest multiple of a page.
  private static let none: UInt64 = 1 << 60

  /// - read: a file's text; nil: there is none.
  static func find(read: (String) -> String?) -> MemoryLimit? {
    guard let own = read("/proc/self/cgroup"), let mounts = read("/proc/self/mountinfo") else { return nil }
    var found: [MemoryLimit] = []
    for line in own.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isUnified = parts[0] == "0" && parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("memory"),
        let mount = Self.mount(mounts, isUnified: isUnified),
        // In a namespace of cgroups both begin at its root, which the mount may be above of: `/../..` (cgroup_namespaces(7)).
        let below = Self.path(String(parts[2]), below: mount.root)
      else { continue }
      let root = mount.place
      var path = below
      while true {
        let directory = root + path
        let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
        if let limit = read("\(directory)/\(file)").flatMap({ Self.number($0) }), limit < Self.none {
          found.append(MemoryLimit(directory: directory, isUnified: isUnified, limit: limit))
        }
        guard let slash = path.lastIndex(of: "/") else { break }
        path = String(path[..<slash])
      }
    }
    return found.min { $0.limit < $1.limit }
  }

  /// Bytes that the kernel cannot take back at once: pages of files that nobody used lately count for nothing, as the kubelet has
  /// it. Nil: the cgroup is gone.
  func used(read: (String) -> String?) -> UInt64? {
    let file = self.isUnified ? "memory.current" : "memory.usage_in_bytes"
    guard let used = read("\(self.directory)/\(file)").flatMap({ Self.number($0) }) else { return nil }
    let key = self.isUnified ? "inactive_file " : "total_inactive_file "
    let idle = read("\(self.directory)/memory.stat")?.split(separator: "\n").first { $0.hasPrefix(key) }
      .flatMap { Self.number($0.dropFirst(key.count)) }
    return used - min(used, idle ?? 0)
  }

  /// Where the hierarchy is mounted, and which cgroup of it (proc_pid_mountinfo(5)).
  private static func mount(_ mounts: String, isUnified: Bool) -> (root: String, place: String)? {
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count >= dash + 4 else { continue }
      let (type, options) = (fields[dash + 1], fields[dash + 3])
      if isUnified ? type == "cgroup2" : type == "cgroup" && options.split(separator: ",").contains("memory") {
        return (String(fields[3]), fields[4] == "/" ? "" : String(fields[4]))
      }
    }
    return nil
  }

  /// Nil: what is mounted does not show it.
  private static func path(_ path: String, below root: String) -> String? {
    let (path, root) = (path == "/" ? "" : path, root == "/" ? "" : root)
    guard path.hasPrefix(root) else { return nil }
    let rest = path.dropFirst(root.count)
    return rest.isEmpty || rest.hasPrefix("/") ? String(rest) : nil
  }

  /// `max` is none.
  private static func number(_ text: some StringProtocol) -> UInt64? {
    UInt64(text.hasSuffix("\n") ? String(text.dropLast()) : String(text))
  }
}
