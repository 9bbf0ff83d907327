import Glibc
package import MeshBase

/// What connects two hosts: a veth pair, an end of it in each host's namespace.
package struct WorldWire: Sendable {
  package struct End: Sendable {
    package let node: WorldNode
    /// Of the host on this wire.
    package let address: IPAddress
    /// Its name in the host's namespace.
    package let interface: String
  }

  package let first: End
  package let second: End
}

/// What hosts know of each other's pods.
package enum WorldRouting: Sendable {
  /// Each leads to the other's: the addresses of all pods are different.
  case flat
  /// Nothing. Pods leave with their host's address (masquerade), so that both hosts can have the same addresses for pods.
  case separate
}

extension World {
  /// Connects two hosts, which forward from here on. `number`: 1 to 254, of the wire: it is 198.18.NUMBER.0/24 (RFC 2544).
  package func wire(
    _ first: WorldNode, _ second: WorldNode, number: Int = 1, _ routing: WorldRouting = .flat
  ) throws -> WorldWire {
    let ends = [(first, 1, "w\(number)a"), (second, 2, "w\(number)b")]
    try first.ip([
      "link add \(ends[0].2) type veth peer name \(ends[1].2) netns \(String(second.namespacePath.dropFirst("/run/netns/".count)))"
    ])
    for (node, last, interface) in ends {
      try node.ip(["addr add 198.18.\(number).\(last)/24 dev \(interface)", "link set \(interface) up"])
      try node.check(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
      guard case .separate = routing else { continue }
      try node.check(["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", interface, "-j", "MASQUERADE"])
    }
    if case .flat = routing {
      for ((node, _, _), (other, last, _)) in [(ends[0], ends[1]), (ends[1], ends[0])] {
        // The bridge's address with its length names the pods' block.
        try node.ip(["route add \(try Self.block(other.v4)) via 198.18.\(number).\(last)"])
      }
    }
    func end(_ index: Int) throws -> WorldWire.End {
      let (node, last, interface) = ends[index]
      guard let address = IPAddress("198.18.\(number).\(last)") else {
        throw MeshError(.invalid, "wire \(number)", "is not from 1 to 254")
      }
      return WorldWire.End(node: node, address: address, interface: interface)
    }
    return WorldWire(first: try end(0), second: try end(1))
  }

  private static func block(_ address: String) throws -> String {
    let parts = address.split(separator: "/")
    guard parts.count == 2, let length = Int(parts[1]), let base = IPAddress(parts[0]),
      let prefix = IPPrefix(base, length: length)
    else { throw MeshError(.invalid, address, "is no address with a length") }
    return "\(prefix)"
  }
}

extension Place {
  /// Runs it, and throws with what it said if it fails.
  package func check(_ command: [String]) throws {
    let finished = try self.run(command)
    guard finished.isSuccess else {
      throw MeshError(.invalid, command.joined(separator: " "), "failed", cause: finished.stderr)
    }
  }
}
