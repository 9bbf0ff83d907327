import Glibc
package import MeshBase
import MeshLinux
package import MeshStore

/// What the control plane keeps between starts: its epoch, which service has which address, and the last good state of
/// every resource file.
package struct StateDirectory: Sendable {
  private static let epochLimit = 4096

  package let path: String

  /// Makes the directory, and those above it that are missing, 0700. Throws if it cannot be made or others may write it.
  package init(path: String) throws(MeshError) {
    let absolute = path.hasPrefix("/")
    var made = ""
    for part in path.split(separator: "/") {
      made += made.isEmpty && !absolute ? String(part) : "/" + part
      guard mkdir(made, 0o700) != 0, errno != EEXIST else { continue }
      // A read-only file system says so before it looks whether the directory is there.
      let code = errno
      if Self.status(made) == nil {
        errno = code
        throw Self.failure(path, "the state directory cannot be made (at \(made))")
      }
    }
    guard let status = Self.status(path) else { throw Self.failure(path, "the state directory cannot be used") }
    guard status.mode & S_IFMT == S_IFDIR else {
      throw MeshError(.invalid, path, "is no directory", next: "give --state-dir a directory, or remove the file")
    }
    guard status.owner == 0 || status.owner == geteuid(), status.mode & 0o022 == 0 else {
      throw MeshError(
        .denied, path,
        "others may write the state directory (owner \(status.owner), "
          + "mode \(String(status.mode & 0o7777, radix: 8)))",
        next: "chown it to the control plane's user and chmod 700, or give --state-dir another")
    }
    guard access(path, R_OK | W_OK | X_OK) == 0 else { throw Self.failure(path, "the state directory cannot be used") }
    self.path = path
  }

  /// Nil: errno says why. Not by stat(2) itself, which is Foundation's as soon as that is linked.
  private static func status(_ path: String) -> DiskFile.Status? {
    do throws(MeshError) {
      guard let status = try DiskFile.status(path) else {
        errno = ENOENT
        return nil
      }
      return status
    } catch {
      return nil
    }
  }

  /// Roots, intermediates and their keys. 0700, like this directory.
  package func authority() throws(MeshError) -> AuthorityDirectory {
    AuthorityDirectory(path: try StateDirectory(path: "\(self.path)/ca").path)
  }

  /// Tokens that were given out.
  var tokens: StateFile { StateFile(path: "\(self.path)/tokens") }
  /// Nodes that joined, and their keys' hashes.
  var nodes: StateFile { StateFile(path: "\(self.path)/nodes") }

  /// The epoch of this start: larger than every earlier one, and than that of a state directory that was lost, unless
  /// the clock went back as well.
  package func nextEpoch(now: Int64) throws(MeshError) -> UInt64 {
    let file = StateFile(path: "\(self.path)/epoch")
    var last: UInt64 = 0
    if let bytes = try file.read(limit: Self.epochLimit) {
      let text = String(decoding: bytes, as: UTF8.self)
      guard let epoch = UInt64(strictDecimal: text.filter { $0 != "\n" }), epoch < .max else {
        throw MeshError(
          .invalid, file.path, "is not a number",
          next: "write a number larger than every epoch that agents have seen, or remove the file")
      }
      last = epoch
    }
    let next = max(last + 1, UInt64(clamping: now))
    try file.write(Array("\(next)\n".utf8))
    return next
  }

  /// Which service has which address.
  package var vips: VIPStateFile { VIPStateFile(path: "\(self.path)/vips") }

  package var lastGood: LastGoodDirectory { LastGoodDirectory(path: "\(self.path)/last-good") }

  private static func failure(_ path: String, _ message: String) -> MeshError {
    var error = StateFile.failure(path, message)
    error.next = "make it yourself, owned by the control plane's user, or give --state-dir a path it may write to"
    return error
  }
}
