import Glibc
package import MeshBase
import NIOCore

/// A listening TCP socket of this process's own namespace, for relays that are not handed over by an agent.
package enum LocalListener {
  /// Non-blocking, the caller's. Port 0: the kernel chooses; `endpoint(of:)` tells.
  package static func open(_ endpoint: SocketEndpoint, backlog: CInt = 1024) throws(MeshError) -> CInt {
    let isV4 = endpoint.address.isV4
    let flags = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(isV4 ? AF_INET : AF_INET6, flags, 0)
    guard descriptor >= 0 else { throw self.error(endpoint, "socket") }
    var yes: CInt = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    let bound: CInt? = endpoint.socketAddress.map { address in
      address.withSockAddr { pointer, size in bind(descriptor, pointer, socklen_t(size)) }
    }
    guard bound == 0, listen(descriptor, backlog) == 0 else {
      let error = self.error(endpoint, bound == 0 ? "listen" : "bind")
      close(descriptor)
      throw error
    }
    return descriptor
  }

  private static func error(_ endpoint: SocketEndpoint, _ call: String) -> MeshError {
    MeshError(.unavailable, "listener \(endpoint)", "\(call) failed", cause: String(cString: strerror(errno)))
  }
}
