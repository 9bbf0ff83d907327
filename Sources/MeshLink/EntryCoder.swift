package import MeshBase
package import MeshSnapshot

/// How an entry becomes bytes and comes back: the canonical encoding of the snapshot, given from outside so that the
/// framing can be tested with any.
package protocol EntryCoder: Sendable {
  func encode(_ entry: Entry) throws(MeshError) -> [UInt8]
  /// The bytes may be anything.
  func decode(_ kind: EntryKind, _ bytes: [UInt8]) throws(MeshError) -> Entry
}
