package import MeshBase
package import MeshSnapshot

/// How a workload of another node is reached (HBONE).
package struct Tunnel: Hashable, Sendable {
  /// Whom the other end has to prove to be.
  package var identity: SPIFFEID
  /// Where its node's proxy takes tunnels.
  package var gateway: SocketEndpoint
  /// What the TLS handshake names, where the gateway serves several identities; nil: it serves one.
  package var serverName: String?
  /// Where the connection goes, at the other end.
  package var authority: SocketEndpoint

  package init(identity: SPIFFEID, gateway: SocketEndpoint, serverName: String?, authority: SocketEndpoint) {
    self.identity = identity
    self.gateway = gateway
    self.serverName = serverName
    self.authority = authority
  }
}

/// What leads to an endpoint.
package enum Passage: Hashable, Sendable {
  /// It is dialled itself.
  case direct
  case tunnel(Tunnel)
  case refused(RoutingRefusal)
}

extension WorkloadEntry {
  /// Names it in the TLS handshake where several identities share a gateway: `w-` and 16 hexadecimal digits of its name's hash.
  package var serverName: String { Self.serverName(of: self.name) }

  package static func serverName(of workload: ResourceName) -> String {
    "w-\(ContentVersion(of: workload.description.utf8))"
  }
}

extension RoutingTable {
  /// A workload of the same network is dialled at its own address, one of another at its node's, because there its own address
  /// may be somebody else's. One whose port takes plaintext from other hosts (PeerAuthentication DISABLE) is dialled itself, if
  /// its address means it here.
  package func passage(from source: ResourceName?, to choice: Choice) -> Passage {
    guard choice.needsTunnel else { return .direct }
    guard let source = source.flatMap({ self.entry(of: $0) }), let name = choice.workload,
      let workload = self.entry(of: name)
    else { return .refused(.noTunnel) }
    let isNear = workload.network == source.network
    if workload.peerModes.mode(at: choice.target.port) == .disable {
      return isNear ? .direct : .refused(.noTunnel)
    }
    // In a host's namespace workloads share an address, and so a gateway.
    let isShared = !isNear || workload.location.isInHost
    let address =
      isNear
      ? choice.target.address
      : workload.gateways.first { $0.isV4 == choice.target.address.isV4 } ?? workload.gateways.first
    guard let address else { return .refused(.noTunnel) }
    return .tunnel(
      Tunnel(
        identity: workload.identity, gateway: SocketEndpoint(address, MeshPort.hbone),
        serverName: isShared ? workload.serverName : nil, authority: choice.target))
  }

  /// Whom `source` means by an address that it dialled itself. Nil: no workload has it.
  package func choice(at target: SocketEndpoint, from source: ResourceName) -> Choice? {
    guard let caller = self.entry(of: source) else { return nil }
    let owners = (self.owners[target.address] ?? []).compactMap { self.entry(of: $0) }
    // Of its own network before others, which have the same address for somebody else.
    guard let owner = owners.first(where: { $0.network == caller.network }) ?? owners.first else { return nil }
    return Choice(target: target, workload: owner.name, needsTunnel: owner.node != caller.node)
  }
}
