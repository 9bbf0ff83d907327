import FoundationEssentials
import MeshBase
import MeshIdentity
import MeshStore
import X509

/// A chain, and the key of its first certificate.
struct SigningFile: Sendable {
  var chain: [Certificate]
  var key: IdentityKey

  /// Certificates, then the key, in one text.
  init(pem: String, object: String) throws(MeshError) {
    let marker = "-----BEGIN PRIVATE KEY-----"
    guard let start = pem.firstRange(of: marker)?.lowerBound else {
      throw MeshError(.invalid, object, "has no private key in PEM", next: "bring it back from a backup")
    }
    self.chain = try CertificateAuthority.certificates(pem: String(pem[..<start]), object: object)
    self.key = try IdentityKey(pem: String(pem[start...]), object: object)
  }
}

extension Certificate {
  var validity: ClosedRange<Date> { self.notValidBefore...max(self.notValidBefore, self.notValidAfter) }
}

/// An authority that somebody else made: files that this process only reads.
package struct BroughtAuthority: Sendable, Equatable {
  private static let limit = 1 << 20

  /// The signing certificate first, then those above it.
  package var certificate: String
  package var key: String
  /// The roots that are trusted; one of them is that of the chain.
  package var root: String

  package init(certificate: String, key: String, root: String) {
    self.certificate = certificate
    self.key = key
    self.root = root
  }

  func load(trustDomain: String, now: Date) throws(MeshError) -> (AuthorityDirectory.Generation, others: [TrustRoot]) {
    let chain = try CertificateAuthority.certificates(pem: try self.text(self.certificate), object: self.certificate)
    let key = try IdentityKey(pem: try self.text(self.key, isSecret: true), object: self.key)
    let bundle: TrustBundle
    do throws(MeshError) {
      bundle = try TrustBundle(trustDomain: trustDomain, pem: try self.text(self.root))
    } catch {
      throw MeshError(error.code, self.root, error.message, cause: error.cause, next: error.next)
    }
    let authority: CertificateAuthority
    do throws(MeshError) {
      authority = try CertificateAuthority(trustDomain: trustDomain, chain: chain, key: key, now: now)
    } catch {
      throw MeshError(error.code, self.certificate, error.message, cause: error.cause, next: error.next)
    }
    guard let last = chain.last,
      let root = bundle.roots.first(where: {
        $0.certificate == last || $0.certificate.publicKey.isValidSignature(last.signature, for: last)
      })
    else {
      throw MeshError(
        .invalid, self.root, "holds no root that the chain of \(self.certificate) leads to",
        next: "put the certificate there that signed the last one of the chain")
    }
    return (AuthorityDirectory.Generation(root: root, authority: authority), bundle.roots.filter { $0 != root })
  }

  private func text(_ path: String, isSecret: Bool = false) throws(MeshError) -> String {
    guard let bytes = try StateFile(path: path, isSecret: isSecret).read(limit: Self.limit) else {
      throw MeshError(
        .notFound, path, "is not there", next: "give its path, as --ca-certificate, --ca-key or --ca-root")
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
