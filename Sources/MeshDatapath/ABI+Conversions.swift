package import CMeshABI
package import MeshBase

extension mesh_addr {
  package init(_ address: IPAddress) {
    self.init(hi_be: address.high.bigEndian, lo_be: address.low.bigEndian)
  }

  /// All zero: no address.
  package static let none = mesh_addr(hi_be: 0, lo_be: 0)
}

extension IPAddress {
  package init(_ address: mesh_addr) {
    self.init(high: UInt64(bigEndian: address.hi_be), low: UInt64(bigEndian: address.lo_be))
  }

  /// Nil for the all-zero address, which means "none" in the structs.
  package init?(known address: mesh_addr) {
    guard address.hi_be != 0 || address.lo_be != 0 else { return nil }
    self.init(address)
  }
}

extension mesh_port_key {
  package init(_ endpoint: SocketEndpoint) {
    self.init(address: mesh_addr(endpoint.address), port_be: endpoint.port.bigEndian, zero16: 0, zero32: 0)
  }
}

extension SocketEndpoint {
  package init(_ key: mesh_port_key) { self.init(IPAddress(key.address), UInt16(bigEndian: key.port_be)) }
}

extension mesh_service_key {
  /// TCP.
  package init(_ address: IPAddress, port: UInt16) {
    self.init(
      address: mesh_addr(address), port_be: port.bigEndian, protocol: IPProtocol.tcp, zero8: 0, zero32: 0)
  }
}

extension mesh_tuple {
  /// Key of the flow of a socket that connects. Loopback addresses repeat between namespaces, hence the cookie.
  package init(local: SocketEndpoint, remote: SocketEndpoint, namespace: UInt64) {
    let isLoopback = remote.address.isLoopback || remote.address.isUnspecified
    self.init(
      local: mesh_addr(remote.address), remote: mesh_addr(local.address), netns_cookie: isLoopback ? namespace : 0,
      local_port_be: remote.port.bigEndian, remote_port_be: local.port.bigEndian, zero32: 0)
  }
}

extension mesh_network_key {
  /// The generation counts as the first 32 bits of the prefix.
  package init(generation: UInt32, _ block: IPPrefix) {
    self.init(
      prefixlen: 32 + UInt32(truncatingIfNeeded: block.mappedLength), generation: generation,
      address: mesh_addr(block.address))
  }
}

/// Numbers of the Internet protocols (IANA).
package enum IPProtocol {
  package static let tcp: UInt8 = 6
}
