import Glibc
import MeshBase
import NIOCore

/// Options of both connections of a relay, set on the descriptor itself: one system call each, no futures.
enum SocketTuning {
  /// A peer that vanished is found in 60 s without traffic, and in 30 s with bytes unacknowledged (tcp(7)).
  private static let options: [(level: CInt, name: CInt, value: CInt)] = [
    (CInt(IPPROTO_TCP), TCP_NODELAY, 1),
    (SOL_SOCKET, SO_KEEPALIVE, 1),
    (CInt(IPPROTO_TCP), TCP_KEEPIDLE, 30),
    (CInt(IPPROTO_TCP), TCP_KEEPINTVL, 10),
    (CInt(IPPROTO_TCP), TCP_KEEPCNT, 3),
    (CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, 30_000),
  ]

  /// Best effort: a socket that refuses an option still carries bytes.
  static func apply(to descriptor: CInt) {
    for option in self.options {
      var value = option.value
      setsockopt(descriptor, option.level, option.name, &value, socklen_t(MemoryLayout<CInt>.size))
    }
  }

  /// Closing sends RST from here on, and what waits to be sent is dropped (socket(7), SO_LINGER).
  static func resetOnClose(_ descriptor: CInt) {
    var value = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
  }
}

extension Channel {
  /// Works on the descriptor; nil once the channel is closed. On the event loop only.
  func withDescriptor<Result>(_ body: (CInt) throws -> Result) rethrows -> Result? {
    try? self.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self, body)
  }

  /// Closes with RST.
  func abort() {
    self.withDescriptor { SocketTuning.resetOnClose($0) }
    self.close(promise: nil)
  }
}

extension SocketEndpoint {
  var socketAddress: SocketAddress? {
    var bytes: [UInt8] = []
    if let v4 = self.address.v4 {
      for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: v4 >> UInt32(shift))) }
    } else {
      for word in [self.address.high, self.address.low] {
        for shift in stride(from: 56, through: 0, by: -8) {
          bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
        }
      }
    }
    return try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: Int(self.port))
  }
}
