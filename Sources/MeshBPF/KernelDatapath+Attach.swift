import CMeshBPF
import Glibc
package import MeshBase
import Synchronization

/// Where the programs are attached. Every attachment is a link with a name under `links/` of the pin directory.
extension KernelDatapath {
  private struct CgroupHook {
    var link: String
    var program: String
    var attachType: UInt32
  }

  /// In the order of attaching: what steers comes last, when all that it relies on is in place.
  private static var cgroupHooks: [CgroupHook] {
    [
      CgroupHook(link: "sockops", program: "mesh_sockops", attachType: cmesh_attach_sockops),
      CgroupHook(link: "peername4", program: "mesh_peername4", attachType: cmesh_attach_peername4),
      CgroupHook(link: "peername6", program: "mesh_peername6", attachType: cmesh_attach_peername6),
      CgroupHook(link: "recvmsg4", program: "mesh_recvmsg4", attachType: cmesh_attach_recvmsg4),
      CgroupHook(link: "recvmsg6", program: "mesh_recvmsg6", attachType: cmesh_attach_recvmsg6),
      CgroupHook(link: "sendmsg4", program: "mesh_sendmsg4", attachType: cmesh_attach_sendmsg4),
      CgroupHook(link: "sendmsg6", program: "mesh_sendmsg6", attachType: cmesh_attach_sendmsg6),
      CgroupHook(link: "connect4", program: "mesh_connect4", attachType: cmesh_attach_connect4),
      CgroupHook(link: "connect6", program: "mesh_connect6", attachType: cmesh_attach_connect6),
    ]
  }

  /// Between the node proxy and the kernel, about sockets that the agent makes.
  private static var socketOptionHooks: [CgroupHook] {
    [
      CgroupHook(link: "getsockopt", program: "mesh_getsockopt", attachType: cmesh_attach_getsockopt),
      CgroupHook(link: "setsockopt", program: "mesh_setsockopt", attachType: cmesh_attach_setsockopt),
    ]
  }

  private static let lookupPrefix = "lookup-"
  private static let hostLookupPrefix = "lookup-host-"
  private static let edgePrefix = "edge-"

  /// Attaches connect, sockops, getpeername and the hooks of datagrams to a cgroup and all below it. A second call with the same cgroup changes
  /// nothing but missing links.
  package func attach(cgroup path: String) throws(MeshError) {
    try self.attach(Self.cgroupHooks, cgroup: path)
  }

  /// Attaches getsockopt and setsockopt to the cgroup in which the proxy's listeners and upstream sockets are made. Cgroups
  /// of the agent can be made anew at a start (systemd removes those that are empty), but a socket belongs for good to the
  /// cgroup that it was made in: older links stay, under another name, until the last of these sockets is closed and their
  /// target with them.
  package func attachSocketOptions(cgroup path: String) throws(MeshError) {
    let target = try Self.openCgroup(path).identifier
    for hook in Self.socketOptionHooks { try self.setAside(hook.link, target: target) }
    try self.attach(Self.socketOptionHooks, cgroup: path)
  }

  /// A pinned link of another cgroup that still lives gets that cgroup's id into its name.
  private func setAside(_ name: String, target: UInt64) throws(MeshError) {
    let path = self.pins.linkPath(name)
    guard access(path, F_OK) == 0 else { return }
    let older = try BPFLink.pinned(name, path: path).info().target
    guard older != 0, older != target else { return }
    guard rename(path, self.pins.linkPath(name + "-" + String(older))) == 0 else {
      throw BPFFailure.error(-errno, path, "cannot be renamed")
    }
  }

  private func attach(_ hooks: [CgroupHook], cgroup path: String) throws(MeshError) {
    let cgroup = try Self.openCgroup(path)
    var fresh: [BPFLink] = []
    for hook in hooks {
      if try self.reusePinned(hook.link, target: cgroup.identifier, program: hook.program) { continue }
      fresh.append(
        try BPFLink.cgroup(
          hook.link, program: try self.program(hook.program), cgroup: cgroup.descriptor.rawValue,
          attachType: hook.attachType))
    }
    // All or nothing: an unpinned link is detached when this array goes.
    for link in fresh { try self.keep(link) }
  }

