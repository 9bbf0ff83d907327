import MeshBase
import MeshLinux
import MeshProto

/// The last good snapshot on disk: written beside and renamed, so that a reader sees the old or the new one and never
/// half of one. A disk that is full or read-only leaves the old file and the data plane alone (F-10): the caller reports.
struct SnapshotDisk: Sendable {
  let path: String

  /// Larger files are no snapshots of ours.
  static let limit = 1 << 30

  func write(_ bytes: [UInt8]) throws(MeshError) {
    let temporary = self.path + ".new"
    do throws(MeshError) {
      try DiskFile.write(bytes, to: temporary, mode: 0o600)
      try DiskFile.rename(temporary, to: self.path)
    } catch {
      DiskFile.remove(temporary)
      throw error
    }
  }

  /// Nil if there is no file. A file of another owner, or that others may write, is an error: it could have been put there.
  func read() throws(MeshError) -> [UInt8]? {
    guard let status = try DiskFile.status(self.path) else { return nil }
    guard status.owner == 0 || status.owner == DiskFile.effectiveUser else {
      throw MeshError(.denied, self.path, "belongs to user \(status.owner)", next: "remove it; it will be written anew")
    }
    guard status.mode & 0o022 == 0 else {
      throw MeshError(
        .denied, self.path, "can be written by others", next: "remove it; it will be written anew")
    }
    return try DiskFile.read(self.path, limit: Self.limit)
  }
}
