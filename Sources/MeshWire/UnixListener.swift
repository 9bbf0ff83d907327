import Glibc
package import MeshBase

/// A listening Unix stream socket that belongs to one process: mode 0600, and a lock file beside it, so that a second
/// control plane does not take the first one's place. The lock and the path go with the value.
package struct UnixListener: ~Copyable {
  private let path: String
  private let lock: CInt
  private var socket: CInt

  /// Replaces a socket that a dead process left. Throws `conflict` while another process holds the lock.
  package init(path: String, backlog: CInt = 128) throws(MeshError) {
    var address = sockaddr_un()
    let temporary = "\(path).new"
    // One byte for the terminating zero.
    guard temporary.utf8.count < MemoryLayout.size(ofValue: address.sun_path), !path.utf8.contains(0) else {
      throw MeshError(.invalid, path, "too long for a Unix socket", next: "choose a path of less than 100 bytes")
    }
    let lock = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard lock >= 0 else { throw Self.failure("\(path).lock", "cannot be opened") }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let cause = String(cString: strerror(errno))
      close(lock)
      throw MeshError(.conflict, path, "is served by another process", cause: cause, next: "stop it first")
    }
    let socket = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
    guard socket >= 0 else {
      let error = Self.failure(path, "no socket")
      close(lock)
      throw error
    }
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: temporary.utf8) }
    unlink(temporary)
    let bound = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    // Under another name first: whoever finds the socket finds it with its mode, and listening.
    guard bound == 0, chmod(temporary, 0o600) == 0, listen(socket, backlog) == 0, rename(temporary, path) == 0 else {
      let error = Self.failure(path, "cannot be bound")
      close(socket)
      close(lock)
      throw error
    }
    self.path = path
    self.lock = lock
    self.socket = socket
  }

  /// Gives the descriptor away; whoever takes it closes it.
  package mutating func takeSocket() -> CInt? {
    guard self.socket >= 0 else { return nil }
    defer { self.socket = -1 }
    return self.socket
  }

  deinit {
    if self.socket >= 0 { close(self.socket) }
    unlink(self.path)
    close(self.lock)
  }

  private static func failure(_ object: String, _ message: String) -> MeshError {
    let code: MeshError.Code = errno == EACCES || errno == EPERM ? .denied : .unavailable
    return MeshError(code, object, message, cause: String(cString: strerror(errno)))
  }
}
