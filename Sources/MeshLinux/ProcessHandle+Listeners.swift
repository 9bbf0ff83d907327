import Glibc
import MeshBase

extension ProcessHandle {
  /// Copies every TCP listener on `port` that the process holds, with its family and the cookie of its namespace: how a
  /// restarted agent gets its listeners back from the proxy that runs on. None from a process that has ended.
  package func copyListeners(port: UInt16, _ body: (consuming Descriptor, _ isV4: Bool, _ cookie: UInt64) -> Void) {
    for number in ((try? self.sockets()) ?? [:]).keys.sorted() {
      guard let descriptor = try? self.copyDescriptor(number), let facts = descriptor.listener(port: port) else {
        continue
      }
      body(descriptor, facts.isV4, facts.cookie)
    }
  }
}

extension Descriptor {
  /// Family and namespace; nil if it is no TCP listener on the port.
  package borrowing func listener(port: UInt16) -> (isV4: Bool, cookie: UInt64)? {
    guard let isV4 = Self.listenerFamily(self.rawValue, port: port),
      let cookie = try? NetworkNamespace.cookie(ofSocket: self.rawValue)
    else { return nil }
    return (isV4, cookie)
  }

  private static func listenerFamily(_ descriptor: CInt, port: UInt16) -> Bool? {
    var listening: CInt = 0
    var length = socklen_t(MemoryLayout<CInt>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0, listening == 1 else {
      return nil
    }
    var address = sockaddr_in6()
    length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    // The port stands at the same place for both families.
    guard result == 0, UInt16(bigEndian: address.sin6_port) == port else { return nil }
    switch CInt(address.sin6_family) {
    case AF_INET: return true
    case AF_INET6: return false
    default: return nil
    }
  }
}
