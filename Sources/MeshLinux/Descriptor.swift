import CMeshLinux
import Glibc

/// The owner of a file descriptor. Closes it when it goes out of scope, unless it was released.
package struct Descriptor: ~Copyable, Sendable {
  package let rawValue: CInt

  /// Takes ownership.
  package init(owning rawValue: CInt) { self.rawValue = rawValue }

  /// Gives ownership to the caller, for example to NIO.
  package consuming func release() -> CInt {
    let rawValue = self.rawValue
    discard self
    return rawValue
  }

  /// Another descriptor of the same open file, close-on-exec.
  package func duplicate() throws(SystemError) -> Descriptor {
    Descriptor(owning: try SystemError.check(fcntl(self.rawValue, F_DUPFD_CLOEXEC, 0), "fcntl F_DUPFD_CLOEXEC"))
  }

  deinit { close(self.rawValue) }
}

extension Descriptor {
  /// Opens a path, close-on-exec.
  package static func open(_ path: String, _ flags: CInt, mode: UInt32 = 0o600) throws(SystemError) -> Descriptor {
    while true {
      let result = Glibc.open(path, flags | O_CLOEXEC, mode)
      if result >= 0 { return Descriptor(owning: result) }
      if errno != EINTR { throw SystemError(errno, "open") }
    }
  }

  /// Two connected Unix sockets, close-on-exec.
  package static func socketPair(_ type: SocketType = .sequencedPacket) throws(SystemError) -> DescriptorPair {
    var pair: (CInt, CInt) = (-1, -1)
    let result = withUnsafeMutablePointer(to: &pair) {
      $0.withMemoryRebound(to: CInt.self, capacity: 2) {
        Glibc.socketpair(AF_UNIX, type.rawValue | SocketType.closeOnExec, 0, $0)
      }
    }
    guard result == 0 else { throw SystemError(errno, "socketpair") }
    return DescriptorPair(first: Descriptor(owning: pair.0), second: Descriptor(owning: pair.1))
  }

  /// A pipe, close-on-exec: `first` is read, `second` is written.
  package static func pipe() throws(SystemError) -> DescriptorPair {
    var pair: (CInt, CInt) = (-1, -1)
    try SystemError.checkNegated(cmesh_pipe(&pair.0, &pair.1), "pipe2")
    return DescriptorPair(first: Descriptor(owning: pair.0), second: Descriptor(owning: pair.1))
  }
}

package struct DescriptorPair: ~Copyable {
  package let first: Descriptor
  package let second: Descriptor

  package consuming func split() -> (first: CInt, second: CInt) {
    (self.first.release(), self.second.release())
  }
}

package enum SocketType: Sendable {
  case stream
  case sequencedPacket

  var rawValue: CInt {
    switch self {
    case .stream: CInt(SOCK_STREAM.rawValue)
    case .sequencedPacket: CInt(SOCK_SEQPACKET.rawValue)
    }
  }

  static var closeOnExec: CInt { CInt(SOCK_CLOEXEC.rawValue) }
}
