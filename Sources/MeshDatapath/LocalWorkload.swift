package import MeshBase

/// A workload of this node that is enrolled: its namespace or cgroup is there, its listeners and programs are in place.
package struct LocalWorkload: Hashable, Sendable {
  package var name: ResourceName
  /// Cookie of its network namespace (`SO_NETNS_COOKIE`): unique while the host is up.
  package var netnsCookie: UInt64
  /// The id of its cgroup, if it lives in the host's namespace with others; nil if the namespace is its own.
  package var cgroup: UInt64?
  /// Addresses found in the namespace, without loopback and link-local.
  package var addresses: [IPAddress]
  /// Interface indexes at the host end of its veths.
  package var interfaces: [UInt32]
  /// What it asks port 53 goes to the name server of the node proxy in its namespace. Nil: it is left alone.
  package var names: NameSteering?
  /// Its redirection is lost and could not be repaired: nothing reaches it, nothing comes from it.
  package var isQuarantined = false
  /// In the host's namespace: declared ports on which somebody else listens. Calls to them are refused.
  package var disownedPorts: Set<UInt16> = []

  package init(
    name: ResourceName, netnsCookie: UInt64, addresses: [IPAddress], interfaces: [UInt32] = [], cgroup: UInt64? = nil
  ) {
    self.name = name
    self.netnsCookie = netnsCookie
    self.addresses = addresses
    self.interfaces = interfaces
    self.cgroup = cgroup
  }
}

/// Which questions for names go to the node proxy.
package struct NameSteering: Hashable, Sendable {
  /// Those to 127/8 and ::1 too; else they are for a resolver of the workload's own.
  package var takesLoopback: Bool

  package init(takesLoopback: Bool) { self.takesLoopback = takesLoopback }
}
