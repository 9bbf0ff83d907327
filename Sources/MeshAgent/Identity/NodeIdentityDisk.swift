import FoundationEssentials
import MeshBase
import MeshIdentity
import MeshLinux

/// The node's key and certificate on disk, 0600, in `identity` of the state directory: an agent that starts while the control plane
/// is away knows itself.
struct NodeIdentityDisk: Sendable {
  struct Record: Codable, Equatable, Sendable {
    var node: String
    var trustDomain: String
    /// DER.
    var chain: [[UInt8]]
    var roots: [[UInt8]]
    /// The token that let the node in. It is of no use any more.
    var token: String
  }

  private static let limit = 1 << 20

  let directory: String

  private var keyPath: String { "\(self.directory)/node.key" }
  private var recordPath: String { "\(self.directory)/node.json" }

  /// The key that is there, or a new one, which is there when this returns.
  func key() throws(MeshError) -> IdentityKey {
    try DiskFile.makeDirectory(self.directory, mode: 0o700)
    if let bytes = try self.read(self.keyPath) {
      return try IdentityKey(pem: String(decoding: bytes, as: UTF8.self), object: self.keyPath)
    }
    let key = IdentityKey()
    try self.write(Array(key.pem.utf8), self.keyPath)
    return key
  }

  /// Nil: the node did not join yet. What is damaged or another node's throws `invalid`.
  func record(node: String) throws(MeshError) -> Record? {
    guard let bytes = try self.read(self.recordPath) else { return nil }
    guard let record = try? JSONDecoder().decode(Record.self, from: Data(bytes)) else {
      throw MeshError(.invalid, self.recordPath, "is damaged", next: "remove it, and join again with a new token")
    }
    guard record.node == node else {
      throw MeshError(
        .conflict, self.recordPath, "is of node \(record.node)",
        next: "give that name to --node, or remove \(self.directory) and join with a new token")
    }
    return record
  }

  func write(_ record: Record) throws(MeshError) {
    guard let data = try? JSONEncoder().encode(record) else {
      throw MeshError(.internal, self.recordPath, "could not be written")
    }
    try self.write(Array(data), self.recordPath)
  }

  private func read(_ path: String) throws(MeshError) -> [UInt8]? {
    guard let status = try DiskFile.status(path, followLinks: false) else { return nil }
    guard status.owner == 0 || status.owner == DiskFile.effectiveUser, status.mode & 0o077 == 0 else {
      throw MeshError(
        .denied, path, "others may read or write it (owner \(status.owner))",
        next: "remove \(self.directory), and join again with a new token")
    }
    return try DiskFile.read(path, limit: Self.limit)
  }

  private func write(_ bytes: [UInt8], _ path: String) throws(MeshError) {
    DiskFile.remove(path + ".new")
    try DiskFile.write(bytes, to: path + ".new", mode: 0o600)
    try DiskFile.rename(path + ".new", to: path)
  }
}
