import Crypto
package import FoundationEssentials

/// The nodes that joined, each with the hash of the key that it joined with. Whoever holds that key may have the next certificate,
/// whether the last one is still good or not: renewal does not need what expires.
package struct NodeLedger: Sendable, Equatable, Codable {
  package struct Node: Sendable, Equatable, Codable {
    /// SHA-256 of the SubjectPublicKeyInfo, hex digits.
    package var keyHash: String
    package var joined: Date
    /// The token that let it in.
    package var token: String
  }

  /// Why a node has no new certificate: stable words for events and logs.
  package enum Refusal: String, Error, Sendable, CaseIterable {
    /// No such node joined, or it was put out.
    case unknown = "node-unknown"
    /// The request is signed with another key than that of the node.
    case otherKey = "node-key"
  }

  package private(set) var nodes: [String: Node] = [:]

  package init() {}

  /// A token let it in; a key that it had before is worth nothing any more.
  package mutating func joined(_ node: String, key: [UInt8], token: String, now: Date) {
    self.nodes[node] = Node(keyHash: Self.hash(key), joined: now, token: token)
  }

  package func check(_ node: String, key: [UInt8]) throws(Refusal) {
    guard let known = self.nodes[node] else { throw .unknown }
    guard known.keyHash == Self.hash(key) else { throw .otherKey }
  }

  /// Whether it was there. It gets no other certificate without a new token.
  package mutating func putOut(_ node: String) -> Bool { self.nodes.removeValue(forKey: node) != nil }

  private static func hash(_ bytes: [UInt8]) -> String { MeshIdentity.hex(SHA256.hash(data: bytes)) }
}
