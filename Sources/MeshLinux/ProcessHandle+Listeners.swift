import Glibc
import MeshBase

extension ProcessHandle {
  /// Copies every TCP listener on `port` that the process holds, with its family and the cookie of its namespace: how a
  /// restarted agent gets its listeners back from the proxy that runs on.
  package func copyListeners(port: UInt16, _ body: (consuming Descriptor, _ isV4: Bool, _ cookie: UInt64) -> Void) {
    for number in self.sockets {
      guard let descriptor = try? self.copyDescriptor(number),
        let isV4 = Self.listenerFamily(descriptor.rawValue, port: port),
        let cookie = try? NetworkNamespace.cookie(ofSocket: descriptor.rawValue)
      else { continue }
      body(descriptor, isV4, cookie)
    }
  }

  /// Numbers of its sockets, from /proc.
  private var sockets: [Int32] {
    let path = "/proc/\(self.pid)/fd"
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var numbers: [Int32] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard let number = Int32(strictDecimal: name) else { continue }
      let isSocket = withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { target in
        guard let base = target.baseAddress else { return false }
        let length = readlink("\(path)/\(number)", base, target.count)
        return length > 0 && target[..<length].starts(with: Array("socket:".utf8))
      }
      if isSocket { numbers.append(number) }
    }
    return numbers
  }

  /// True for IPv4, nil if it is no TCP listener on the port.
  private static func listenerFamily(_ descriptor: CInt, port: UInt16) -> Bool? {
    var listening: CInt = 0
    var length = socklen_t(MemoryLayout<CInt>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0, listening == 1 else { return nil }
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
