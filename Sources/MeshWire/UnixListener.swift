import Glibc
package import MeshBase
import Synchronization

/// A listening Unix stream socket that belongs to one process: mode 0600, and a lock file beside it, so that a second
/// control plane does not take the first one's place. The lock and the path go with the value.
package final class UnixListener: Sendable {
  private let path: String
  private let lock: CInt
  private let lockFile: SocketFile?
  private let file: SocketFile?
  /// -1: given away.
  private let socket: Mutex<CInt>

  /// Replaces a socket that a dead process left, or this process's `previous` one. Throws `conflict` while another process holds the lock. (Not an
  /// initializer that fails: Swift 6.3.1 cannot optimise one of a class that holds a `Mutex`.)
  package static func open(
    path: String, backlog: CInt = 128, after previous: UnixListener? = nil
  ) throws(MeshError) -> UnixListener {
    var address = sockaddr_un()
    let temporary = "\(path).new"
    // One byte for the terminating zero.
    guard temporary.utf8.count < MemoryLayout.size(ofValue: address.sun_path), !path.utf8.contains(0) else {
      throw MeshError(.invalid, path, "too long for a Unix socket", next: "choose a path of less than 100 bytes")
    }
    // A lock that still stands is shared: taken anew it would be refused, because this process has it.
    let lock =
      previous?.sharedLock(path) ?? Glibc.open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
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
    let file = SocketFile(path: temporary)
    // Under another name first: whoever finds the socket finds it with its mode, and listening.
    guard bound == 0, chmod(temporary, 0o600) == 0, listen(socket, backlog) == 0, rename(temporary, path) == 0 else {
      let error = Self.failure(path, "cannot be bound")
      close(socket)
      close(lock)
      throw error
    }
    return UnixListener(path: path, lock: lock, socket: socket, file: file)
  }

  private init(path: String, lock: CInt, socket: CInt, file: SocketFile?) {
    self.path = path
    self.lock = lock
    self.lockFile = SocketFile(descriptor: lock)
    self.file = file
    self.socket = Mutex(socket)
  }

  private func sharedLock(_ path: String) -> CInt? {
    guard self.lockFile != nil, SocketFile(path: "\(path).lock") == self.lockFile else { return nil }
    let lock = fcntl(self.lock, F_DUPFD_CLOEXEC, 0)
    return lock >= 0 ? lock : nil
  }

  /// Gives the descriptor away; whoever takes it closes it.
  package func takeSocket() -> CInt? {
    self.socket.withLock { socket in
      defer { socket = -1 }
      return socket >= 0 ? socket : nil
    }
  }

  /// Whether socket and lock still stand at their paths: others find it, and nobody takes its place.
  package var isWhole: Bool {
    self.file != nil && SocketFile(path: self.path) == self.file
      && SocketFile(path: "\(self.path).lock") == self.lockFile
  }

  deinit {
    let socket = self.socket.withLock { $0 }
    if socket >= 0 { close(socket) }
    // What somebody else put there is theirs.
    if self.file != nil, SocketFile(path: self.path) == self.file { unlink(self.path) }
    close(self.lock)
  }

  private static func failure(_ object: String, _ message: String) -> MeshError {
    let code: MeshError.Code = errno == EACCES || errno == EPERM ? .denied : .unavailable
    return MeshError(code, object, message, cause: String(cString: strerror(errno)))
  }
}
