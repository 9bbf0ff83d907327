/// Why a certificate or a request for one is not accepted: stable words, the same in logs, metrics and events.
package enum CertificateRefusal: String, Error, Sendable, CaseIterable {
  /// The peer showed none.
  case missing = "no-certificate"
  /// Not DER of a certificate, or more than `MeshIdentity.largestCertificate` bytes, or not version 3.
  case unreadable
  /// More than `MeshIdentity.longestChain` certificates.
  case chainTooLong = "chain-too-long"
  case notYetValid = "not-yet-valid"
  case expired
  /// No chain of valid signatures leads to a root of the trust bundle.
  case untrusted
  /// None or several subject alternative names (X509-SVID section 2: exactly one URI, and here nothing beside it).
  case names = "not-one-name"
  /// The one name is no URI, or no SPIFFE id of the mesh's form.
  case notSPIFFE = "no-spiffe-id"
  case otherTrustDomain = "other-trust-domain"
  /// A certificate authority's certificate in the place of a leaf (X509-SVID section 4.1).
  case authority = "is-authority"
  /// Key usage that a leaf must have is missing, or one that it must not have is there (X509-SVID section 4.3).
  case keyUsage = "key-usage"
  /// Extended key usage does not hold what it is used for.
  case purpose = "extended-key-usage"
  /// A key that is not ECDSA over P-256, P-384 or P-521, or Ed25519.
  case weakKey = "weak-key"
  /// Signed with SHA-1 or something that is not known.
  case weakSignature = "weak-signature"
  case revoked
  /// A request whose signature is not that of its own key.
  case notOwner = "request-not-signed"
}
