package import MeshBase
import MeshProto
package import MeshSnapshot

/// The canonical encoding of `MeshProto`, the same as on the control plane's wire and on disk.
package struct CanonicalEntryCoder: EntryCoder {
  package init() {}

  package func encode(_ entry: Entry) throws(MeshError) -> [UInt8] { entry.encoded() }

  package func decode(_ kind: EntryKind, _ bytes: [UInt8]) throws(MeshError) -> Entry {
    try Entry.decode(kind, bytes: bytes)
  }
}
