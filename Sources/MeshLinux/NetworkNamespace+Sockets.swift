import CMeshLinux
import Glibc
package import MeshBase

extension NetworkNamespace {
  /// A TCP listener inside the namespace: non-blocking, SO_REUSEADDR, not SO_REUSEPORT (no one may share the port), an
  /// IPv6 one for IPv6 only.
  package func openListener(_ endpoint: SocketEndpoint, backlog: Int32 = 1024) throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      let socket = try self.makeSocket(isV4: endpoint.address.isV4)
      try SystemError.checkNegated(
        cmesh_listen(
          socket.rawValue, cmesh_address(high: endpoint.address.high, low: endpoint.address.low), endpoint.port,
          backlog), "bind, listen")
      return socket
    } catch {
      throw error.meshError("\(self.name) \(endpoint)", "cannot listen")
    }
  }

  /// A TCP socket inside the namespace: non-blocking, neither bound nor connected.
  package func openStream(isV4: Bool) throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      return try self.makeSocket(isV4: isV4)
    } catch {
      throw error.meshError(self.name, "cannot make a socket")
    }
  }

  /// Many of them for the price of one entry. All or none are made; each is handed to `body`.
  package func openStreams(isV4: Bool, count: Int, _ body: (consuming Descriptor) -> Void) throws(MeshError) {
    guard count > 0 else { return }
    var made = [CInt](repeating: -1, count: count)
    let result = cmesh_netns_sockets(
      self.withDescriptor { $0 }, isV4 ? AF_INET : AF_INET6, Self.nonBlockingStream, CInt(IPPROTO_TCP), &made, count)
    guard result >= 0 else {
      throw SystemError(-result, "setns, socket").meshError(self.name, "cannot make \(count) sockets")
    }
    for rawValue in made { body(Descriptor(owning: rawValue)) }
  }

  private func makeSocket(isV4: Bool) throws(SystemError) -> Descriptor {
    let result = self.withDescriptor {
      cmesh_netns_socket($0, isV4 ? AF_INET : AF_INET6, Self.nonBlockingStream, CInt(IPPROTO_TCP))
    }
    return Descriptor(owning: try SystemError.checkNegated(result, "setns, socket"))
  }

  private static var nonBlockingStream: CInt { CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) }

  /// The cookie of the namespace that a socket belongs to.
  package static func cookie(ofSocket socket: CInt) throws(MeshError) -> UInt64 {
    var cookie: UInt64 = 0
    let result = cmesh_socket_netns_cookie(socket, &cookie)
    guard result >= 0 else {
      throw SystemError(-result, "getsockopt SO_NETNS_COOKIE").meshError(
        "descriptor \(socket)", "has no network namespace", next: "Linux 5.14 is the least")
    }
    return cookie
  }
}
