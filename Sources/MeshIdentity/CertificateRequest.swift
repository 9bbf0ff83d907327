package import MeshBase
import SwiftASN1
package import X509

/// What somebody asks an authority to sign: a public key, whose owner signed the request (PKCS #10, RFC 2986). The name in it,
/// if there is one, is a wish; what is signed is decided by the authority's caller.
package struct CertificateRequest: Sendable {
  package let publicKey: Certificate.PublicKey
  /// DER of its SubjectPublicKeyInfo: what ledgers know the key by.
  package var keyBytes: [UInt8] { Array(self.publicKey.subjectPublicKeyInfoBytes) }
  /// The one name that it asks for.
  package let subject: CertificateSubject?

  /// Bytes of a peer.
  package init(der: [UInt8]) throws(CertificateRefusal) {
    guard SignedDER.isExact(der) else { throw .unreadable }
    let request: CertificateSigningRequest
    let names: SubjectAlternativeNames?
    do {
      request = try CertificateSigningRequest(derEncoded: der)
      names = try request.attributes.extensionRequest?.extensions.subjectAlternativeNames
    } catch {
      throw .unreadable
    }
    guard LeafCertificate.isStrong(request.publicKey) else { throw .weakKey }
    guard LeafCertificate.isStrong(request.signatureAlgorithm) else { throw .weakSignature }
    guard request.publicKey.isValidSignature(request.signature, for: request) else { throw .notOwner }
    self.publicKey = request.publicKey
    if let names {
      guard names.count == 1 else { throw .names }
      guard case .uniformResourceIdentifier(let text) = names[0], let subject = CertificateSubject(text) else {
        throw .notSPIFFE
      }
      self.subject = subject
    } else {
      self.subject = nil
    }
  }

  /// DER of a request for `subject`, signed by `key`.
  package static func make(_ subject: CertificateSubject, key: IdentityKey) throws(MeshError) -> [UInt8] {
    do {
      let names = try Certificate.Extensions {
        SubjectAlternativeNames([.uniformResourceIdentifier(subject.description)])
      }
      let request = try CertificateSigningRequest(
        version: .v1, subject: DistinguishedName(), privateKey: key.signing,
        attributes: .init([.init(ExtensionRequest(extensions: names))]))
      var serializer = DER.Serializer()
      try serializer.serialize(request)
      return serializer.serializedBytes
    } catch {
      throw MeshError(.internal, "certificate request for \(subject)", "could not be written", cause: "\(error)")
    }
  }
}
