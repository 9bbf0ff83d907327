package import MeshBase
import MeshPolicy
import MeshSnapshot

/// Connections of the host's own namespace. A socket there belongs to the workload whose cgroup made it, or answers at a
/// port that a workload declared, or is not the mesh's business.
extension ConnectionCut {
  /// Of `sockets`, all that are in the host's namespace, those to destroy. Remembers who called whom, for the namespaces that
  /// were called: ask for those afterwards. `units`: the cgroups of enrolled workloads and all below them.
  package mutating func cutsInHost(sockets: [ObservedSocket], units: [UInt64: ResourceName]) -> [SocketCut] {
    let listened = Set(sockets.lazy.filter(\.isListening).map(\.local.port))
    for socket in sockets where !socket.isListening {
      guard let caller = units[socket.cgroup], self.mayCall(socket, listened) else { continue }
      self.hostCallers[[socket.local, socket.remote]] = caller
    }
    return sockets.compactMap { socket in
      guard !socket.isListening, !socket.remote.address.isUnspecified else { return nil }
      if let maker = units[socket.cgroup], self.resolved.isQuarantined(maker) {
        return SocketCut(
          workload: maker, socket: socket, isClient: self.mayCall(socket, listened),
          verdict: PolicyVerdict(isAllowed: false, reason: .quarantined))
      }
      if let caller = self.hostCallers[[socket.local, socket.remote]], let verdict = self.calls(caller, socket),
        !verdict.isAllowed
      {
        return SocketCut(workload: caller, socket: socket, isClient: true, verdict: verdict)
      }
      guard listened.contains(socket.local.port), let owner = self.resolved.workload(servedAt: socket.local)?.name,
        self.resolved.isEnrolled(owner), self.hostCallers[[socket.remote, socket.local]] != owner
      else { return nil }
      let verdict = self.accepts(owner, socket)
      return verdict.isAllowed ? nil : SocketCut(workload: owner, socket: socket, isClient: false, verdict: verdict)
    }
  }

  /// An accepted socket has the cgroup of its listener: it called nobody.
  private func mayCall(_ socket: ObservedSocket, _ listened: Set<UInt16>) -> Bool {
    if self.clientCookies.contains(socket.cookie) { return true }
    return !listened.contains(socket.local.port) && !socket.remote.address.isUnspecified
  }
}
