package import FoundationEssentials
package import MeshBase
package import MeshIdentity
import MeshWire

/// A workload's certificate, its key, and whom it trusts: what the node proxy speaks for it with.
package struct WorkloadCertificate: Sendable {
  package var identity: SPIFFEID
  /// DER: the leaf, then the authority's, without a root.
  package var chain: [[UInt8]]
  /// `der` is PKCS #8.
  package var key: IdentityKey
  /// DER of the roots that peers' chains may lead to.
  package var roots: [[UInt8]]
  /// Big-endian.
  package var serial: [UInt8]
  package var notBefore: Date
  package var notAfter: Date

  /// Of what the authority answered. Throws `invalid` for a certificate of somebody else, or of another key's.
  init(_ answer: CertificateAnswer, identity: SPIFFEID, key: IdentityKey, now: Date) throws(MeshError) {
    let leaf = try answer.leaf(now: now)
    guard leaf.subject == .workload(identity), leaf.isOf(key) else {
      throw MeshError(.invalid, "\(identity)", "the authority answered with a certificate of \(leaf.subject)")
    }
    self.identity = identity
    self.chain = answer.chain
    self.key = key
    self.roots = answer.roots
    self.serial = leaf.serial
    self.notBefore = leaf.notBefore
    self.notAfter = leaf.notAfter
  }
}

extension CertificateAnswer {
  func leaf(now: Date) throws(MeshError) -> LeafCertificate {
    guard let der = self.chain.first else { throw MeshError(.invalid, "certificate", "is missing") }
    do throws(CertificateRefusal) {
      return try LeafCertificate(der: der, trustDomain: self.trustDomain, purpose: .client, now: now)
    } catch {
      throw MeshError(
        .invalid, "certificate", "the authority's answer is not good: \(error.rawValue)",
        next: error == .notYetValid || error == .expired ? "compare the clocks of both hosts" : nil)
    }
  }
}
