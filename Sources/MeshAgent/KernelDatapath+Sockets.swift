import CMeshABI
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux

extension KernelDatapath {
  /// The flow of a socket that called; nil if the connect hook did not see it, or it called nobody.
  func flow(of socket: SocketRecord, in namespace: NetworkNamespace) throws(MeshError) -> mesh_flow? {
    let key = mesh_tuple(local: socket.local, remote: socket.remote, namespace: namespace.cookie)
    guard let flow = try self.flows.get(key), flow.socket_cookie == socket.cookie else { return nil }
    return flow
  }
}
