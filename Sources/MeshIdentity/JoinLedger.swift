import Crypto
package import FoundationEssentials
package import MeshBase

/// The tokens that the control plane gave out, and what became of them. Keeps no secret: only hashes, so that who reads its file
/// joins nothing.
package struct JoinLedger: Sendable, Equatable {
  package struct Entry: Sendable, Equatable, Codable {
    package var id: String
    /// SHA-256 of the secret, hex digits.
    package var secretHash: String
    /// The only name under which the token lets a host in.
    package var node: String
    package var created: Date
    package var expires: Date
    /// SHA-256 of the public key that it was traded for. A host whose answer was lost asks again with the same key.
    package var usedBy: String?
  }

  /// Why a token lets nobody in: stable words for events and logs. A peer is told only that it was refused.
  package enum Refusal: String, Error, Sendable, CaseIterable {
    /// No such token: never made, taken back, or forgotten after its end.
    case unknown = "token-unknown"
    case wrongSecret = "token-secret"
    case expired = "token-expired"
    case wrongNode = "token-node"
    /// Traded already, for another key.
    case used = "token-used"
  }

  /// A token that nobody used is remembered for so long after its end, that a late host is told why.
  private static let memory: Double = 86_400
  package static let most = 10_000

  package private(set) var entries: [String: Entry]

  package init(_ entries: [Entry] = []) {
    self.entries = [:]
    for entry in entries { self.entries[entry.id] = entry }
  }

  /// Throws `invalid` for a name that no node can have or a lifetime that is not 1 s to 30 days, `exhausted` with too many tokens open.
  package mutating func create(
    node: String, lifetime: Double, fingerprint: String, now: Date, using random: inout some RandomNumberGenerator
  ) throws(MeshError) -> JoinToken {
    let object = "token for \(node)"
    guard ResourceName.isSubdomain(node) else {
      throw MeshError(.invalid, object, "the node's name is none", next: "use lower-case letters, digits, - and .")
    }
    guard lifetime >= 1, lifetime <= 30 * 86_400 else {
      throw MeshError(.invalid, object, "the lifetime is not between a second and 30 days")
    }
    self.forget(now: now)
    guard self.entries.count < Self.most else {
      throw MeshError(
        .exhausted, object, "\(self.entries.count) tokens are open", next: "take some back: martlet token delete")
    }
    let token = JoinToken(fingerprint: fingerprint, using: &random)
    self.entries[token.id] = Entry(
      id: token.id, secretHash: Self.hash(token.secret.utf8), node: node, created: now,
      expires: now.addingTimeInterval(lifetime))
    return token
  }

  /// Trades a token for the right of `node` to a certificate for `key` (bytes of its SubjectPublicKeyInfo).
  package mutating func redeem(_ token: JoinToken, node: String, key: some Sequence<UInt8>, now: Date) throws(Refusal) {
    guard var entry = self.entries[token.id] else { throw .unknown }
    // Hashes are compared, so that the time it takes tells nothing of the secret.
    guard entry.secretHash == Self.hash(token.secret.utf8) else { throw .wrongSecret }
    guard now < entry.expires else { throw .expired }
    guard entry.node == node else { throw .wrongNode }
    let key = Self.hash(key)
    if let usedBy = entry.usedBy, usedBy != key { throw .used }
    entry.usedBy = key
    self.entries[token.id] = entry
  }

  /// Whether there was one.
  package mutating func takeBack(id: String) -> Bool { self.entries.removeValue(forKey: id) != nil }

  package mutating func forget(now: Date) {
    self.entries = self.entries.filter { now < $0.value.expires.addingTimeInterval(Self.memory) }
  }

  private static func hash(_ bytes: some Sequence<UInt8>) -> String {
    MeshIdentity.hex(SHA256.hash(data: Array(bytes)))
  }
}
