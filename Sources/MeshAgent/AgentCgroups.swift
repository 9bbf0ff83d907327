import MeshBase
import MeshLinux

/// Where agent and proxy live: `agent/` and `proxy/` below one cgroup, which systemd gives (`Delegate=yes`) or the
/// configuration names. The names are fixed, so a restarted agent finds its predecessor's cgroups with the same ids:
/// listeners made there keep their getsockopt program, and a proxy that runs on is still the proxy.
struct AgentCgroups: Sendable {
  /// What the programs are attached to.
  let root: Cgroup
  /// Where cgroup2 is mounted.
  let unified: Cgroup
  let agent: Cgroup
  let proxy: Cgroup

  /// Makes the cgroups and moves this process into `agent/`.
  init(_ configuration: AgentConfiguration) throws(MeshError) {
    let unified = try Cgroup.unified()
    self.unified = unified
    if let path = configuration.cgroupRoot {
      self.root = try Cgroup.open(path: path)
    } else {
      self.root = unified
    }
    let base: Cgroup
    if let path = configuration.serviceCgroup {
      base = try Cgroup.open(path: path)
      guard Self.isBelow(base.path, self.root.path) else {
        throw MeshError(
          .invalid, "--service-cgroup \(path)", "is not below the cgroup root \(self.root.path)",
          next: "name a cgroup there: what the agent itself dials has to meet the programs, or nothing is proven")
      }
    } else {
      let own = Self.base(ofOwn: try Cgroup.relativePath(ofProcess: ProcessIdentity.current))
      let path = unified.path + own
      // Outside of any unit the process is in the root cgroup, where nothing of ours should lie about.
      base =
        !own.isEmpty && Self.isBelow(path, self.root.path)
        ? try Cgroup.open(path: path) : try Cgroup.create(under: self.root, name: "martlet.service")
    }
    self.agent = try Cgroup.create(under: base, name: "agent")
    self.proxy = try Cgroup.create(under: base, name: "proxy")
    try self.agent.add(pid: ProcessIdentity.current)
  }

  /// Leaves word of where they are for `martlet purge`, which runs when no agent can be asked.
  func write(to runDirectory: String) throws(MeshError) {
    try InstanceCgroups(agent: self.agent.path, proxy: self.proxy.path).write(to: runDirectory)
  }

  /// Writes it again if it is gone. True if it was.
  func repair(in runDirectory: String) throws(MeshError) -> Bool {
    guard try DiskFile.status(runDirectory + "/" + InstanceCgroups.fileName, followLinks: false) == nil else {
      return false
    }
    try self.write(to: runDirectory)
    return true
  }

  /// Programs that are attached to `root` see what happens in `path`.
  static func isBelow(_ path: String, _ root: String) -> Bool {
    (path + "/").hasPrefix(root.hasSuffix("/") ? root : root + "/")
  }

  /// The cgroup of the unit, from the one this process was started in: a restarted agent can be started in `agent/`.
  /// Empty: the root.
  static func base(ofOwn path: String) -> String {
    var base = path == "/" ? "" : path
    if base.hasSuffix("/agent") { base.removeLast("/agent".count) }
    return base
  }
}
