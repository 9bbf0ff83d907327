import FoundationEssentials
import MeshBase
import MeshIdentity
import SwiftASN1
import Testing
import X509

/// Rows TL-01 and TL-03 to TL-06 of hostile inputs, as far as certificates tell.
@Suite("Certificate verifier")
struct CertificateVerifierTests {
  typealias Draft = CertificateFixture.Draft
  let fixture: CertificateFixture

  init() throws { self.fixture = try CertificateFixture() }

  @Test("A good leaf is accepted, whatever else is in the chain and in whichever order")
  func good() async throws {
    #expect(try await self.fixture.judge(.init()) == .success(self.fixture.web))
    let stranger = try CertificateFixture()
    let chain = try self.fixture.chain(try self.fixture.leaf(.init()))
    let junk = [try CertificateAuthority.der(stranger.root), [0x30, 0x80], chain[1]]
    let result = await self.fixture.verifier.verify([chain[0]] + junk, purpose: .server, now: CertificateFixture.now)
    #expect(result == .success(self.fixture.web))
  }

  @Test("Each thing that can be wrong with a leaf has its reason")
  func leaves() async throws {
    func reason(purpose: LeafCertificate.Purpose = .client, _ change: (inout Draft) -> Void) async throws
      -> CertificateRefusal?
    {
      var draft = Draft()
      change(&draft)
      if case .failure(let refusal) = try await self.fixture.judge(draft, purpose: purpose) { return refusal }
      return nil
    }
    let good = GeneralName.uniformResourceIdentifier(self.fixture.web.description)
    #expect(try await reason { $0.names = nil } == .names)
    #expect(try await reason { $0.names = [] } == .names)
    #expect(try await reason { $0.names = [good, good] } == .names)
    #expect(try await reason { $0.names = [good, .dnsName("web")] } == .names)
    #expect(try await reason { $0.names = [.dnsName("web.shop")] } == .notSPIFFE)
    #expect(try await reason { $0.names = [.rfc822Name("a@mesh.local")] } == .notSPIFFE)
    for text in [
      "https://mesh.local/ns/shop/sa/web", "spiffe://mesh.local/ns/shop/sa/web?x",
      "spiffe://mesh.local/ns/shop/sa/web#x",
      "spiffe://mesh.local:443/ns/shop/sa/web", "spiffe://u@mesh.local/ns/shop/sa/web",
      "spiffe://MESH.local/ns/shop/sa/web",
      "spiffe://mesh.local", "spiffe://mesh.local/", "spiffe://mesh.local/ns/shop/sa/",
      "spiffe://mesh.local/ns/../sa/web",
      "spiffe://mesh.local/ns/%2e%2e/sa/web", "spiffe://mesh.local/ns/shop/sa/web/",
      "spiffe://mesh.local//ns/shop/sa/web",
      "spiffe://mesh.local/ns/shop/sa/w\u{0}b", "spiffe://mesh.local/martlet/node/",
      "spiffe://mesh.local/martlet/node/a/b",
      "spiffe://mesh.local/ns/shop/sa/" + String(repeating: "a", count: 3_000), "SPIFFE://mesh.local/ns/shop/sa/web",
    ] {
      #expect(try await reason { $0.names = [.uniformResourceIdentifier(text)] } == .notSPIFFE, "\(text.prefix(60))")
    }
    #expect(
      try await reason { $0.names = [.uniformResourceIdentifier("spiffe://other.local/ns/shop/sa/web")] }
        == .otherTrustDomain)
    #expect(try await reason { $0.constraints = .isCertificateAuthority(maxPathLength: nil) } == .authority)
    #expect(try await reason { $0.usage = nil } == .keyUsage)
    #expect(try await reason { $0.usage = KeyUsage(digitalSignature: true, keyCertSign: true) } == .keyUsage)
    #expect(try await reason { $0.usage = KeyUsage(keyAgreement: true) } == .keyUsage)
    #expect(try await reason { $0.extended = nil } == .purpose)
    #expect(try await reason { $0.extended = [.serverAuth] } == .purpose)
    #expect(try await reason(purpose: .server) { $0.extended = [.clientAuth] } == .purpose)
    #expect(try await reason { $0.version = .v1 } == .unreadable)
    #expect(try await reason { $0.notAfter = CertificateFixture.now } == .expired)
    #expect(try await reason { $0.notBefore = CertificateFixture.now.addingTimeInterval(1) } == .notYetValid)
    let unknown = Certificate.Extension(oid: [1, 2, 3, 4, 5], critical: true, value: [5, 0])
    #expect(try await reason { $0.more = [unknown] } == .untrusted)
  }

  @Test(
    "Without a chain to a root of the bundle nobody is trusted: other authority, forged signature, no intermediate, itself"
  )
  func untrusted() async throws {
    let fixture = self.fixture
    let now = CertificateFixture.now
    let stranger = try CertificateFixture()
    let theirs = try stranger.authority.issue(stranger.web, key: IdentityKey().publicKey, now: now)
    #expect(await fixture.verifier.verify(theirs.chain, purpose: .client, now: now) == .failure(.untrusted))
    let forged = try fixture.chain(try fixture.leaf(.init(), signer: stranger.key))
    #expect(await fixture.verifier.verify(forged, purpose: .client, now: now) == .failure(.untrusted))
    let alone = Array(try fixture.chain(try fixture.leaf(.init())).prefix(1))
    #expect(await fixture.verifier.verify(alone, purpose: .client, now: now) == .failure(.untrusted))
    #expect(await fixture.verifier.verify([], purpose: .client, now: now) == .failure(.missing))
    let root = [try CertificateAuthority.der(fixture.root)]
    #expect(await fixture.verifier.verify(root, purpose: .client, now: now) == .failure(.notSPIFFE))
    let long = Array(repeating: alone[0], count: MeshIdentity.longestChain + 1)
    #expect(await fixture.verifier.verify(long, purpose: .client, now: now) == .failure(.chainTooLong))
  }

  @Test("A leaf that signs another leaf makes nobody trusted (TL-05)")
  func leafSigns() async throws {
    let key = IdentityKey()
    let issuer = try self.fixture.leaf(.init(), key: key.publicKey)
    let draft = try self.fixture.leaf(.init(), signer: key)
    let chain = [
      try CertificateAuthority.der(draft), try CertificateAuthority.der(issuer),
      try CertificateAuthority.der(self.fixture.intermediate),
    ]
    #expect(
      await self.fixture.verifier.verify(chain, purpose: .client, now: CertificateFixture.now) == .failure(.untrusted))
  }

  @Test("A revoked certificate is refused, and so is what a revoked intermediate signed; others are not")
  func revoked() async throws {
    let fixture = self.fixture
    let now = CertificateFixture.now
    let one = try fixture.authority.issue(fixture.web, key: IdentityKey().publicKey, now: now)
    let other = try fixture.authority.issue(fixture.web, key: IdentityKey().publicKey, now: now)
    let authorityKey = Array(SubjectKeyIdentifier(hash: fixture.key.publicKey).keyIdentifier)
    var verifier = fixture.verifier
    verifier.revoked.revoke(.init(authorityKey: authorityKey, serial: one.serial), until: one.notAfter)
    #expect(await verifier.verify(one.chain, purpose: .client, now: now) == .failure(.revoked))
    #expect(await verifier.verify(other.chain, purpose: .client, now: now) == .success(fixture.web))
    verifier.revoked.expire(now: one.notAfter.addingTimeInterval(121))
    #expect(verifier.revoked == RevocationList())
    let rootKey = Array(SubjectKeyIdentifier(hash: fixture.rootKey.publicKey).keyIdentifier)
    verifier.revoked.revoke(
      .init(authorityKey: rootKey, serial: Array(fixture.intermediate.serialNumber.bytes)), until: one.notAfter)
    #expect(await verifier.verify(other.chain, purpose: .client, now: now) == .failure(.revoked))
  }

  @Test("With two roots in the bundle, what either signed is accepted; without the old one only the new")
  func twoRoots() async throws {
    let new = try CertificateFixture()
    let now = CertificateFixture.now
    let old = try self.fixture.authority.issue(self.fixture.web, key: IdentityKey().publicKey, now: now)
    let next = try new.authority.issue(new.web, key: IdentityKey().publicKey, now: now)
    var verifier = self.fixture.verifier
    verifier.bundle.insert(try TrustRoot(new.root))
    #expect(await verifier.verify(old.chain, purpose: .client, now: now) == .success(self.fixture.web))
    #expect(await verifier.verify(next.chain, purpose: .client, now: now) == .success(self.fixture.web))
    let removed = verifier.bundle.remove(try TrustRoot(self.fixture.root))
    #expect(removed)
    #expect(await verifier.verify(old.chain, purpose: .client, now: now) == .failure(.untrusted))
    #expect(await verifier.verify(next.chain, purpose: .client, now: now) == .success(self.fixture.web))
    let last = verifier.bundle.remove(try TrustRoot(new.root))
    #expect(!last && verifier.bundle.roots.count == 1, "the last root stays")
  }
}
