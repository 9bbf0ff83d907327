package import MeshBase

/// With what the proxy proves who a workload is: the certificate's chain, the leaf first, and its key. Held in memory only.
package struct IdentityMaterial: Equatable, Sendable {
  package static let longestChain = 8

  package var identity: SPIFFEID
  /// DER.
  package var chain: [[UInt8]]
  /// PKCS #8, DER.
  package var key: [UInt8]
  /// Of the leaf, in seconds since 1970.
  package var expires: Int64

  package init(identity: SPIFFEID, chain: [[UInt8]], key: [UInt8], expires: Int64) {
    self.identity = identity
    self.chain = chain
    self.key = key
    self.expires = expires
  }
}

/// Whose certificates are believed for identities of one trust domain.
package struct TrustMaterial: Equatable, Sendable {
  package static let mostRoots = 32

  package var trustDomain: String
  /// DER.
  package var roots: [[UInt8]]
  /// Serial numbers of leaves that are not believed any more, as bytes.
  package var revoked: [[UInt8]]

  package init(trustDomain: String, roots: [[UInt8]], revoked: [[UInt8]] = []) {
    self.trustDomain = trustDomain
    self.roots = roots
    self.revoked = revoked
  }
}