  /// Attaches sk_lookup to a network namespace: the whole of it is governed, or, if the name begins with `host-`, what
  /// workloads declared there.
  ///
  /// - Parameter name: of the link, unique per namespace; letters, digits, `-` and `_`.
  package func attachLookup(namespace: CInt, name: String) throws(MeshError) {
    let link = Self.lookupPrefix + (try Self.checked(name))
    var status = stat()
    guard fstat(namespace, &status) == 0 else { throw BPFFailure.error(-errno, name, "is no namespace") }
    let program = Self.program(ofLink: link) ?? ""
    if try self.reusePinned(link, target: UInt64(status.st_ino), program: program) { return }
    try self.keep(try BPFLink.namespace(link, program: try self.program(program), namespace: namespace))
  }

  package func detachLookup(name: String) throws(MeshError) {
    self.remove(link: Self.lookupPrefix + (try Self.checked(name)))
  }

  /// Names under which sk_lookup is attached; the namespace of some may be gone.
  package func lookups() -> [String] {
    self.pins.links().filter { $0.hasPrefix(Self.lookupPrefix) }.map { String($0.dropFirst(Self.lookupPrefix.count)) }
  }

  /// Attaches `edge` to an interface of the caller's network namespace: a tcx link, or a clsact filter before Linux 6.6.
  package func attachEdge(interface: UInt32) throws(MeshError) {
    let name = Self.edgeName(interface)
    let program = try self.program("mesh_edge")
    if self.edge == .best {
      var isLink = try self.reusePinned(name, target: UInt64(interface), program: "mesh_edge")
      if !isLink, let link = try BPFLink.tcxIngress(name, program: program, interface: interface) {
        try self.keep(link)
        isLink = true
      }
      if isLink {
        self.removeFilter(interface)
        return
      }
    }
    try self.filters.attach(program, interface)
    self.held.withLock { _ = $0.filters.insert(interface) }
    self.remove(link: name)
  }

  package func detachEdge(interface: UInt32) {
    self.remove(link: Self.edgeName(interface))
    self.removeFilter(interface)
  }

  /// Interfaces at which `edge` is attached, by this process or an earlier one; some may be gone.
  package func edgeInterfaces() -> Set<UInt32> {
    Set(self.pins.links().filter { $0.hasPrefix(Self.edgePrefix) }.compactMap { Self.interface(ofEdge: $0) })
      .union(self.filters.interfaces())
  }

  private func removeFilter(_ interface: UInt32) {
    let isHeld = self.held.withLock { $0.filters.remove(interface) != nil }
    if isHeld || self.filters.isRecorded(interface) { self.filters.detach(interface) }
  }

  /// Detaches everything; maps and their contents stay.
  package func detachAll() {
    for link in Set(self.pins.links()).union(self.held.withLock { $0.links.keys }) { self.remove(link: link) }
    for interface in Set(self.filters.interfaces()).union(self.held.withLock { $0.filters }) {
      self.removeFilter(interface)
    }
  }

  /// Removes links whose target is gone: a deleted namespace, interface or cgroup; and what is noted of the filters of such
  /// interfaces.
  ///
  /// - Returns: their names.
  @discardableResult
  package func removeDeadLinks() -> [String] {
    let filters = self.filters.interfaces().filter { EdgeFilters.state(of: $0) == .noInterface }
    for interface in filters { self.removeFilter(interface) }
    let links = self.pins.links().filter { name in
      guard let link = try? BPFLink.pinned(name, path: self.pins.linkPath(name)), let info = try? link.info() else {
        return false
      }
      guard info.target == 0 else { return false }
      self.held.withLock { _ = $0.links.removeValue(forKey: name) }
      self.pins.unpinLink(name)
      return true
    }
    return filters.map(Self.edgeName) + links
  }

  @discardableResult
  private func remove(link name: String) -> Bool {
    let held = self.held.withLock { $0.links.removeValue(forKey: name) }
    guard let link = held ?? (try? BPFLink.pinned(name, path: self.pins.linkPath(name))) else { return false }
    link.detach()
    self.pins.unpinLink(name)
    return true
  }

