import Glibc
import MeshBase
import MeshLinux

/// After the agent's own restart its listeners live on in the proxy that runs on. New ones cannot be opened while the old
/// are there, and must not: connections wait in them. So they are copied back out of the proxy (pidfd_getfd(2)).
enum ListenerAdoption {
  struct Key: Hashable, Sendable {
    var cookie: UInt64
    var isV4: Bool
  }

  /// The relay listeners that the process holds, by namespace and family.
  static func listeners(in process: ProcessHandle) -> [Key: RelayListener] {
    var found: [Key: RelayListener] = [:]
    for number in self.descriptors(of: process.pid) {
      guard let descriptor = try? process.copyDescriptor(number) else { continue }
      guard let isV4 = self.isRelayListener(descriptor.rawValue),
        let cookie = try? NetworkNamespace.cookie(ofSocket: descriptor.rawValue)
      else { continue }
      found[Key(cookie: cookie, isV4: isV4)] = RelayListener(descriptor, isV4: isV4)
    }
    return found
  }

  /// Numbers of the process's sockets, from /proc.
  private static func descriptors(of pid: Int32) -> [Int32] {
    let path = "/proc/\(pid)/fd"
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var numbers: [Int32] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard let number = Int32(strictDecimal: name) else { continue }
      var target = [UInt8](repeating: 0, count: 64)
      let length = target.withUnsafeMutableBytes { readlink("\(path)/\(number)", $0.baseAddress, $0.count) }
      if length > 0, target[..<length].starts(with: Array("socket:".utf8)) { numbers.append(number) }
    }
    return numbers
  }

  /// The family if it is a TCP listener on the relay port, nil otherwise.
  private static func isRelayListener(_ descriptor: CInt) -> Bool? {
    var listening: CInt = 0
    var length = socklen_t(MemoryLayout<CInt>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0, listening == 1 else { return nil }
    var address = sockaddr_in6()
    length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    // The port stands at the same place for both families.
    guard result == 0, UInt16(bigEndian: address.sin6_port) == MeshPort.outbound else { return nil }
    switch CInt(address.sin6_family) {
    case AF_INET: return true
    case AF_INET6: return false
    default: return nil
    }
  }
}
