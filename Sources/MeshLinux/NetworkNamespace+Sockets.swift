import CMeshLinux
import Glibc
package import MeshBase

extension NetworkNamespace {
  /// A TCP listener inside the namespace: non-blocking, SO_REUSEADDR, not SO_REUSEPORT (no one may share the port), an
  /// IPv6 one for IPv6 only.
  package func openListener(_ endpoint: SocketEndpoint, backlog: Int32 = 1024) throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      let socket = try self.makeSocket(isV4: endpoint.address.isV4, Self.nonBlockingStream)
      try SystemError.checkNegated(
        cmesh_listen(
          socket.rawValue, cmesh_address(high: endpoint.address.high, low: endpoint.address.low), endpoint.port,
          backlog), "bind, listen")
      return socket
    } catch {
      throw error.meshError("\(self.name) \(endpoint)", "cannot listen")
    }
  }

  /// A UDP socket inside the namespace, bound: non-blocking, without SO_REUSEADDR (no one may share the port), an IPv6 one
  /// for IPv6 only.
  package func openDatagrams(_ endpoint: SocketEndpoint) throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      let socket = try self.makeSocket(isV4: endpoint.address.isV4, Self.nonBlockingDatagram)
      try SystemError.checkNegated(
        cmesh_bind(
          socket.rawValue, cmesh_address(high: endpoint.address.high, low: endpoint.address.low), endpoint.port),
        "bind")
      return socket
    } catch {
      throw error.meshError("\(self.name) \(endpoint)", "cannot take datagrams")
    }
  }

  /// The address that packets to `target` leave with. Nil: no route leads there. Nothing is sent.
  package func source(toward target: SocketEndpoint) -> IPAddress? {
    guard let socket = try? self.makeSocket(isV4: target.address.isV4, Self.nonBlockingDatagram),
      cmesh_connect(
        socket.rawValue, cmesh_address(high: target.address.high, low: target.address.low), target.port) == 0
    else { return nil }
    return Descriptor.name(of: socket.rawValue, getsockname)?.endpoint.address
  }

  /// A TCP socket inside the namespace: non-blocking, neither bound nor connected.
  package func openStream(isV4: Bool) throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      return try self.makeSocket(isV4: isV4, Self.nonBlockingStream)
    } catch {
      throw error.meshError(self.name, "cannot make a socket")
    }
  }

  /// Many of them for the price of one entry. All or none are made; each is handed to `body`.
  package func openStreams(isV4: Bool, count: Int, _ body: (consuming Descriptor) -> Void) throws(MeshError) {
    try self.openSockets(isV4: isV4, Self.nonBlockingStream, count: count, body)
  }

  /// The same of UDP.
  package func openDatagrams(
    isV4: Bool, count: Int, _ body: (consuming Descriptor) -> Void
  ) throws(MeshError) {
    try self.openSockets(isV4: isV4, Self.nonBlockingDatagram, count: count, body)
  }

  private func openSockets(
    isV4: Bool, _ type: CInt, count: Int, _ body: (consuming Descriptor) -> Void
  ) throws(MeshError) {
    guard count > 0 else { return }
    var made = [CInt](repeating: -1, count: count)
    let result = cmesh_netns_sockets(
      self.withDescriptor { $0 }, isV4 ? AF_INET : AF_INET6, type, 0, &made, count)
    guard result >= 0 else {
      throw SystemError(-result, "setns, socket").meshError(self.name, "cannot make \(count) sockets")
    }
    for rawValue in made { body(Descriptor(owning: rawValue)) }
  }

  private func makeSocket(isV4: Bool, _ type: CInt) throws(SystemError) -> Descriptor {
    let result = self.withDescriptor { cmesh_netns_socket($0, isV4 ? AF_INET : AF_INET6, type, 0) }
    return Descriptor(owning: try SystemError.checkNegated(result, "setns, socket"))
  }

  /// TCP: the default of its family (socket(2)).
  private static var nonBlockingStream: CInt { CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) }
  /// UDP.
  private static var nonBlockingDatagram: CInt { CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) }

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