  /// After an adoption: this version's program in every pinned link and every filter.
  func replacePrograms() throws(MeshError) {
    for name in self.pins.links() {
      guard let program = Self.program(ofLink: name) else { continue }
      let link = try BPFLink.pinned(name, path: self.pins.linkPath(name))
      do throws(MeshError) {
        try link.update(program: try self.program(program))
      } catch {
        // The target went with its namespace, interface or cgroup while nobody looked.
        guard try link.info().target == 0 else { throw error }
        self.pins.unpinLink(name)
      }
    }
    for interface in self.filters.interfaces() {
      // Only in place of ours: a filter that is gone comes back with the enrolment of its workload.
      guard case .ours = EdgeFilters.state(of: interface) else { continue }
      do throws(MeshError) {
        try self.filters.attach(try self.program("mesh_edge"), interface)
      } catch {
        guard EdgeFilters.state(of: interface) == .noInterface else { throw error }
      }
    }
  }

  static func program(ofLink name: String) -> String? {
    if let hook = (self.cgroupHooks + self.socketOptionHooks).first(where: { $0.link == name }) { return hook.program }
    if name.hasPrefix(self.hostLookupPrefix) { return "mesh_hostlookup" }
    if let hook = self.socketOptionHooks.first(where: { name.hasPrefix($0.link + "-") }) { return hook.program }
    if name.hasPrefix(self.lookupPrefix) { return "mesh_lookup" }
    if name.hasPrefix(self.edgePrefix) { return "mesh_edge" }
    return nil
  }

  /// Takes a link of ours or a pinned one that is attached to the right target and puts our program there. Another target:
  /// not reusable, and the pin is about to be replaced.
  private func reusePinned(_ name: String, target: UInt64, program: String) throws(MeshError) -> Bool {
    let path = self.pins.linkPath(name)
    let isPinned = access(path, F_OK) == 0
    let held = self.held.withLock { $0.links[name] }
    guard held != nil || isPinned else { return false }
    let link = if let held { held } else { try BPFLink.pinned(name, path: path) }
    guard try link.info().target == target else { return false }
    try link.update(program: try self.program(program))
    if isPinned {
      self.held.withLock { $0.links[name] = link }
    } else {
      try self.keep(link)
    }
    return true
  }

  /// Pinned, it outlives this process; held, it outlives its pin.
  private func keep(_ link: BPFLink) throws(MeshError) {
    try self.pins.pin(link)
    self.held.withLock { $0.links[link.name] = link }
  }

  static func edgeName(_ interface: UInt32) -> String { self.edgePrefix + String(interface) }

  static func place(ofLink name: String) -> AttachmentFault.Place? {
    if self.cgroupHooks.contains(where: { $0.link == name }) { return .cgroup }
    if self.socketOptionHooks.contains(where: { $0.link == name }) { return .socketOptions }
    if name.hasPrefix(self.lookupPrefix) { return .lookup(String(name.dropFirst(self.lookupPrefix.count))) }
    return self.interface(ofEdge: name).map { .edge($0) }
  }

  private static func interface(ofEdge name: String) -> UInt32? {
    name.hasPrefix(self.edgePrefix) ? UInt32(name.dropFirst(self.edgePrefix.count)) : nil
  }

  private static func checked(_ name: String) throws(MeshError) -> String {
    // Dots are refused by the BPF file system; a slash would leave the directory.
    let valid = name.utf8.allSatisfy {
      ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5a) || ($0 >= 0x61 && $0 <= 0x7a) || $0 == 0x2d
        || $0 == 0x5f
    }
    guard valid, !name.isEmpty, name.utf8.count <= 200 else {
      throw MeshError(.invalid, name, "is no name of a pinned link (letters, digits, - and _, at most 200)")
    }
    return name
  }

  private static func openCgroup(_ path: String) throws(MeshError) -> (descriptor: OwnedDescriptor, identifier: UInt64)
  {
    let descriptor = try OwnedDescriptor.owning(
      PinDirectory.result(Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path, "cannot open the cgroup")
    guard cmesh_is_cgroup2(descriptor.rawValue) == 1 else {
      throw MeshError(.invalid, path, "is not in a cgroup2 hierarchy", next: "see /proc/mounts for the cgroup2 mount")
    }
    var status = stat()
    guard fstat(descriptor.rawValue, &status) == 0 else { throw BPFFailure.error(-errno, path, "cannot be read") }
    return (descriptor, UInt64(status.st_ino))
  }
}
