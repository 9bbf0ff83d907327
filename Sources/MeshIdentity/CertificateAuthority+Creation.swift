package import FoundationEssentials
package import MeshBase
package import X509

extension CertificateAuthority {
  /// Ten years.
  package static let rootLifetime: Double = 10 * 365 * 86_400
  /// One year. At least `rotation` is kept to the end, or its leaves would become shorter.
  package static let intermediateLifetime: Double = 365 * 86_400

  /// A root: its only use is to sign intermediates, after which its key can be put away.
  package static func makeRoot(trustDomain: String, key: IdentityKey, now: Date) throws(MeshError) -> Certificate {
    let name = try Self.name("Martlet root of \(trustDomain)")
    return try Self.make(
      trustDomain: trustDomain, subject: name, issuer: name, key: key, issuerKey: key, issuerPublicKey: key.publicKey,
      pathLength: 1, from: now, until: now.addingTimeInterval(Self.rootLifetime))
  }

  /// An intermediate, which signs leaves, under `root`. It ends with the root at the latest.
  package static func makeIntermediate(
    trustDomain: String, key: IdentityKey, root: Certificate, rootKey: IdentityKey, now: Date
  ) throws(MeshError) -> Certificate {
    try Self.make(
      trustDomain: trustDomain, subject: try Self.name("Martlet intermediate of \(trustDomain)"), issuer: root.subject,
      key: key, issuerKey: rootKey, issuerPublicKey: root.publicKey, pathLength: 0, from: now,
      until: min(now.addingTimeInterval(Self.intermediateLifetime), root.notValidAfter))
  }

  private static func name(_ common: String) throws(MeshError) -> DistinguishedName {
    do {
      return try DistinguishedName { CommonName(common) }
    } catch {
      throw MeshError(.internal, common, "is not a name for a certificate", cause: "\(error)")
    }
  }

  private static func make(
    trustDomain: String, subject: DistinguishedName, issuer: DistinguishedName, key: IdentityKey,
    issuerKey: IdentityKey, issuerPublicKey: Certificate.PublicKey, pathLength: Int, from: Date, until: Date
  ) throws(MeshError) -> Certificate {
    do {
      return try Certificate(
        version: .v3, serialNumber: Self.serial(), publicKey: key.publicKey,
        notValidBefore: from.addingTimeInterval(-MeshIdentity.backdating), notValidAfter: until, issuer: issuer,
        subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
        extensions: try Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: pathLength))
          Critical(KeyUsage(keyCertSign: true, cRLSign: true))
          SubjectAlternativeNames([.uniformResourceIdentifier("spiffe://\(trustDomain)")])
          SubjectKeyIdentifier(hash: key.publicKey)
          AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: issuerPublicKey).keyIdentifier)
        },
        issuerPrivateKey: issuerKey.signing)
    } catch {
      throw MeshError(.internal, "authority's certificate for \(trustDomain)", "could not be made", cause: "\(error)")
    }
  }

  /// 127 random bits and never 0: positive, and at most 20 bytes (RFC 5280 section 4.1.2.2).
  static func serial() -> Certificate.SerialNumber {
    var random = SystemRandomNumberGenerator()
    var bytes: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
    bytes[0] = bytes[0] & 0x7f | 0x40
    return Certificate.SerialNumber(bytes: bytes)
  }
}
