import FoundationEssentials
import MeshBase
import MeshIdentity
import Testing
import X509

@Suite("Certificate authority")
struct CertificateAuthorityTests {
  let fixture: CertificateFixture

  init() throws { self.fixture = try CertificateFixture() }

  @Test(
    "What it issues is accepted by who trusts its root, as client and as server, from two minutes ago until a day from now"
  )
  func issues() async throws {
    let issued = try self.fixture.authority.issue(
      self.fixture.web, key: IdentityKey().publicKey, now: CertificateFixture.now)
    #expect(issued.chain.count == 2, "the root stays at home")
    #expect(issued.notBefore == CertificateFixture.now.addingTimeInterval(-120))
    #expect(issued.notAfter == CertificateFixture.now.addingTimeInterval(86_400))
    for purpose in LeafCertificate.Purpose.allCases {
      for after in [-120.0, 0, 86_399] {
        let result = await self.fixture.verifier.verify(
          issued.chain, purpose: purpose, now: CertificateFixture.now.addingTimeInterval(after))
        #expect(result == .success(self.fixture.web))
      }
    }
    let early = await self.fixture.verifier.verify(
      issued.chain, purpose: .client, now: CertificateFixture.now.addingTimeInterval(-121))
    #expect(early == .failure(.notYetValid))
    let late = await self.fixture.verifier.verify(
      issued.chain, purpose: .client, now: CertificateFixture.now.addingTimeInterval(86_400))
    #expect(late == .failure(.expired))
  }

  @Test("A node's and the control plane's certificates name them, and no workload")
  func subjects() async throws {
    let node = try #require(CertificateSubject(node: "host-1.example", trustDomain: CertificateFixture.domain))
    #expect(node.description == "spiffe://mesh.local/martlet/node/host-1.example")
    for subject in [node, .control(trustDomain: CertificateFixture.domain)] {
      let issued = try self.fixture.authority.issue(subject, key: IdentityKey().publicKey, now: CertificateFixture.now)
      let result = await self.fixture.verifier.verify(issued.chain, purpose: .server, now: CertificateFixture.now)
      #expect(result == .success(subject))
      #expect(CertificateSubject(subject.description) == subject)
    }
  }

  @Test("It signs for no other trust domain, and nothing that outlives itself")
  func bounds() throws {
    let other = try #require(CertificateSubject("spiffe://other.local/ns/shop/sa/web"))
    #expect(throws: MeshError.self) {
      try self.fixture.authority.issue(other, key: IdentityKey().publicKey, now: CertificateFixture.now)
    }
    let end = self.fixture.intermediate.notValidAfter
    let late = try self.fixture.authority.issue(
      self.fixture.web, key: IdentityKey().publicKey, now: end.addingTimeInterval(-3600))
    #expect(late.notAfter == end)
    #expect(throws: MeshError.self) {
      try self.fixture.authority.issue(self.fixture.web, key: IdentityKey().publicKey, now: end.addingTimeInterval(-30))
    }
  }

  @Test("Files that do not fit are refused, each with what is wrong")
  func files() throws {
    let fixture = self.fixture
    func refusal(
      _ chain: [Certificate], _ key: IdentityKey, domain: String = CertificateFixture.domain, after: Double = 0
    ) -> String? {
      do throws(MeshError) {
        _ = try CertificateAuthority(
          trustDomain: domain, chain: chain, key: key, now: CertificateFixture.now.addingTimeInterval(after))
        return nil
      } catch {
        return error.message
      }
    }
    #expect(refusal([fixture.intermediate], fixture.key) == nil)
    #expect(refusal([], fixture.key) == "has no certificate")
    #expect(refusal([fixture.root], fixture.key) == "the private key is not that of the first certificate")
    #expect(
      refusal([fixture.intermediate], fixture.key, after: 400 * 86_400) == "the signing certificate is not valid now")
    #expect(
      refusal([fixture.intermediate], fixture.key, domain: "other.local")
        == "the signing certificate is made for spiffe://mesh.local")
    let stranger = try CertificateFixture()
    #expect(
      refusal([fixture.intermediate, stranger.root], fixture.key)
        == "the signing certificate is not signed by the next one")
    let leafKey = IdentityKey()
    let leaf = try fixture.leaf(.init(), key: leafKey.publicKey)
    #expect(refusal([leaf], leafKey) == "the signing certificate is not one of an authority that signs")
  }

  @Test("Certificates and keys are read as they were written, and a key tells nothing of itself")
  func texts() throws {
    let pem = try CertificateAuthority.pem([self.fixture.intermediate, self.fixture.root])
    #expect(
      try CertificateAuthority.certificates(pem: pem, object: "ca.pem") == [
        self.fixture.intermediate, self.fixture.root,
      ])
    let key = try IdentityKey(pem: self.fixture.key.pem, object: "ca.key")
    #expect(key.publicKey == self.fixture.key.publicKey)
    var text = ""
    dump(key, to: &text)
    #expect("\(key)" == "private key (not shown)" && String(reflecting: key) == "\(key)" && !text.contains("P256"))
    #expect(throws: MeshError.self) {
      try IdentityKey(pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", object: "x")
    }
    #expect(throws: MeshError.self) {
      try CertificateAuthority.certificates(pem: "-----BEGIN CERTIFICATE-----", object: "x")
    }
    #expect(throws: MeshError.self) { try TrustBundle(trustDomain: "mesh.local", pem: "") }
    let cut = String(pem.dropLast(40))
    #expect(throws: MeshError.self) { try CertificateAuthority.certificates(pem: cut, object: "x") }
  }

  @Test("Serial numbers are positive, at most 20 bytes, and differ")
  func serials() throws {
    var seen: Set<[UInt8]> = []
    for _ in 0..<50 {
      let issued = try self.fixture.authority.issue(
        self.fixture.web, key: self.fixture.key.publicKey, now: CertificateFixture.now)
      #expect(issued.serial.count == 16 && issued.serial[0] & 0x80 == 0)
      seen.insert(issued.serial)
    }
    #expect(seen.count == 50)
  }
}
