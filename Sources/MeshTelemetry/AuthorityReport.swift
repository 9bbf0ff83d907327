/// `GET /v1/ca` of the control plane: who signs, and who is trusted.
package struct AuthorityReport: Codable, Sendable, Hashable {
  package struct Root: Codable, Sendable, Hashable {
    /// SHA-256 of the DER, hex digits.
    package var fingerprint: String
    package var subject: String
    package var notAfter: Timestamp
    /// Certificates are signed under it now.
    package var signs: Bool

    package init(fingerprint: String, subject: String, notAfter: Timestamp, signs: Bool) {
      self.fingerprint = fingerprint
      self.subject = subject
      self.notAfter = notAfter
      self.signs = signs
    }
  }

  package var trustDomain: String
  /// `generated` or `files`.
  package var source: String
  /// `steady`, `spreading` (a new root is trusted, and does not sign yet) or `signing` (it signs, the old one is still trusted).
  package var rotation: String
  package var rotationSince: Timestamp?
  /// The one that signs comes first.
  package var roots: [Root]
  /// When the signing certificate ends.
  package var signingNotAfter: Timestamp
  /// Since this control plane started.
  package var issued: UInt64
  package var refused: [String: UInt64]
  package var revoked: Int

  package init(
    trustDomain: String, source: String, rotation: String, rotationSince: Timestamp? = nil, roots: [Root] = [],
    signingNotAfter: Timestamp, issued: UInt64 = 0, refused: [String: UInt64] = [:], revoked: Int = 0
  ) {
    self.trustDomain = trustDomain
    self.source = source
    self.rotation = rotation
    self.rotationSince = rotationSince
    self.roots = roots
    self.signingNotAfter = signingNotAfter
    self.issued = issued
    self.refused = refused
    self.revoked = revoked
  }
}

/// `POST /v1/tokens` of the control plane.
package struct TokenReport: Codable, Sendable, Hashable {
  /// For the host that joins, and nobody else: it is not shown again.
  package var token: String
  package var id: String
  package var node: String
  package var expires: Timestamp

  package init(token: String, id: String, node: String, expires: Timestamp) {
    self.token = token
    self.id = id
    self.node = node
    self.expires = expires
  }
}
