import CMeshABI
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux

extension KernelDatapath {
  /// A call of the agent's own to a port that a workload of the host declared is the workload's call to itself: no policy
  /// judges it. Only this one has these two ends, from when its socket is bound until it is closed.
  func admit(_ ends: HostCheck.Ends, of workload: UInt32, in namespace: NetworkNamespace) throws(MeshError) {
    var flow = mesh_flow()
    flow.source = mesh_addr(ends.caller.address)
    flow.source_port_be = ends.caller.port.bigEndian
    flow.destination = mesh_addr(ends.called.address)
    flow.destination_port_be = ends.called.port.bigEndian
    flow.original = flow.destination
    flow.original_port_be = flow.destination_port_be
    flow.netns_cookie = namespace.cookie
    flow.start_ns = MonotonicClock.nanoseconds
    flow.source_workload = workload
    flow.destination_workload = workload
    flow.tier = UInt8(truncatingIfNeeded: MESH_TIER_OUTSIDE.rawValue)
    flow.verdict = UInt8(truncatingIfNeeded: MESH_VERDICT_ALLOW.rawValue)
    try self.flows.put(mesh_tuple(local: ends.caller, remote: ends.called, namespace: namespace.cookie), flow)
  }

  func forget(_ ends: HostCheck.Ends, in namespace: NetworkNamespace) {
    try? self.flows.delete(mesh_tuple(local: ends.caller, remote: ends.called, namespace: namespace.cookie))
  }

  /// The flow of a socket that called; nil if the connect hook did not see it, or it called nobody.
  func flow(of socket: SocketRecord, in namespace: NetworkNamespace) throws(MeshError) -> mesh_flow? {
    let key = mesh_tuple(local: socket.local, remote: socket.remote, namespace: namespace.cookie)
    guard let flow = try self.flows.get(key), flow.socket_cookie == socket.cookie else { return nil }
    return flow
  }
}
