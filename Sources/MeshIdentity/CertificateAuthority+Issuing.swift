package import FoundationEssentials
package import MeshBase
import SwiftASN1
package import X509

/// A certificate as it goes to its owner.
package struct IssuedCertificate: Sendable, Equatable {
  package var subject: CertificateSubject
  /// DER: the leaf, then the authority's, without a root.
  package var chain: [[UInt8]]
  /// Big-endian bytes.
  package var serial: [UInt8]
  package var notBefore: Date
  package var notAfter: Date
}

extension CertificateAuthority {
  /// Of a workload: 24 hours.
  package static let leafLifetime: Double = 86_400

  /// Signs `key` as `subject`, for both ends of TLS. It begins two minutes ago and ends `lifetime` seconds from now, or with the
  /// authority's own certificate.
  ///
  /// That `subject` may be had by who asks is the caller's to decide. Throws `invalid` for another trust domain's subject, `unavailable`
  /// when the authority itself has less than a minute left.
  package func issue(
    _ subject: CertificateSubject, key: Certificate.PublicKey, lifetime: Double = Self.leafLifetime, now: Date
  ) throws(MeshError) -> IssuedCertificate {
    guard subject.trustDomain == self.trustDomain else {
      throw MeshError(.invalid, "\(subject)", "is not of the trust domain \(self.trustDomain)")
    }
    guard let signing = self.chain.first else {
      throw MeshError(.internal, "certificate authority of \(self.trustDomain)", "has no certificate")
    }
    let until = min(
      now.addingTimeInterval(max(lifetime, 0)), self.chain.map(\.notValidAfter).min() ?? signing.notValidAfter)
    guard until.timeIntervalSince(now) >= min(60, lifetime), lifetime > 0 else {
      throw MeshError(
        .unavailable, "\(subject)", "no certificate: the authority's own ends at \(signing.notValidAfter)",
        next: "martlet ca rotate")
    }
    let serial = Self.serial()
    do {
      let certificate = try Certificate(
        version: .v3, serialNumber: serial, publicKey: key,
        notValidBefore: now.addingTimeInterval(-MeshIdentity.backdating), notValidAfter: until, issuer: signing.subject,
        subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
        extensions: try Certificate.Extensions {
          Critical(BasicConstraints.notCertificateAuthority)
          Critical(KeyUsage(digitalSignature: true))
          try ExtendedKeyUsage([.serverAuth, .clientAuth])
          // Critical because the subject is empty (RFC 5280 section 4.2.1.6).
          Critical(SubjectAlternativeNames([.uniformResourceIdentifier(subject.description)]))
          AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: signing.publicKey).keyIdentifier)
        },
        issuerPrivateKey: self.key.signing)
      // A root that signs by itself stays out of what is sent.
      let above = self.chain.filter { $0.subject != $0.issuer }
      return IssuedCertificate(
        subject: subject, chain: try ([certificate] + above).map { try Self.der($0) }, serial: Array(serial.bytes),
        notBefore: certificate.notValidBefore, notAfter: certificate.notValidAfter)
    } catch {
      throw MeshError(.internal, "certificate of \(subject)", "could not be made", cause: "\(error)")
    }
  }

  package static func der(_ certificate: Certificate) throws -> [UInt8] {
    var serializer = DER.Serializer()
    try serializer.serialize(certificate)
    return serializer.serializedBytes
  }
}
