import CMeshLinux
import Glibc
package import MeshBase

/// A TCP connection that is being made. Closed with the object.
package final class Dial: Sendable {
  private let socket: Descriptor

  package enum State: Sendable, Equatable {
    case underWay
    case connected
    /// The errno.
    case failed(CInt)
  }

  /// - Parameter socket: non-blocking, not connected, of the address's family.
  package init(_ socket: consuming Descriptor) { self.socket = socket }

  /// For poll(2): writable once it is decided.
  package var rawValue: CInt { self.socket.rawValue }

  /// Takes a port at an address of its namespace, so that it has its name before it calls.
  package func bind(to address: IPAddress) throws(MeshError) -> SocketEndpoint {
    do throws(SystemError) {
      try SystemError.checkNegated(
        cmesh_bind(self.socket.rawValue, cmesh_address(high: address.high, low: address.low), 0), "bind")
      let port = try SystemError.checkNegated(cmesh_bound_port(self.socket.rawValue), "getsockname")
      return SocketEndpoint(address, UInt16(truncatingIfNeeded: port))
    } catch {
      throw error.meshError("\(address)", "cannot be called from")
    }
  }

  package func begin(to target: SocketEndpoint) -> State {
    let address = cmesh_address(high: target.address.high, low: target.address.low)
    switch cmesh_connect(self.socket.rawValue, address, target.port) {
    case 0: return .connected
    case -EINPROGRESS: return .underWay
    case let error: return .failed(-error)
    }
  }

  /// After poll(2) said that it is decided.
  package func outcome() -> State {
    switch cmesh_socket_error(self.socket.rawValue) {
    case 0: .connected
    case let error: .failed(abs(error))
    }
  }
}

extension SystemError {
  /// `ECONNREFUSED`; the number of one without a name.
  package static func name(ofErrno number: CInt) -> String {
    cmesh_errno_name(number).map { String(cString: $0) } ?? "errno \(number)"
  }
}

/// Waits for descriptors of which each is asked for one thing.
package struct DescriptorWait: Sendable {
  private var entries: [pollfd] = []

  package init() {}

  package mutating func addReading(_ descriptor: CInt) {
    self.entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
  }

  package mutating func addWriting(_ descriptor: CInt) {
    self.entries.append(pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0))
  }

  /// - Parameter timeout: nil: for ever. Rounded up to milliseconds.
  /// - Returns: for each, in the order of their addition, whether it is ready or failed.
  package mutating func wait(atMost timeout: Duration?) -> [Bool] {
    var milliseconds: CInt = -1
    if let timeout {
      let (seconds, attoseconds) = timeout.components
      let whole = max(0, min(seconds, 1_000_000)) * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
      milliseconds = CInt(clamping: max(0, whole))
    }
    // An interrupted wait is a short one.
    let count = poll(&self.entries, nfds_t(self.entries.count), milliseconds)
    return self.entries.map { count > 0 && $0.revents != 0 }
  }
}
