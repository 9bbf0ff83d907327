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
  /// False: its check says that it cannot serve. Its endpoints are not ready; everything else of it stays.
  package var isHealthy = true
  /// What it asks port 53 goes to the name server of the node proxy in its namespace. Nil: it is left alone.
  package var names: NameSteering?
  /// Its redirection is lost and could not be repaired: nothing reaches it, nothing comes from it.
  package var isQuarantined = false
  /// In the host's namespace: declared ports on which somebody else listens. Calls to them are refused.
  package var disownedPorts: Set<UInt16> = []
  /// Which of the host's networks its interfaces are in: between two of them addresses may be translated on the way. Nil in
  /// the host's own namespace, from and to which none are, and while it is not known.
  package var segment: String?
  /// Ports of the host that lead to it, sorted.
  package var publications: [PublishedPort] = []

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

/// A port of the host that leads to a port of a workload: what a container engine publishes.
package struct PublishedPort: Hashable, Sendable {
  /// Loopback: for processes of the host only; 127.0.0.1 stands for all of 127/8.
  package var host: SocketEndpoint
  package var port: UInt16

  package init(host: SocketEndpoint, port: UInt16) {
    self.host = host
    self.port = port
  }
}

/// Which questions for names go to the node proxy.
package struct NameSteering: Hashable, Sendable {
  /// Those to 127/8 and ::1 too; else they are for a resolver of the workload's own.
  package var takesLoopback: Bool

  package init(takesLoopback: Bool) { self.takesLoopback = takesLoopback }
}
