package import FoundationEssentials
package import MeshBase
import SwiftASN1
package import X509

/// Signs certificates of one trust domain with the key of an intermediate certificate (or of a root without one).
package struct CertificateAuthority: Sendable {
  package let trustDomain: String
  /// The signing certificate first, then those above it. A root may be missing: peers know it.
  package let chain: [Certificate]
  let key: IdentityKey

  /// Of files that somebody brings, or that `+Creation` made.
  ///
  /// Throws `invalid` with what is wrong: the key is not the certificate's, the certificate is no authority's or expired at
  /// `now`, does not sign (key usage), is not signed by the next one, or is made for another trust domain.
  package init(trustDomain: String, chain: [Certificate], key: IdentityKey, now: Date) throws(MeshError) {
    let object = "certificate authority of \(trustDomain)"
    func refuse(_ message: String, next: String? = nil) -> MeshError {
      MeshError(.invalid, object, message, next: next)
    }
    guard SPIFFEID.isTrustDomain(trustDomain) else { throw refuse("is not a trust domain") }
    guard let signing = chain.first else { throw refuse("has no certificate") }
    guard chain.count <= MeshIdentity.longestChain else { throw refuse("has a chain of \(chain.count) certificates") }
    guard signing.publicKey == key.publicKey else {
      throw refuse("the private key is not that of the first certificate", next: "the signing certificate comes first")
    }
    for (index, certificate) in chain.enumerated() {
      let name = index == 0 ? "the signing certificate" : "certificate \(index + 1) of the chain"
      guard certificate.notValidBefore <= now, now < certificate.notValidAfter else {
        throw refuse("\(name) is not valid now", next: "bring one that is, or correct the clock")
      }
      guard Self.isAuthority(certificate) else { throw refuse("\(name) is not one of an authority that signs") }
      if index + 1 < chain.count {
        guard chain[index + 1].publicKey.isValidSignature(certificate.signature, for: certificate) else {
          throw refuse("\(name) is not signed by the next one")
        }
      }
      // X509-SVID section 4.2: if it has a SPIFFE id, that is of the trust domain and has no path.
      let names = (try? certificate.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()
      for case .uniformResourceIdentifier(let text) in names where text.hasPrefix("spiffe://") {
        guard text == "spiffe://\(trustDomain)" else { throw refuse("\(name) is made for \(text)") }
      }
    }
    self.trustDomain = trustDomain
    self.chain = chain
    self.key = key
  }

  package static func isAuthority(_ certificate: Certificate) -> Bool {
    guard case .isCertificateAuthority? = try? certificate.extensions.basicConstraints,
      let usage = try? certificate.extensions.keyUsage
    else { return false }
    return usage.keyCertSign
  }

  /// PEM of one or more certificates, in order. Throws `invalid` if something in it is none, or cut off.
  package static func certificates(pem: String, object: String) throws(MeshError) -> [Certificate] {
    let found: [Certificate]
    do {
      found = try PEMDocument.parseMultiple(pemString: pem).map { try Certificate(pemDocument: $0) }
    } catch {
      throw MeshError(.invalid, object, "is not a list of certificates in PEM", cause: "\(error)")
    }
    // The parser passes over a block that has no end.
    let begun = pem.split(whereSeparator: \.isNewline).count { $0.hasPrefix("-----BEGIN ") }
    guard !found.isEmpty, begun == found.count else {
      throw MeshError(
        .invalid, object, found.isEmpty ? "has no certificate in PEM" : "has a certificate that is cut off")
    }
    return found
  }

  package static func pem(_ certificates: [Certificate]) throws(MeshError) -> String {
    do {
      return try certificates.map { try $0.serializeAsPEM().pemString + "\n" }.joined()
    } catch {
      throw MeshError(.internal, "certificate", "could not be written", cause: "\(error)")
    }
  }
}
