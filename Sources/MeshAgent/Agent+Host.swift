import CMeshABI
import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshSnapshot

/// Workloads in the host's own namespace: found by their cgroups, known by them when they call, by their ports when they
/// are called.
extension Agent {
  private static let unitSearchMilliseconds: Int64 = 1900

  /// Where to look for each workload of this node.
  func pathsToFind() -> [ResourceName: String] {
    let now = MonotonicClock.milliseconds
    let maySearch = now >= self.nextUnitSearch
    var searched = false
    var paths: [ResourceName: String] = [:]
    for (name, location) in self.locations {
      switch location {
      case .networkNamespace(let path): paths[name] = path
      case .cgroup(let path): paths[name] = self.cgroups.unified.path + path
      case .systemdUnit(let unit):
        paths[name] = self.path(ofUnit: unit, maySearch: maySearch, searched: &searched)
      case .container(let selector): paths[name] = self.path(of: selector, for: name) ?? Self.nowhere
      case .none: break
      }
    }
    if searched { self.nextUnitSearch = now + Self.unitSearchMilliseconds }
    return paths
  }

  /// Where it was found; else where systemd puts it by itself; else wherever below the root, which is searched seldom,
  /// because a host may have thousands of cgroups.
  private func path(ofUnit unit: String, maySearch: Bool, searched: inout Bool) -> String {
    let usual = SystemdUnit.usualCgroup(unit)
    for path in [self.unitPaths[unit], self.cgroups.unified.path + usual, self.cgroups.root.path + usual] {
      if let path, (try? DiskFile.status(path)) ?? nil != nil { return path }
    }
    self.unitPaths[unit] = nil
    guard maySearch else { return self.cgroups.unified.path + usual }
    searched = true
    let found = Cgroup.find(named: unit, below: self.cgroups.root.path)
    self.unitPaths[unit] = found
    return found ?? self.cgroups.unified.path + usual
  }

  /// A path that never is.
  static let nowhere = "/proc/0/ns/net"

  /// For messages.
  func absence(of name: ResourceName, at path: String) -> String {
    if case .container(let selector) = self.locations[name] { return "no container \(selector) runs here" }
    return "\(self.place(of: name)) \(path) is not there yet"
  }

  func place(of name: ResourceName) -> String {
    self.locations[name]?.isInHost == true ? "its cgroup" : "its network namespace"
  }

  func enrolInHost(_ name: ResourceName, path: String, _ id: FileID) throws(MeshError) {
    let root = self.cgroups.root.path
    guard path.hasPrefix(root + "/") else {
      throw MeshError(
        .invalid, "workload \(name)", "its cgroup \(path) is outside of \(root), where this agent's programs are",
        next: "start the agent with a --cgroup-root that holds it")
    }
    try self.openHostListeners()
    if let unit = try self.kernel.units.get(id.inode) {
      self.planner.restore(workload: name, number: unit.workload)
    }
    let cgroup = try Cgroup.open(path: path)
    guard cgroup.id == id.inode else {
      throw MeshError(.conflict, path, "was replaced while it was opened", next: "it is tried again")
    }
    let local = LocalWorkload(
      name: name, netnsCookie: self.host.cookie, addresses: try self.host.addresses(), cgroup: cgroup.id)
    self.enrolled[name] = EnrolledWorkload(
      name: name, id: id, namespace: self.host, cgroup: cgroup, listeners: self.hostListeners, local: local)
  }

  /// Of the host's own namespace, where nobody listens yet.
  private func openHostListeners() throws(MeshError) {
    guard self.hostListeners.isEmpty else { return }
    self.hostListeners = try RelayListener.open(
      in: self.host, withTunnels: self.configuration.opensTunnels, adopted: self.adoptedListeners)
  }

  /// Tunnels to workloads of other networks come to the host's own addresses, whoever of them is there.
  func sendGateway() {
    guard self.configuration.opensTunnels else { return }
    do throws(MeshError) {
      try self.openHostListeners()
      for listener in self.hostListeners {
        let key = ListenerKey(
          workload: 0, namespaceCookie: self.host.cookie, isV4: listener.isV4, isTunnel: listener.isTunnel)
        try self.link?.sendListener(listener.descriptor.rawValue, key)
      }
      self.report("tunnels cannot come to this host's addresses", nil)
    } catch {
      self.report("tunnels cannot come to this host's addresses", error)
    }
  }

  /// The listeners there are kept from one start of a unit to the next: the proxy holds them too, and lets go later than the
  /// unit comes back. They go when no workload is to be found there any more.
  func followHostListeners() {
    guard !self.configuration.opensTunnels, !self.hostListeners.isEmpty,
      !self.enrolled.values.contains(where: \.isInHost),
      !self.locations.values.contains(where: \.isInHost)
    else { return }
    for listener in self.hostListeners {
      self.adoptedListeners[listener.key(in: self.host.cookie)] = nil
    }
    self.hostListeners = []
    self.retainListeners()
    self.followStore()
  }

  /// Another enrolled workload is in the same namespace, which is then the host's.
  func sharesNamespace(_ workload: EnrolledWorkload) -> Bool {
    workload.isInHost && self.enrolled.values.contains { $0.isInHost }
  }

  /// Whether the programs ask for cgroups and ports in the host's namespace.
  func watchHost(_ watch: Bool) {
    let cookie = watch ? self.host.cookie : 0
    guard self.kernel.config.current.host_netns != cookie else { return }
    self.kernel.config.configure { $0.host_netns = cookie }
  }
}
