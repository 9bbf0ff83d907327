import FoundationEssentials
import MeshBase
import MeshIdentity
import SwiftASN1
import Testing
import X509

/// An authority of `mesh.local` with root and intermediate, and leaves of it with one thing wrong.
struct CertificateFixture: Sendable {
  static let now = Date(timeIntervalSince1970: 1_800_000_000)
  static let domain = "mesh.local"

  let rootKey = IdentityKey()
  let root: Certificate
  let intermediate: Certificate
  let key = IdentityKey()
  let authority: CertificateAuthority
  let bundle: TrustBundle
  let web: CertificateSubject

  init(domain: String = Self.domain, now: Date = Self.now) throws {
    self.root = try CertificateAuthority.makeRoot(trustDomain: domain, key: self.rootKey, now: now)
    self.intermediate = try CertificateAuthority.makeIntermediate(
      trustDomain: domain, key: self.key, root: self.root, rootKey: self.rootKey, now: now)
    self.authority = try CertificateAuthority(
      trustDomain: domain, chain: [self.intermediate, self.root], key: self.key, now: now)
    self.bundle = TrustBundle(trustDomain: domain, roots: [try TrustRoot(self.root)])
    self.web = try #require(CertificateSubject("spiffe://\(domain)/ns/shop/sa/web"))
  }

  var verifier: CertificateVerifier { CertificateVerifier(bundle: self.bundle) }

  /// What a leaf is made of; the defaults are good.
  struct Draft {
    var names: [GeneralName]? = [.uniformResourceIdentifier("spiffe://mesh.local/ns/shop/sa/web")]
    var constraints: BasicConstraints? = .notCertificateAuthority
    var usage: KeyUsage? = KeyUsage(digitalSignature: true)
    var extended: [ExtendedKeyUsage.Usage]? = [.serverAuth, .clientAuth]
    var version = Certificate.Version.v3
    var notBefore = CertificateFixture.now.addingTimeInterval(-60)
    var notAfter = CertificateFixture.now.addingTimeInterval(3600)
    var more: [Certificate.Extension] = []
  }

  /// Signed by the intermediate, or by `signer` in its name.
  func leaf(_ draft: Draft, signer: IdentityKey? = nil, key: Certificate.PublicKey? = nil) throws -> Certificate {
    try Certificate(
      version: draft.version, serialNumber: .init(), publicKey: key ?? IdentityKey().publicKey,
      notValidBefore: draft.notBefore, notValidAfter: draft.notAfter, issuer: self.intermediate.subject,
      subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
      extensions: try Certificate.Extensions {
        if let constraints = draft.constraints { Critical(constraints) }
        if let usage = draft.usage { Critical(usage) }
        if let extended = draft.extended { try ExtendedKeyUsage(extended) }
        if let names = draft.names { Critical(SubjectAlternativeNames(names)) }
        for one in draft.more { one }
      }, issuerPrivateKey: Certificate.PrivateKey(pemEncoded: (signer ?? self.key).pem))
  }

  func chain(_ leaf: Certificate) throws -> [[UInt8]] {
    [try CertificateAuthority.der(leaf), try CertificateAuthority.der(self.intermediate)]
  }

  func judge(_ draft: Draft, purpose: LeafCertificate.Purpose = .client) async throws -> Result<
    CertificateSubject, CertificateRefusal
  > {
    await self.verifier.verify(try self.chain(try self.leaf(draft)), purpose: purpose, now: Self.now)
  }
}
