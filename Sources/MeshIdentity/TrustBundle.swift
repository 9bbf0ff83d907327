import Crypto
package import FoundationEssentials
package import MeshBase
import SwiftASN1
package import X509

/// A root that peers' chains may end in.
package struct TrustRoot: Hashable, Sendable {
  package let certificate: Certificate
  package let der: [UInt8]
  /// SHA-256 of the DER, as lower-case hex digits: how people and logs name it.
  package let fingerprint: String

  /// Throws `invalid` for a certificate that is no authority's.
  package init(_ certificate: Certificate) throws(MeshError) {
    guard CertificateAuthority.isAuthority(certificate) else {
      throw MeshError(.invalid, "\(certificate.subject)", "is not the certificate of an authority that signs")
    }
    guard let der = try? CertificateAuthority.der(certificate) else {
      throw MeshError(.internal, "\(certificate.subject)", "could not be written")
    }
    self.certificate = certificate
    self.der = der
    self.fingerprint = MeshIdentity.hex(SHA256.hash(data: der))
  }

  /// Bytes of a peer.
  package init(der: [UInt8]) throws(MeshError) {
    guard let certificate = LeafCertificate.read(der) else {
      throw MeshError(.invalid, "root certificate", "cannot be read")
    }
    try self.init(certificate)
  }

  package static func == (a: TrustRoot, b: TrustRoot) -> Bool { a.der == b.der }
  package func hash(into hasher: inout Hasher) { hasher.combine(self.der) }
}

/// The roots of one trust domain: several while one takes another's place.
package struct TrustBundle: Hashable, Sendable {
  package let trustDomain: String
  /// In the order in which they came; none twice.
  package private(set) var roots: [TrustRoot]

  package init(trustDomain: String, roots: [TrustRoot]) {
    self.trustDomain = trustDomain
    self.roots = []
    for root in roots { self.insert(root) }
  }

  /// PEM of one or more roots.
  package init(trustDomain: String, pem: String) throws(MeshError) {
    var roots: [TrustRoot] = []
    for certificate in try CertificateAuthority.certificates(pem: pem, object: "trust bundle of \(trustDomain)") {
      roots.append(try TrustRoot(certificate))
    }
    self.init(trustDomain: trustDomain, roots: roots)
  }

  package func pem() throws(MeshError) -> String { try CertificateAuthority.pem(self.roots.map(\.certificate)) }

  package mutating func insert(_ root: TrustRoot) {
    if !self.roots.contains(root) { self.roots.append(root) }
  }

  /// Without effect if it is the last: a bundle without roots would shut everybody out.
  @discardableResult
  package mutating func remove(_ root: TrustRoot) -> Bool {
    guard self.roots.count > 1, let index = self.roots.firstIndex(of: root) else { return false }
    self.roots.remove(at: index)
    return true
  }
}

/// Certificates that are not accepted any more, though they have not expired.
package struct RevocationList: Hashable, Sendable {
  package struct Item: Hashable, Sendable {
    /// SHA-1 of the issuer's key, as its certificates bear it.
    package var authorityKey: [UInt8]
    package var serial: [UInt8]

    package init(authorityKey: [UInt8], serial: [UInt8]) {
      self.authorityKey = authorityKey
      self.serial = serial
    }
  }

  package private(set) var items: [Item: Date] = [:]

  package init() {}

  /// `until`: when the certificate expires, after which it need not be remembered.
  package mutating func revoke(_ item: Item, until: Date) { self.items[item] = until }

  /// Forgets what has expired for longer than clocks differ.
  package mutating func expire(now: Date) {
    self.items = self.items.filter { now < $0.value.addingTimeInterval(MeshIdentity.backdating) }
  }

  package func contains(_ certificate: Certificate) -> Bool {
    guard !self.items.isEmpty else { return false }
    // One that does not say whose it is can match no item: then its serial number alone decides.
    guard let authority = try? certificate.extensions.authorityKeyIdentifier, let key = authority.keyIdentifier else {
      return self.items.keys.contains { $0.serial.elementsEqual(certificate.serialNumber.bytes) }
    }
    return self.items[Item(authorityKey: Array(key), serial: Array(certificate.serialNumber.bytes))] != nil
  }
}
