import CMeshLinux
import Glibc
import MeshBase

/// Who is at the other end of a Unix socket, as of its connect (SO_PEERCRED).
package struct PeerCredentials: Hashable, Sendable {
  package var process: Int32
  package var user: UInt32
  package var group: UInt32

  package init(process: Int32, user: UInt32, group: UInt32) {
    self.process = process
    self.user = user
    self.group = group
  }
}

/// The few calls on Unix sockets that NIO does not offer: SEQPACKET, exact mode and owner, peer credentials. Descriptors
/// returned are the caller's.
enum UnixSocket {
  /// A listening, non-blocking socket at `path`, owned by `user` and `group`, mode 0600. It is made under another name
  /// and renamed, so that a stale socket is replaced and nobody can connect before owner and mode are set.
  static func listen(path: String, type: CInt, user: UInt32, group: UInt32) throws(MeshError) -> Listener {
    let temporary = path + ".\(getpid()).new"
    let fd = try self.make(type, blocking: false, path)
    unlink(temporary)
    func fail(_ call: String) -> MeshError {
      let error = Self.error(path, call)
      close(fd)
      unlink(temporary)
      return error
    }
    guard Self.withAddress(temporary, { bind(fd, $0, $1) }) == 0 else { throw fail("bind") }
    guard chmod(temporary, 0o600) == 0 else { throw fail("chmod") }
    guard chown(temporary, user, group) == 0 else { throw fail("chown") }
    guard Glibc.listen(fd, 16) == 0 else { throw fail("listen") }
    let identity = self.identity(of: temporary)
    guard rename(temporary, path) == 0 else { throw fail("rename") }
    return Listener(descriptor: fd, identity: identity)
  }

  struct Listener {
    /// The caller's.
    var descriptor: CInt
    var identity: Identity?
  }

  /// Which file a socket is. The inode of a file system in memory is not soon used again.
  struct Identity: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// Nil if nothing is there.
  static func identity(of path: String) -> Identity? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  /// A connected socket, blocking or not.
  static func connect(path: String, type: CInt, blocking: Bool) throws(MeshError) -> CInt {
    let fd = try self.make(type, blocking: true, path)
    guard Self.withAddress(path, { Glibc.connect(fd, $0, $1) }) == 0 else {
      let error = Self.error(path, "connect")
      close(fd)
      throw error
    }
    if !blocking { _ = fcntl(fd, F_SETFL, O_NONBLOCK) }
    return fd
  }

  static func peer(of fd: CInt) -> PeerCredentials? {
    var peer = cmesh_peer()
    guard cmesh_peer_credentials(fd, &peer) == 0 else { return nil }
    return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
  }

  private static func make(_ type: CInt, blocking: Bool, _ path: String) throws(MeshError) -> CInt {
    guard path.utf8.count < 90 else {
      throw MeshError(.invalid, path, "the path of a Unix socket is too long", next: "choose a shorter run directory")
    }
    let flags = CInt(SOCK_CLOEXEC.rawValue) | (blocking ? 0 : CInt(SOCK_NONBLOCK.rawValue))
    let fd = socket(AF_UNIX, type | flags, 0)
    guard fd >= 0 else { throw self.error(path, "socket") }
    return fd
  }

  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  private static func error(_ path: String, _ call: String) -> MeshError {
    let code = errno
    return MeshError(
      code == EACCES || code == EPERM ? .denied : .unavailable, path, "\(call) failed",
      cause: String(cString: strerror(code)))
  }
}
