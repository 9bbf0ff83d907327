package import MeshBase
package import MeshSnapshot
import SwiftProtobuf

extension Entry {
  /// The canonical encoding: equal entries have equal bytes, in every process and every build.
  package func encoded() -> [UInt8] {
    switch self {
    case .config(let entry): Martlet_Entries_V1_Config(entry).canonicalBytes
    case .policy(let entry): Martlet_Entries_V1_Policy(entry).canonicalBytes
    case .workload(let entry): Martlet_Entries_V1_Workload(entry).canonicalBytes
    case .endpoints(let entry): Martlet_Entries_V1_Endpoints(entry).canonicalBytes
    case .service(let entry): Martlet_Entries_V1_Service(entry).canonicalBytes
    }
  }

  /// The entry of these bytes. Throws a `MeshError` that names the entry and the field.
  package static func decode(_ kind: EntryKind, bytes: [UInt8]) throws(MeshError) -> Entry {
    if bytes.count > MeshProto.maximumEntrySize {
      throw MeshError(
        .exhausted, "\(kind)", "an entry of \(bytes.count) bytes is larger than \(MeshProto.maximumEntrySize)")
    }
    switch kind {
    case .config: return .config(try ConfigEntry(Self.message(kind, bytes)))
    case .policy: return .policy(try PolicyEntry(Self.message(kind, bytes)))
    case .workload: return .workload(try WorkloadEntry(Self.message(kind, bytes)))
    case .endpoints: return .endpoints(try EndpointsEntry(Self.message(kind, bytes)))
    case .service: return .service(try ServiceEntry(Self.message(kind, bytes)))
    }
  }

  /// As `decode(_:bytes:)`, with the kind named by its type URL.
  package static func decode(typeURL: String, bytes: [UInt8]) throws(MeshError) -> Entry {
    guard let kind = EntryKind(typeURL: typeURL) else {
      throw MeshError(.unsupported, "entry", "no kind of entry has the type \(typeURL.prefix(128))")
    }
    return try self.decode(kind, bytes: bytes)
  }

  private static func message<M: Message>(_ kind: EntryKind, _ bytes: [UInt8]) throws(MeshError) -> M {
    do {
      return try M(serializedBytes: bytes)
    } catch {
      throw MeshError(.invalid, "\(kind)", "not a valid protobuf message", cause: "\(error)")
    }
  }
}

extension VersionedEntry {
  /// The version is the hash of the canonical encoding.
  package init(_ entry: Entry) {
    self.init(entry, version: ContentVersion(of: entry.encoded()))
  }

  /// The entry of these bytes, with their hash as version: what a peer sends has the version that the peer gave it, even
  /// if it holds fields that this version does not know.
  package init(_ kind: EntryKind, bytes: [UInt8]) throws(MeshError) {
    self.init(try Entry.decode(kind, bytes: bytes), version: ContentVersion(of: bytes))
  }
}

extension Message {
  /// A proto3 message without maps has one encoding. Serialising one fails only past 2 GiB; the empty result of that
  /// case is refused by every decoder, because every message here has a field that must be there.
  var canonicalBytes: [UInt8] {
    do { return try self.serializedBytes() } catch { return [] }
  }
}
