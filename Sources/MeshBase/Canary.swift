/// The address that the agent dials from inside every enrolled namespace, to see that what is called there is steered. It is
/// in the tables of every node, and nobody's: 192.0.0.8 is the dummy address of RFC 7600 and never a destination.
package enum Canary {
  package static let address = IPAddress(v4: 0xC000_0008)
  /// The connect hook answers by itself: connect fails with `pulseError`, and no packet is sent.
  package static let pulsePort: UInt16 = 15002
  /// EDOTDOT, `MESH_PULSE_ERRNO` of `mesh_abi.h`.
  package static let pulseError: Int32 = 73
  /// Relayed to the node proxy, which answers by itself with a ``CanaryAnswer``.
  package static let answerPort: UInt16 = 15001
}

/// What the node proxy says to a canary before it closes: which namespace and which socket the kernel told it of. Both
/// numbers are big-endian on the wire.
package struct CanaryAnswer: Hashable, Sendable {
  package var namespaceCookie: UInt64
  /// Of the socket that dialled.
  package var socketCookie: UInt64

  /// Bytes.
  package static let size = 16

  package init(namespaceCookie: UInt64, socketCookie: UInt64) {
    self.namespaceCookie = namespaceCookie
    self.socketCookie = socketCookie
  }

  /// Nil: that is no answer of a node proxy.
  package init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    func number(_ bytes: some Sequence<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
    self.init(namespaceCookie: number(bytes.prefix(8)), socketCookie: number(bytes.dropFirst(8)))
  }

  package var bytes: [UInt8] {
    [self.namespaceCookie, self.socketCookie].flatMap { number in
      stride(from: UInt64(56), through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) }
    }
  }
}
