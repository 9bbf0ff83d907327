import CMeshLinux
import Glibc
package import MeshBase

/// Asks one namespace for its TCP listeners, often: one socket for all questions, because entering the namespace each time
/// costs more than the question.
package final class ListenerSurvey: Sendable {
  private let descriptor: Descriptor
  private let name: String

  package init(of namespace: NetworkNamespace) throws(MeshError) {
    let result = namespace.withDescriptor { cmesh_diag_open($0) }
    guard result >= 0 else {
      throw SystemError(-result, "NETLINK_SOCK_DIAG").meshError(namespace.name, "cannot ask for sockets")
    }
    self.descriptor = Descriptor(owning: result)
    self.name = namespace.name
  }

  /// More than `limit` is an error. After an error make a new survey.
  package func listeners(limit: Int = 100_000) throws(MeshError) -> [SocketRecord] {
    var found: UnsafeMutablePointer<cmesh_socket>?
    var count = 0
    let result = cmesh_diag_listeners(self.descriptor.rawValue, max(0, limit), &found, &count)
    defer { cmesh_free(found) }
    guard result >= 0 else {
      throw SystemError(-result, "SOCK_DIAG_BY_FAMILY").meshError(self.name, "cannot list listeners")
    }
    return UnsafeBufferPointer(start: found, count: count).map(SocketRecord.init)
  }
}

extension Descriptor {
  /// A socket that accepts connections. One that somebody ended (SOCK_DESTROY) does not any more.
  package var isListening: Bool {
    var answer: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    return getsockopt(self.rawValue, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size) == 0 && answer != 0
  }

  /// The kernel's number of a socket, never used twice until the next boot; 0: it is no socket.
  package var socketCookie: UInt64 {
    var cookie: UInt64 = 0
    return cmesh_socket_cookie(self.rawValue, &cookie) == 0 ? cookie : 0
  }
}
