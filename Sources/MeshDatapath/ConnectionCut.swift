package import MeshBase
package import MeshPolicy
import MeshSnapshot

/// A TCP socket in the namespace of an enrolled workload, as sock_diag has it.
package struct ObservedSocket: Hashable, Sendable {
  package var local: SocketEndpoint
  /// Unspecified while listening.
  package var remote: SocketEndpoint
  package var isListening: Bool
  package var cookie: UInt64
  /// Of the process that made it; told in the host's namespace.
  package var cgroup: UInt64

  package init(
    local: SocketEndpoint, remote: SocketEndpoint, isListening: Bool, cookie: UInt64, cgroup: UInt64 = 0
  ) {
    self.local = local
    self.remote = remote
    self.isListening = isListening
    self.cookie = cookie
    self.cgroup = cgroup
  }
}

/// A socket to destroy, and why.
package struct SocketCut: Hashable, Sendable {
  /// In whose namespace it is.
  package var workload: ResourceName
  package var socket: ObservedSocket
  /// The direction that is refused.
  package var isClient: Bool
  package var verdict: PolicyVerdict
}

/// Which connections a change of policy, addresses or enrolment ends: those that would be refused now. Works from sockets,
/// not from flows, so that connections older than the mesh and flows that were forgotten are judged too.
///
/// The direction of a socket decides who calls whom. In this order: its cookie is that of a known client; its port is
/// listened on in the namespace, so it was accepted; its port is an ephemeral one, so it called. Else both directions are
/// judged, and one refusal is enough.
///
/// Not judged: tunnels to and from other nodes; connections of a workload with itself, which the kernel passes, unless the node proxy made them for another;
/// the client's leg to the relay listener on loopback, which ends with the upstream leg.
package struct ConnectionCut: Sendable {
  package let resolved: ResolvedSnapshot
  /// Sockets that the node proxy made inside of the destination's namespace, by cookie, and for whom.
  package var legs: [UInt64: ResourceName] = [:]
  /// Cookies of sockets that are known to have called, if flows are known.
  package var clientCookies: Set<UInt64>
  /// `net.ipv4.ip_local_port_range`.
  package var ephemeralPorts: ClosedRange<UInt16>
  /// Who called, of the connections that workloads in the host's namespace made: their address is the host's. By the
  /// caller's address, then the other.
  var hostCallers: [[SocketEndpoint]: ResourceName] = [:]

  package init(
    _ resolved: ResolvedSnapshot, clientCookies: Set<UInt64> = [], ephemeralPorts: ClosedRange<UInt16> = 32768...60999
  ) {
    self.resolved = resolved
    self.clientCookies = clientCookies
    self.ephemeralPorts = ephemeralPorts
  }

  /// Of `sockets`, all that are in the namespace of `workload`, those to destroy.
  package func cuts(of workload: ResourceName, sockets: [ObservedSocket]) -> [SocketCut] {
    guard let entry = self.resolved.snapshot.workloads[workload]?.value, self.resolved.isEnrolled(workload) else {
      return []
    }
    let own = Set(entry.addresses)
    let listened = Set(sockets.lazy.filter(\.isListening).map(\.local.port))
    return sockets.compactMap { socket in
      guard !socket.isListening, !socket.remote.address.isUnspecified else { return nil }
      if let caller = self.legs[socket.cookie] {
        let verdict = self.resolved.access(
          from: .workload(caller, isV4: socket.remote.address.isV4), to: workload, port: socket.remote.port)
        return verdict.isAllowed ? nil : SocketCut(workload: workload, socket: socket, isClient: true, verdict: verdict)
      }
      guard !socket.remote.address.isLoopback, !own.contains(socket.remote.address) else { return nil }
      let isClient: Bool?
      if self.clientCookies.contains(socket.cookie) {
        isClient = true
      } else if listened.contains(socket.local.port) {
        isClient = false
      } else if self.ephemeralPorts.contains(socket.local.port) {
        isClient = true
      } else {
        isClient = nil
      }
      // Whoever it called: that is not decided anywhere any more.
      if self.resolved.isQuarantined(workload) {
        return SocketCut(
          workload: workload, socket: socket, isClient: isClient ?? true,
          verdict: PolicyVerdict(isAllowed: false, reason: .quarantined))
      }
      if self.isTunnel(socket) { return nil }
      if isClient != false, let verdict = self.calls(workload, socket), !verdict.isAllowed {
        return SocketCut(workload: workload, socket: socket, isClient: true, verdict: verdict)
      }
      if isClient != true {
        let verdict = self.accepts(workload, socket)
        if !verdict.isAllowed {
          return SocketCut(workload: workload, socket: socket, isClient: false, verdict: verdict)
        }
      }
      return nil
    }
  }

  /// Between node proxies: what is in it they decide, connection by connection.
  private func isTunnel(_ socket: ObservedSocket) -> Bool {
    self.resolved.opensTunnels && [socket.local.port, socket.remote.port].contains(MeshPort.hbone)
  }

  /// Nil: what it called is not of this node, and nothing is decided here.
  func calls(_ workload: ResourceName, _ socket: ObservedSocket) -> PolicyVerdict? {
    guard let destination = self.resolved.workload(at: socket.remote)?.name,
      self.resolved.isEnrolled(destination)
    else { return nil }
    return self.resolved.access(
      from: .workload(workload, isV4: socket.remote.address.isV4), to: destination, port: socket.remote.port)
  }

  func accepts(_ workload: ResourceName, _ socket: ObservedSocket) -> PolicyVerdict {
    let source: AccessSource
    if let caller = self.hostCallers[[socket.remote, socket.local]]
      ?? self.resolved.workload(at: socket.remote.address)?.name, self.resolved.isEnrolled(caller)
    {
      source = .workload(caller, isV4: socket.remote.address.isV4)
    } else {
      source = .outside(socket.remote.address)
    }
    return self.resolved.access(from: source, to: workload, port: socket.local.port)
  }
}
