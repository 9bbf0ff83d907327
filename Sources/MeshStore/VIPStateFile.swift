import Glibc
package import MeshBase
package import MeshCompiler

/// Service addresses on disk, so that a restart gives every service the one that it had. Replaced as a whole: written
/// beside, flushed, renamed.
package struct VIPStateFile: Sendable {
  package let path: String

  package init(path: String) { self.path = path }

  /// A new allocator if there is no file yet.
  package func load() throws(MeshError) -> VIPAllocator {
    switch ResourceFileReader.read(self.path, limit: 64 << 20) {
    case .content(let bytes, _):
      do throws(MeshError) {
        return try VIPAllocator(importing: String(decoding: bytes, as: UTF8.self))
      } catch {
        throw MeshError(
          .invalid, self.path, "the state of service addresses is damaged", cause: error.message, next: error.next)
      }
    case .changing:
      guard access(self.path, F_OK) != 0, errno == ENOENT else {
        throw MeshError(.conflict, self.path, "the file changes while it is read", next: "stop the other control plane")
      }
      return VIPAllocator()
    case .failure(let message, let next):
      throw MeshError(.denied, self.path, message, next: next)
    }
  }

  package func save(_ vips: VIPAllocator) throws(MeshError) {
    let temporary = self.path + ".new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw self.failure("cannot be written") }
    var bytes = Array(vips.exported().utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        let error = self.failure("cannot be written")
        close(descriptor)
        throw error
      }
      bytes = bytes.dropFirst(count)
    }
    let isFlushed = fsync(descriptor) == 0
    let isClosed = close(descriptor) == 0
    guard isFlushed, isClosed, rename(temporary, self.path) == 0 else { throw self.failure("cannot be written") }
    let directory = open(
      String(self.path.prefix(upTo: self.path.lastIndex(of: "/") ?? self.path.startIndex)) + "/", O_RDONLY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  private func failure(_ message: String) -> MeshError {
    MeshError(
      .unavailable, self.path, message, cause: DirectoryListing.reason(errno),
      next: "check the state directory's permissions and space")
  }
}
