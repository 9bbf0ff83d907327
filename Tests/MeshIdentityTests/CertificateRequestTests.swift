import MeshIdentity
import SwiftASN1
import Testing
import X509

@Suite("Certificate requests")
struct CertificateRequestTests {
  let subject: CertificateSubject

  init() throws { self.subject = try #require(CertificateSubject("spiffe://mesh.local/ns/shop/sa/web")) }

  @Test("A request is read as it was made, and so is one without a name")
  func whole() throws {
    let key = IdentityKey()
    let request = try CertificateRequest(der: try CertificateRequest.make(self.subject, key: key))
    #expect(request.subject == self.subject)
    #expect(request.publicKey == key.publicKey)
    let nameless = try CertificateRequest(der: try self.request([], key: key))
    #expect(nameless.subject == nil)
  }

  @Test("One that its key did not sign, with two names, a host's name or a weak key is refused with the reason")
  func refused() throws {
    let key = IdentityKey()
    var forged = try CertificateRequest.make(self.subject, key: key)
    forged[forged.count - 1] ^= 1
    #expect(throws: CertificateRefusal.notOwner) { try CertificateRequest(der: forged) }
    let uri = GeneralName.uniformResourceIdentifier(self.subject.description)
    let two = try self.request([uri, uri], key: key)
    #expect(throws: CertificateRefusal.names) { try CertificateRequest(der: two) }
    let host = try self.request([.dnsName("web.shop")], key: key)
    #expect(throws: CertificateRefusal.notSPIFFE) { try CertificateRequest(der: host) }
    let large = [UInt8](repeating: 0x30, count: MeshIdentity.largestCertificate + 1)
    #expect(throws: CertificateRefusal.unreadable) { try CertificateRequest(der: large) }
  }

  @Test("Every shortened and every changed request is refused or read, and none traps")
  func mutations() throws {
    let whole = try CertificateRequest.make(self.subject, key: IdentityKey())
    for length in 0..<whole.count {
      #expect(throws: CertificateRefusal.self) { try CertificateRequest(der: Array(whole[..<length])) }
    }
    var accepted = 0
    for index in whole.indices {
      for bit: UInt8 in [0x01, 0x80, 0xff] {
        var changed = whole
        changed[index] ^= bit
        if (try? CertificateRequest(der: changed)) != nil { accepted += 1 }
      }
    }
    #expect(accepted == 0, "all of it is signed")
  }

  private func request(_ names: [GeneralName], key: IdentityKey) throws -> [UInt8] {
    let extensions = try Certificate.Extensions { if !names.isEmpty { SubjectAlternativeNames(names) } }
    let request = try CertificateSigningRequest(
      version: .v1, subject: DistinguishedName(), privateKey: try .init(pemEncoded: key.pem),
      attributes: names.isEmpty ? .init() : .init([.init(ExtensionRequest(extensions: extensions))]))
    var serializer = DER.Serializer()
    try serializer.serialize(request)
    return serializer.serializedBytes
  }
}
