import Glibc
import MeshLinux

/// What goes over a connection that was made.
extension Dial {
  enum Transfer: Sendable, Equatable {
    case bytes(Int)
    /// Nothing now.
    case none
    /// The other side sends no more.
    case ended
    /// The errno.
    case failed(CInt)
  }

  func send(_ bytes: some Sequence<UInt8>) -> Transfer {
    let bytes = Array(bytes)
    guard !bytes.isEmpty else { return .none }
    let count = Glibc.send(
      self.rawValue, bytes, bytes.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
    return count >= 0 ? .bytes(count) : Self.failure(errno)
  }

  /// - Parameter buffer: filled from its beginning.
  func receive(into buffer: inout [UInt8]) -> Transfer {
    let count = recv(self.rawValue, &buffer, buffer.count, CInt(MSG_DONTWAIT))
    if count == 0 { return .ended }
    return count > 0 ? .bytes(count) : Self.failure(errno)
  }

  private static func failure(_ number: CInt) -> Transfer {
    number == EAGAIN || number == EWOULDBLOCK || number == EINTR ? .none : .failed(number)
  }
}
