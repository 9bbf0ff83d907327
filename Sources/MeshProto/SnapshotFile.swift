import FoundationEssentials
package import MeshBase
package import MeshSnapshot
import SwiftProtobuf

/// The agent's last good snapshot as it stands on disk: what a node knows without a control plane.
///
/// Layout: eight bytes of magic, four of layout number, eight of body length (network order), the body
/// (`martlet.disk.v1.Snapshot`), and eight bytes of FNV-1a over all before. Every step of that hash is a bijection, so a
/// change of any one byte is found; it does not defend against somebody who may write the file.
package struct SnapshotFile: Sendable, Equatable {
  package static let magic = Array("MRTLSNAP".utf8)
  package static let layout: UInt32 = 1
  private static let headerSize = 20
  private static let checksumSize = 8

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
    let body = message.canonicalBytes
    var bytes = Self.magic + Self.bigEndian(Self.layout) + Self.bigEndian(UInt64(body.count))
    bytes.reserveCapacity(bytes.count + body.count + Self.checksumSize)
    bytes.append(contentsOf: body)
    bytes.append(contentsOf: Self.bigEndian(ContentVersion(of: bytes).value))
    return bytes
  }

  /// Throws if the file is damaged, of a newer layout, or another node's: then the node waits for its control plane.
  package init(_ bytes: [UInt8], node: String) throws(MeshError) {
    func damaged(_ message: String, _ cause: String? = nil) -> MeshError {
      MeshError(.invalid, "snapshot file", message, cause: cause, next: "the node waits for its control plane")
    }
    guard bytes.starts(with: Self.magic) else { throw damaged("no snapshot file") }
    guard bytes.count >= Self.headerSize + Self.checksumSize else { throw damaged("truncated") }
    let layout = bytes[8..<12].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard layout == UInt64(Self.layout) else {
      throw MeshError(
        .unsupported, "snapshot file", "has layout \(layout), this version reads \(Self.layout)",
        next: "the node waits for its control plane")
    }
    let length = bytes[12..<20].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length == UInt64(bytes.count - Self.headerSize - Self.checksumSize) else {
      throw damaged("truncated, or with bytes after its end")
    }
    let end = bytes.count - Self.checksumSize
    let checksum = bytes[end...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard ContentVersion(of: bytes[..<end]).value == checksum else { throw damaged("the checksum does not match") }
    let message: Martlet_Disk_V1_Snapshot
    do {
      message = try Martlet_Disk_V1_Snapshot(serializedBytes: Array(bytes[Self.headerSize..<end]))
    } catch {
      throw damaged("the body is not valid", "\(error)")
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

  private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
  }
}
