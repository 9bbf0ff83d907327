package import FoundationEssentials
import MeshBase
import SwiftASN1
@_spi(FixedExpiryValidationTime) import X509

/// Judges chains as peers present them. For the control plane and agents; the node proxy has BoringSSL's check and one of names.
package struct CertificateVerifier: Sendable {
  package var bundle: TrustBundle
  package var revoked: RevocationList

  package init(bundle: TrustBundle, revoked: RevocationList = RevocationList()) {
    self.bundle = bundle
    self.revoked = revoked
  }

  /// The subject of the first certificate of `chain` (DER), if it is a good leaf that leads to a root of the bundle.
  ///
  /// The order of the rest does not matter, junk among it neither. Takes some 200 us in a release build.
  package func verify(
    _ chain: [[UInt8]], purpose: LeafCertificate.Purpose, now: Date
  ) async -> Result<CertificateSubject, CertificateRefusal> {
    guard let first = chain.first else { return .failure(.missing) }
    guard chain.count <= MeshIdentity.longestChain else { return .failure(.chainTooLong) }
    let leaf: LeafCertificate
    do {
      leaf = try LeafCertificate(der: first, trustDomain: self.bundle.trustDomain, purpose: purpose, now: now)
    } catch {
      return .failure(error)
    }
    let between = chain.dropFirst().compactMap { LeafCertificate.read($0) }
    guard between.allSatisfy({ LeafCertificate.isStrong($0.signatureAlgorithm) }) else {
      return .failure(.weakSignature)
    }
    if self.revoked.contains(leaf.certificate) || between.contains(where: self.revoked.contains) {
      return .failure(.revoked)
    }
    var verifier = Verifier(rootCertificates: CertificateStore(self.bundle.roots.map(\.certificate))) {
      RFC5280Policy(fixedExpiryValidationTime: now)
      NamesPolicy()
    }
    switch await verifier.validate(leaf: leaf.certificate, intermediates: CertificateStore(between)) {
    case .validCertificate: return .success(leaf.subject)
    case .couldNotValidate: return .failure(.untrusted)
    }
  }

  /// As `verify`, for who knows nothing but the SHA-256 of the root (hex digits): the chain has to hold it. The trust domain is what
  /// the leaf says.
  package static func verify(
    _ chain: [[UInt8]], pinned fingerprint: String, purpose: LeafCertificate.Purpose, now: Date
  ) async -> Result<CertificateSubject, CertificateRefusal> {
    guard let first = chain.first else { return .failure(.missing) }
    guard chain.count <= MeshIdentity.longestChain else { return .failure(.chainTooLong) }
    guard let leaf = LeafCertificate.read(first), let names = try? leaf.extensions.subjectAlternativeNames,
      case .uniformResourceIdentifier(let text)? = names.first, let subject = CertificateSubject(text)
    else { return .failure(.notSPIFFE) }
    let roots = chain.dropFirst().compactMap { LeafCertificate.read($0) }.compactMap { try? TrustRoot($0) }
    guard let root = roots.first(where: { $0.fingerprint == fingerprint }) else { return .failure(.untrusted) }
    let verifier = CertificateVerifier(bundle: TrustBundle(trustDomain: subject.trustDomain, roots: [root]))
    return await verifier.verify(chain, purpose: purpose, now: now)
  }

  /// The names of the leaf are judged before: this only says so, because they are critical.
  private struct NamesPolicy: VerifierPolicy {
    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
      .X509ExtensionID.subjectAlternativeName, .X509ExtensionID.keyUsage,
    ]

    func chainMeetsPolicyRequirements(chain: UnverifiedCertificateChain) -> PolicyEvaluationResult {
      // Whoever signs has to be allowed to: RFC5280Policy does not look at key usage.
      for issuer in chain.dropFirst() where !CertificateAuthority.isAuthority(issuer) {
        return .failsToMeetPolicy(reason: "an issuer is not an authority that signs")
      }
      return .meetsPolicy
    }
  }
}
