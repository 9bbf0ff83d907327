import Glibc

/// Tells systemd that the service is ready: `READY=1` to the socket named by `NOTIFY_SOCKET` (sd_notify(3)).
package enum ReadyNotice {
  /// `socketPath` is the variable's value; `@` begins an abstract name. False if it could not be sent.
  @discardableResult
  package static func send(_ state: String = "READY=1", to socketPath: String) -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(socketPath.utf8)
    guard let first = name.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@"),
      name.count < MemoryLayout.size(ofValue: address.sun_path)
    else { return false }
    if first == UInt8(ascii: "@") { name[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    // The length ends with the name: zeros after an abstract name would belong to it.
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let bytes = Array(state.utf8)
    let sent = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
        bytes.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, 0, peer, length) }
      }
    }
    return sent == bytes.count
  }
}
