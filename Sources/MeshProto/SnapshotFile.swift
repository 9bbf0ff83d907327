import FoundationEssentials
package import MeshBase
package import MeshSnapshot
import SwiftProtobuf

/// The agent's last good snapshot as it stands on disk: what a node knows without a control plane.
///
/// `SealedBytes` around `martlet.disk.v1.Snapshot`.
package struct SnapshotFile: Sendable, Equatable {
  private static let form = SealedBytes(
    object: "snapshot file", magic: "MRTLSNAP", layout: 1, next: "the node waits for its control plane")

  package var node: String
  /// The control plane's epoch and revision that the snapshot was received with.
  package var epoch: UInt64
  package var revision: UInt64
  package var createdUnixSeconds: Int64
  /// Numbers that the node gave to names, by table. What a table means is its owner's business.
  package var identifiers: [String: [String: UInt32]]
  package var snapshot: Snapshot

  package init(
    node: String, epoch: UInt64, revision: UInt64, createdUnixSeconds: Int64,
    identifiers: [String: [String: UInt32]] = [:], snapshot: Snapshot
  ) {
    self.node = node
    self.epoch = epoch
    self.revision = revision
    self.createdUnixSeconds = createdUnixSeconds
    self.identifiers = identifiers
    self.snapshot = snapshot
  }

  package func encoded() -> [UInt8] {
    var message = Martlet_Disk_V1_Snapshot()
    message.node = self.node
    message.epoch = self.epoch
    message.revision = self.revision
    message.createdUnixSeconds = self.createdUnixSeconds
    message.identifiers = self.identifiers.sorted { $0.key < $1.key }.map { name, numbers in
      var table = Martlet_Disk_V1_Table()
      table.name = name
      table.identifiers = numbers.sorted { $0.key < $1.key }.map { name, number in
        var identifier = Martlet_Disk_V1_Identifier()
        identifier.name = name
        identifier.number = number
        return identifier
      }
      return table
    }
    message.entries = self.snapshot.entries.map { entry in
      var record = Martlet_Disk_V1_Record()
      record.typeURL = entry.value.key.kind.typeURL
      record.entry = Data(entry.value.encoded())
      return record
    }
    return Self.form.seal(message.canonicalBytes)
  }

  /// Throws if the file is damaged, of a newer layout, or another node's: then the node waits for its control plane.
  package init(_ bytes: [UInt8], node: String) throws(MeshError) {
    func damaged(_ message: String, _ cause: String? = nil) -> MeshError { Self.form.damaged(message, cause) }
    let message: Martlet_Disk_V1_Snapshot
    do {
      message = try Martlet_Disk_V1_Snapshot(serializedBytes: Array(try Self.form.open(bytes)))
    } catch let error as MeshError {
      throw error
    } catch {
      throw damaged("has a body that is not valid", "\(error)")
    }
    guard message.node == node else {
      throw MeshError(
        .conflict, "snapshot file", "belongs to node \(message.node), this is \(node)",
        next: "remove the file, or start with the right node name")
    }
    self.init(
      node: message.node, epoch: message.epoch, revision: message.revision,
      createdUnixSeconds: message.createdUnixSeconds, snapshot: Snapshot())
    for table in message.identifiers {
      var numbers: [String: UInt32] = [:]
      for identifier in table.identifiers
      where numbers.updateValue(identifier.number, forKey: identifier.name) != nil {
        throw damaged("identifier \(identifier.name) occurs twice")
      }
      guard self.identifiers.updateValue(numbers, forKey: table.name) == nil else {
        throw damaged("table \(table.name) occurs twice")
      }
    }
    for record in message.entries {
      guard let kind = EntryKind(typeURL: record.typeURL) else { throw damaged("holds an entry of an unknown kind") }
      let entry = try VersionedEntry(kind, bytes: [UInt8](record.entry))
      guard self.snapshot[entry.value.key] == nil else { throw damaged("\(entry.value.key) occurs twice") }
      self.snapshot.insert(entry)
    }
  }
}
