import Glibc
package import MeshBase

/// A socket that others reach at an address of its own: a TCP listener, or a UDP socket that is bound and not connected.
package struct ServingSocket: Hashable, Sendable {
  package var isDatagram: Bool
  package var local: SocketEndpoint
  /// Of its family, whatever its address is.
  package var isV4: Bool
  /// Of its network namespace.
  package var cookie: UInt64
}

extension ProcessHandle {
  /// Copies every serving socket on one of the ports that the process holds: how a restarted agent gets its sockets back
  /// from the proxy that runs on. None from a process that has ended.
  package func copySockets(ports: Set<UInt16>, _ body: (consuming Descriptor, ServingSocket) -> Void) {
    for number in ((try? self.sockets()) ?? [:]).keys.sorted() {
      guard let descriptor = try? self.copyDescriptor(number), let facts = descriptor.serving(ports: ports) else {
        continue
      }
      body(descriptor, facts)
    }
  }
}

extension Descriptor {
  /// What is served here; nil if it is no serving socket on one of the ports.
  package borrowing func serving(ports: Set<UInt16>) -> ServingSocket? {
    let descriptor = self.rawValue
    guard let local = Self.name(of: descriptor, getsockname), ports.contains(local.endpoint.port),
      let isDatagram = Self.isServingDatagrams(descriptor),
      let cookie = try? NetworkNamespace.cookie(ofSocket: descriptor)
    else { return nil }
    return ServingSocket(isDatagram: isDatagram, local: local.endpoint, isV4: local.isV4, cookie: cookie)
  }

  /// False: it listens. Nil: neither.
  private static func isServingDatagrams(_ descriptor: CInt) -> Bool? {
    guard let type = self.option(descriptor, SO_TYPE) else { return nil }
    if type == CInt(SOCK_DGRAM.rawValue) { return self.name(of: descriptor, getpeername) == nil ? true : nil }
    return self.option(descriptor, SO_ACCEPTCONN) == 1 ? false : nil
  }

  private static func option(_ descriptor: CInt, _ name: CInt) -> CInt? {
    var value: CInt = 0
    var length = socklen_t(MemoryLayout<CInt>.size)
    return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
  }

  static func name(
    of descriptor: CInt, _ ask: (CInt, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> CInt
  ) -> (endpoint: SocketEndpoint, isV4: Bool)? {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &length) }
    }
    guard result == 0 else { return nil }
    // The port stands at the same place for both families.
    let port = UInt16(bigEndian: address.sin6_port)
    switch CInt(address.sin6_family) {
    case AF_INET:
      // sin_addr stands where IPv6 has its flow label.
      return (SocketEndpoint(IPAddress(v4: UInt32(bigEndian: address.sin6_flowinfo)), port), true)
    case AF_INET6:
      return withUnsafeBytes(of: &address.sin6_addr) { bytes in
        let high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        return (SocketEndpoint(IPAddress(high: high, low: low), port), false)
      }
    default: return nil
    }
  }
}
