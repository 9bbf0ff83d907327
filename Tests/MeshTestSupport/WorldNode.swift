import Glibc
package import MeshBase
package import MeshLinux
import Synchronization

/// A host: a namespace with a bridge `br0`, and a cgroup that its processes and pods are in or below.
package final class WorldNode: Place {
  package let name: String
  package let world: World
  package let namespacePath: String
  package let namespace: NetworkNamespace
  package let cgroup: Cgroup
  /// Of the bridge, with its prefix length.
  package let v4: String
  package let v6: String
  private struct Pods {
    var names: Set<String> = []
    /// Ever made: names of interfaces are not used twice.
    var count = 0
  }
  private let pods = Mutex(Pods())

  init(_ name: String, in world: World, v4: String, v6: String) throws {
    self.name = name
    self.world = world
    self.v4 = v4
    self.v6 = v6
    self.cgroup = try Cgroup.create(under: world.cgroup, name: name)
    (self.namespacePath, self.namespace) = try Self.makeNamespace(world, name)
    try self.ip([
      "link set lo up", "link add br0 type bridge forward_delay 0 mcast_snooping 0", "addr add \(v4) dev br0",
      "addr add \(v6) dev br0 nodad", "link set br0 up",
    ])
  }

  /// A workload's place: a namespace whose `eth0` is in the node's bridge, and a cgroup below the node's.
  package func pod(_ name: String, v4: String? = nil, v6: String? = nil) throws -> WorldPod {
    let index = try self.pods.withLock { pods in
      guard pods.names.insert(name).inserted else { throw MeshError(.conflict, name, "the node has that pod") }
      pods.count += 1
      return pods.count
    }
    return try WorldPod(name, on: self, index: index, v4: v4, v6: v6)
  }

  /// The name is free for another.
  fileprivate func forget(pod name: String) { self.pods.withLock { _ = $0.names.remove(name) } }

  static func makeNamespace(_ world: World, _ rest: String) throws -> (String, NetworkNamespace) {
    let name = WorldRegistry.namespaceName(world.identifier, rest)
    try world.ip(arguments: ["netns", "add", name])
    let path = "/run/netns/\(name)"
    return (path, try NetworkNamespace.open(path: path))
  }
}

/// A workload's place.
package final class WorldPod: Place {
  package let name: String
  package let node: WorldNode
  package var world: World { self.node.world }
  package let namespacePath: String
  package let namespace: NetworkNamespace
  package let cgroup: Cgroup
  package let v4: IPAddress?
  package let v6: IPAddress?
  /// The other end of `eth0`, in the node's namespace.
  package let hostInterface: String

  init(_ name: String, on node: WorldNode, index: Int, v4: String?, v6: String?) throws {
    self.name = name
    self.node = node
    self.v4 = try v4.map(Self.address)
    self.v6 = try v6.map(Self.address)
    self.hostInterface = String("v\(index)-\(name)".prefix(15))
    self.cgroup = try Cgroup.create(under: node.cgroup, name: name)
    (self.namespacePath, self.namespace) = try WorldNode.makeNamespace(node.world, "\(node.name)-\(name)")
    let inside = WorldRegistry.namespaceName(node.world.identifier, "\(node.name)-\(name)")
    try node.ip([
      "link add \(self.hostInterface) type veth peer name eth0 netns \(inside)",
      "link set \(self.hostInterface) master br0 up",
    ])
    var commands = ["link set lo up", "link set eth0 up"]
    if let v4 {
      let length = node.v4.split(separator: "/").last ?? "16"
      let gateway = node.v4.split(separator: "/").first ?? ""
      commands += ["addr add \(v4)/\(length) dev eth0", "route add default via \(gateway)"]
    }
    if let v6 {
      let length = node.v6.split(separator: "/").last ?? "64"
      let gateway = node.v6.split(separator: "/").first ?? ""
      commands += ["addr add \(v6)/\(length) dev eth0 nodad", "route add default via \(gateway)"]
    }
    try self.ip(commands)
  }

  private static func address(_ text: String) throws -> IPAddress {
    guard let address = IPAddress(text) else { throw MeshError(.invalid, text, "is no address") }
    return address
  }

  /// Removes the pod as a runtime does: its processes, its name, its cgroup. The namespace itself goes when the last
  /// descriptor and process in it have gone.
  package func remove() throws {
    try self.cgroup.kill()
    try self.cgroup.remove()
    try self.world.ip(arguments: ["netns", "del", String(self.namespacePath.dropFirst("/run/netns/".count))])
    self.node.forget(pod: self.name)
  }
}
