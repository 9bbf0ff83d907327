import CMeshRelay
import MeshBase
import MeshRouting

/// Connections between nodes, and what goes through them.
extension RelayLoop {
  /// Toward one identity at one place. More are opened when those that there are wait for the peer.
  private static let mostTunnelUpstreams = 4

  /// The socket is a connection's of another node from here on.
  func enter(_ descriptor: CInt, _ entrance: TunnelEntrance) {
    self.counters.accepted += 1
    if self.strain.now >= .full {
      self.count(HTTPLocalAnswer.overloaded.reason)
      return cmesh_relay_reset(descriptor)
    }
    var address = cmesh_relay_address()
    guard cmesh_relay_peer(descriptor, &address) == 0 else { return cmesh_relay_reset(descriptor) }
    let client = SocketEndpoint(IPAddress(high: address.high, low: address.low), address.port)
    let server = HBONEServer(number: self.nextNumber(), loop: self, entrance: entrance, client: client)
    self.add(server)
    server.begin(descriptor)
  }

  /// Relays what a client sends through a tunnel.
  func relay(_ stream: TunnelStream, _ flow: AcceptedFlow) {
    let connection = RelayConnection(number: self.nextNumber(), flow: flow, loop: self, tunnel: stream)
    stream.relay = connection
    self.begin(connection)
  }

  /// Relays one end of a pair of sockets of this process.
  func relay(_ descriptor: CInt, through tunnel: Tunnel, of flow: AcceptedFlow, _ bridge: TunnelBridge) {
    self.begin(
      RelayConnection(
        number: self.nextNumber(), flow: flow, loop: self, client: descriptor, through: tunnel, bridge: bridge))
  }

  /// What the kernel chose, or the caller dialled itself. The kernel has no table of these numbers; what becomes of its choice counts
  /// all the same.
  func choice(at target: SocketEndpoint, of flow: AcceptedFlow) -> RoutingTable.Choice {
    if let known = self.table?.endpoint(at: target, of: flow.original) { return known }
    let plain = RoutingTable.Choice(target: target, workload: nil)
    // What came from another node has arrived.
    guard flow.peer == nil, let caller = self.callers.names[flow.sourceWorkload] else { return plain }
    return self.table?.choice(at: target, from: caller) ?? plain
  }

  /// How an endpoint is reached from the workload that a connection is of.
  func passage(of flow: AcceptedFlow, to choice: RoutingTable.Choice) -> Passage {
    guard choice.needsTunnel else { return .direct }
    return self.table?.passage(from: self.callers.names[flow.sourceWorkload], to: choice) ?? .refused(.notReady)
  }

  /// A stream toward an endpoint of another node, which tells `relay` what becomes of it. Nil: the workload has no certificate.
  func tunnel(_ tunnel: Tunnel, for relay: RelayConnection, client: CInt) -> TunnelStream? {
    let flow = relay.flow
    guard let caller = self.callers.names[flow.sourceWorkload], let identity = self.table?.identity(of: caller),
      let pair = self.certificates?.pair(of: identity)
    else { return nil }
    let key = HBONEUpstream.Key(
      workload: flow.sourceWorkload, namespaceCookie: flow.namespaceCookie, source: pair.identity,
      identity: tunnel.identity, address: tunnel.gateway, serverName: tunnel.serverName)
    let all = self.tunnelUpstreams[key] ?? []
    if let upstream = all.first(where: { $0.hasRoom && !$0.isHeldUp })
      ?? (all.count < Self.mostTunnelUpstreams
        ? nil : all.filter(\.hasRoom).min { $0.streams.count < $1.streams.count })
    {
      let stream = TunnelStream(on: upstream, relay: relay)
      upstream.begin(stream, to: tunnel.authority)
      return stream
    }
    guard let upstream = self.freshTunnelUpstream(key, pair.client, flow) else { return nil }
    let stream = TunnelStream(on: upstream, relay: relay)
    upstream.begin(stream, to: tunnel.authority)
    upstream.begin(client: client)
    return stream
  }

  /// One that does not dial yet.
  func freshTunnelUpstream(_ key: HBONEUpstream.Key, _ context: TLSContext, _ flow: AcceptedFlow) -> HBONEUpstream? {
    // It dials the other node, wherever the connection goes that it is made for.
    var own = flow
    own.chosen = nil
    let upstream = HBONEUpstream(number: self.nextNumber(), key: key, context: context, flow: own, loop: self)
    self.add(upstream)
    self.tunnelUpstreams[key, default: []].append(upstream)
    return upstream
  }

  func forget(_ upstream: HBONEUpstream) {
    self.tunnelUpstreams[upstream.key]?.removeAll { $0 === upstream }
    if self.tunnelUpstreams[upstream.key]?.isEmpty == true { self.tunnelUpstreams[upstream.key] = nil }
  }
}
