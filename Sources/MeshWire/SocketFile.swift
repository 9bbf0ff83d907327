import Glibc

/// Which file stands at a path: to tell one's own socket from what somebody put into its place.
struct SocketFile: Sendable, Equatable {
  private let device: UInt64
  private let inode: UInt64
  let isSocket: Bool

  /// Nil if there is none, or it cannot be looked at. Links are not followed.
  init?(path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  init?(descriptor: CInt) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  private init(_ status: stat) {
    self.device = UInt64(status.st_dev)
    self.inode = UInt64(status.st_ino)
    self.isSocket = status.st_mode & S_IFMT == S_IFSOCK
  }
}

/// The directory that holds a socket. Who makes a socket again makes the directory too, with the mode that it had.
struct SocketDirectory: Sendable {
  private let path: String
  /// Nil: it was not there yet.
  private var mode: mode_t?

  init(of socket: String) { self.path = socket.lastIndex(of: "/").map { String(socket[..<$0]) } ?? "." }

  /// Notes the mode of a directory that is there, and makes one that is gone. What cannot be made shows when it is used.
  mutating func keep() {
    var status = stat()
    if stat(self.path, &status) == 0 {
      self.mode = status.st_mode & 0o7777
    } else if let mode = self.mode, mkdir(self.path, mode) == 0 {
      // The process's umask took bits away.
      chmod(self.path, mode)
    }
  }
}
