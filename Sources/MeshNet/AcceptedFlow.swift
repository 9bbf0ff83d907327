import CMeshABI
import Glibc
package import MeshBase

/// What the kernel noted about an accepted connection when its client called connect.
package struct AcceptedFlow: Sendable, Hashable {
  /// What the application dialled.
  package var original: SocketEndpoint
  /// The agent's number of the workload that dialled: the proxy dials on its behalf.
  package var sourceWorkload: UInt32
  package var namespaceCookie: UInt64
  /// Of the socket that dialled.
  package var socketCookie: UInt64
  /// Where the kernel decided that it goes: to a workload in another network of this host, which is dialled from inside of its
  /// own namespace. Nil: the proxy chooses.
  package var chosen: SocketEndpoint?
  /// Who dialled, if it came through a tunnel of another node. `sourceWorkload` is then the workload that it comes to.
  package var peer: SPIFFEID?
  /// Whence its node dialled then.
  package var peerAddress: IPAddress?

  package init(
    original: SocketEndpoint, sourceWorkload: UInt32, namespaceCookie: UInt64, socketCookie: UInt64 = 0,
    chosen: SocketEndpoint? = nil, peer: SPIFFEID? = nil, peerAddress: IPAddress? = nil
  ) {
    self.peerAddress = peerAddress
    self.peer = peer
    self.chosen = chosen
    self.original = original
    self.sourceWorkload = sourceWorkload
    self.namespaceCookie = namespaceCookie
    self.socketCookie = socketCookie
  }

  /// The agent dialled, to see who answers; the proxy answers by itself.
  package var isCanary: Bool { self.original == SocketEndpoint(Canary.address, Canary.answerPort) }

  /// Why an accepted socket is none of the proxy's connections.
  package enum Refusal: String, Error, Sendable {
    /// Nobody steered it: an application dialled the proxy's port itself.
    case noFlow = "no_flow"
    case wrongTier = "wrong_tier"
    case wrongNamespace = "wrong_namespace"
  }

  /// Asks the `getsockopt` program of the agent's cgroup, in which the listener was made. Synchronous: a look-up in the
  /// socket's own storage.
  package static func ofAccepted(_ descriptor: CInt) -> Result<AcceptedFlow, Refusal> {
    var flow = mesh_flow()
    var size = socklen_t(MemoryLayout<mesh_flow>.size)
    guard getsockopt(descriptor, MESH_SOL_FLOW, MESH_SO_FLOW, &flow, &size) == 0,
      size == socklen_t(MemoryLayout<mesh_flow>.size)
    else { return .failure(.noFlow) }
    guard UInt32(flow.tier) == MESH_TIER_RELAY.rawValue else { return .failure(.wrongTier) }
    func place(_ address: mesh_addr, _ port: UInt16) -> SocketEndpoint {
      SocketEndpoint(
        IPAddress(high: UInt64(bigEndian: address.hi_be), low: UInt64(bigEndian: address.lo_be)),
        UInt16(bigEndian: port))
    }
    return .success(
      AcceptedFlow(
        original: place(flow.original, flow.original_port_be), sourceWorkload: flow.source_workload,
        namespaceCookie: flow.netns_cookie, socketCookie: flow.socket_cookie,
        chosen: UInt32(flow.flags) & MESH_FLOW_CHOSEN == 0
          ? nil : place(flow.destination, flow.destination_port_be)))
  }

  /// The namespace that a socket was made in (SO_NETNS_COOKIE, 71); 0: it cannot be told.
  package static func namespaceCookie(of socket: CInt) -> UInt64 {
    var cookie: UInt64 = 0
    var size = socklen_t(MemoryLayout<UInt64>.size)
    return getsockopt(socket, SOL_SOCKET, 71, &cookie, &size) == 0 ? cookie : 0
  }

  /// Tells the kernel for which accepted connection an upstream socket will dial, so that the leg is told with its service
  /// and the two halves as one connection. Two system calls. Without a flow, or with a socket that the agent did not make,
  /// nothing happens.
  package static func handOver(from accepted: CInt, to upstream: CInt) {
    var flow = mesh_flow()
    var size = socklen_t(MemoryLayout<mesh_flow>.size)
    guard getsockopt(accepted, MESH_SOL_FLOW, MESH_SO_FLOW, &flow, &size) == 0,
      size == socklen_t(MemoryLayout<mesh_flow>.size)
    else { return }
    _ = setsockopt(upstream, MESH_SOL_FLOW, MESH_SO_FLOW, &flow, size)
  }
}
