import CMeshRelay
import Glibc
package import MeshBase

/// A listening TCP socket of this process's own namespace, for relays that are not handed over by an agent.
package enum LocalListener {
  /// Non-blocking, the caller's. Port 0: the kernel chooses.
  package static func open(_ endpoint: SocketEndpoint, backlog: CInt = 1024) throws(MeshError) -> CInt {
    var address = endpoint.relayAddress
    let descriptor = cmesh_relay_listen(&address, backlog)
    guard descriptor >= 0 else {
      throw MeshError(
        .unavailable, "listener \(endpoint)", "cannot listen", cause: String(cString: strerror(-descriptor)))
    }
    return descriptor
  }
}
