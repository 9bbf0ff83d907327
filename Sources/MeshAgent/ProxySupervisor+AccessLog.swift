import Glibc
import Logging
import MeshBase
import MeshLinux

extension ProxySupervisor {
  /// Makes the file for the proxy's account, which cannot make one where logs are. One that is there stays as it is: whoever rotates
  /// says whose the next one is.
  func prepareAccessLog() {
    guard let path = self.configuration.accessLog else { return }
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard file >= 0 else {
      if errno != EEXIST { self.warn(path, errno) }
      return
    }
    defer { close(file) }
    guard fchown(file, self.user.uid, self.user.gid) == 0 else { return self.warn(path, errno) }
  }

  private func warn(_ path: String, _ error: CInt) {
    self.logger.warning(
      "the access log cannot be made for the proxy",
      metadata: [LogKey.path: "\(path)", LogKey.error: "\(String(cString: strerror(error)))"])
  }
}
