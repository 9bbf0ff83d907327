import FoundationEssentials
package import MeshBase
package import MeshSnapshot
import SwiftProtobuf

/// One message between agent and proxy. A revision is a `begin`, upserts and removals, and a `commit`; the proxy changes
/// nothing before the commit and answers with `applied`. On the stream a frame is its length in four bytes, network
/// order, and a `martlet.link.v1.Frame`.
package enum ProxyFrame: Sendable, Equatable {
  /// `isFull`: what follows is everything; names that do not come are gone.
  case begin(revision: UInt64, isFull: Bool)
  case upsert(VersionedEntry)
  case removal(EntryKey)
  case commit(revision: UInt64)
  /// From the proxy. `error` nil: connections accepted from now on are decided by this revision.
  case applied(revision: UInt64, error: String?)

  /// The frame with its length prefix.
  package func encoded() -> [UInt8] {
    var message = Martlet_Link_V1_Frame()
    switch self {
    case .begin(let revision, let isFull):
      message.begin.revision = revision
      message.begin.full = isFull
    case .upsert(let entry):
      message.upsert.typeURL = entry.value.key.kind.typeURL
      message.upsert.entry = Data(entry.value.encoded())
    case .removal(let key):
      message.removal.typeURL = key.kind.typeURL
      message.removal.name = key.name
    case .commit(let revision):
      message.commit.revision = revision
    case .applied(let revision, let error):
      message.applied.revision = revision
      message.applied.error = error ?? ""
    }
    let body = message.canonicalBytes
    let count = UInt32(clamping: body.count)
    return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + body
  }

  /// The frame of these bytes, without length prefix.
  package init(body: [UInt8]) throws(MeshError) {
    let message: Martlet_Link_V1_Frame
    do {
      message = try Martlet_Link_V1_Frame(serializedBytes: body)
    } catch {
      throw MeshError(.invalid, "proxy stream", "not a valid frame", cause: "\(error)")
    }
    switch message.frame {
    case .begin(let begin): self = .begin(revision: begin.revision, isFull: begin.full)
    case .upsert(let upsert):
      self = .upsert(try VersionedEntry(try Self.kind(upsert.typeURL), bytes: [UInt8](upsert.entry)))
    case .removal(let removal): self = .removal(EntryKey(try Self.kind(removal.typeURL), removal.name))
    case .commit(let commit): self = .commit(revision: commit.revision)
    case .applied(let applied):
      self = .applied(revision: applied.revision, error: applied.error.isEmpty ? nil : applied.error)
    case nil: throw MeshError(.unsupported, "proxy stream", "a frame of a kind that this version does not know")
    }
  }

  private static func kind(_ typeURL: String) throws(MeshError) -> EntryKind {
    guard let kind = EntryKind(typeURL: typeURL) else {
      throw MeshError(.unsupported, "proxy stream", "an entry of a kind that this version does not know")
    }
    return kind
  }

  /// The frames that bring everything.
  package static func frames(of snapshot: Snapshot, revision: UInt64) -> [ProxyFrame] {
    [.begin(revision: revision, isFull: true)] + snapshot.entries.map { .upsert($0) } + [.commit(revision: revision)]
  }

  /// The frames that bring a change.
  package static func frames(of delta: Delta, revision: UInt64) -> [ProxyFrame] {
    [.begin(revision: revision, isFull: false)] + delta.upserts.map { .upsert($0) }
      + delta.removals.map { .removal($0) } + [.commit(revision: revision)]
  }
}
