/// # MeshIdentity: who somebody is, proven by certificates
///
/// Issuing and judging of X.509-SVIDs (SPIFFE X509-SVID), trust bundles, and the two orders of events in which they change:
/// renewal of a certificate and rotation of a root. Pure: no files, sockets or clocks; time and chance come in as values.
/// Floor 3; imports swift-certificates and swift-crypto. The node proxy does not import it: NIOSSL judges chains there.
///
/// Read in this order: `CertificateSubject` (whose a certificate can be), `IdentityKey`, `SignedDER`, `CertificateRequest`,
/// `CertificateAuthority` (and `+Creation`, `+Issuing`); `JoinToken`, `JoinLedger`, `SigningPolicy` (who gets one); `TrustBundle`, `RevocationList`; `LeafCertificate` (what a leaf alone must
/// be), `CertificateVerifier` (that, and a chain to a root); `RenewalMachine`, `RootRotation`.
///
/// Invariants:
/// - A leaf has exactly one subject alternative name, a URI that is a `CertificateSubject`, and names nobody else.
/// - An authority signs for its own trust domain only, and nothing that outlives its own certificate.
/// - No bytes of a peer trap, and what cannot be read is refused with a `CertificateRefusal`.
/// - A private key has no description: it gets neither into a log nor into an error.
package enum MeshIdentity {
  /// Certificates of a chain that are looked at; a chain of the mesh has two or three.
  package static let longestChain = 8
  /// Bytes of one certificate or request. Ours have some 600.
  package static let largestCertificate = 16_384
  /// How much earlier than now a certificate is valid, for clocks that are behind.
  package static let backdating: Double = 120

  /// Two lower-case digits a byte.
  package static func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
