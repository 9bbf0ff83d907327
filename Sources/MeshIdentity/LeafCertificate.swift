import Crypto
package import FoundationEssentials
import MeshBase
import SwiftASN1
package import X509

/// A peer's own certificate, as far as it can be judged alone: all but its signature.
package struct LeafCertificate: Sendable {
  /// What the peer does with it.
  package enum Purpose: Sendable, CaseIterable { case client, server }

  package let subject: CertificateSubject
  package let certificate: Certificate

  /// Throws the first thing that is wrong.
  package init(der: [UInt8], trustDomain: String, purpose: Purpose, now: Date) throws(CertificateRefusal) {
    guard let certificate = Self.read(der) else { throw .unreadable }
    try self.init(certificate, trustDomain: trustDomain, purpose: purpose, now: now)
  }

  /// A certificate of a peer; nil if it is too large or not exactly DER.
  static func read(_ der: [UInt8]) -> Certificate? {
    guard SignedDER.isExact(der) else { return nil }
    return try? Certificate(derEncoded: der)
  }

  package init(_ leaf: Certificate, trustDomain: String, purpose: Purpose, now: Date) throws(CertificateRefusal) {
    guard leaf.version == .v3 else { throw .unreadable }
    guard Self.isStrong(leaf.publicKey) else { throw .weakKey }
    guard Self.isStrong(leaf.signatureAlgorithm) else { throw .weakSignature }
    self.subject = try Self.subject(leaf, trustDomain: trustDomain)
    try Self.checkUse(leaf, purpose)
    guard leaf.notValidBefore <= now else { throw .notYetValid }
    guard now < leaf.notValidAfter else { throw .expired }
    self.certificate = leaf
  }

  package var notBefore: Date { self.certificate.notValidBefore }
  package var notAfter: Date { self.certificate.notValidAfter }
  /// Big-endian.
  package var serial: [UInt8] { Array(self.certificate.serialNumber.bytes) }

  package func isOf(_ key: IdentityKey) -> Bool { self.certificate.publicKey == key.publicKey }

  private static func subject(_ leaf: Certificate, trustDomain: String) throws(CertificateRefusal) -> CertificateSubject
  {
    let names: SubjectAlternativeNames
    do {
      guard let found = try leaf.extensions.subjectAlternativeNames else { throw CertificateRefusal.names }
      names = found
    } catch let refusal as CertificateRefusal {
      throw refusal
    } catch {
      throw .unreadable
    }
    guard names.count == 1 else { throw .names }
    guard case .uniformResourceIdentifier(let text) = names[0], let subject = CertificateSubject(text) else {
      throw .notSPIFFE
    }
    guard subject.trustDomain == trustDomain else { throw .otherTrustDomain }
    return subject
  }

  private static func checkUse(_ leaf: Certificate, _ purpose: Purpose) throws(CertificateRefusal) {
    let constraints: BasicConstraints?
    let usage: KeyUsage?
    let extended: ExtendedKeyUsage?
    do {
      constraints = try leaf.extensions.basicConstraints
      usage = try leaf.extensions.keyUsage
      extended = try leaf.extensions.extendedKeyUsage
    } catch {
      throw .unreadable
    }
    if case .isCertificateAuthority = constraints { throw .authority }
    guard let usage, usage.digitalSignature, !usage.keyCertSign, !usage.cRLSign else { throw .keyUsage }
    guard let extended, extended.contains(purpose == .client ? .clientAuth : .serverAuth) else { throw .purpose }
  }

  /// Of elliptic curves only: that is what nodes make, and an RSA key of a leaf would cost its peers more than all the rest.
  package static func isStrong(_ key: Certificate.PublicKey) -> Bool {
    P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil || P521.Signing.PublicKey(key) != nil
      || Curve25519.Signing.PublicKey(key) != nil
  }

  static func isStrong(_ algorithm: Certificate.SignatureAlgorithm) -> Bool {
    let known: [Certificate.SignatureAlgorithm] = [
      .ecdsaWithSHA256, .ecdsaWithSHA384, .ecdsaWithSHA512, .sha256WithRSAEncryption, .sha384WithRSAEncryption,
      .sha512WithRSAEncryption, .ed25519,
    ]
    return known.contains(algorithm)
  }
}
