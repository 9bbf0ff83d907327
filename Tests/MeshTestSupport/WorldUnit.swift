package import MeshLinux

/// A service of the host itself: a cgroup, `system.slice/NAME` below the node's, in the node's own namespace.
package final class WorldUnit: Place {
  package let name: String
  package let node: WorldNode
  package var world: World { self.node.world }
  package var namespacePath: String { self.node.namespacePath }
  package var namespace: NetworkNamespace { self.node.namespace }
  package let cgroup: Cgroup

  init(_ name: String, on node: WorldNode) throws {
    self.name = name
    self.node = node
    self.cgroup = try Cgroup.create(under: .create(under: node.cgroup, name: "system.slice"), name: name)
  }

  /// Its processes and its cgroup go, as when a unit stops.
  package func stop() throws {
    try self.cgroup.kill()
    try self.cgroup.remove()
  }
}

extension WorldNode {
  /// `name` as systemd has it: `web.service`.
  package func unit(_ name: String) throws -> WorldUnit { try WorldUnit(name, on: self) }
}
