package import FoundationEssentials
package import MeshBase
package import MeshIdentity

/// Who signs, as the server of the wire knows it: the control plane's authority.
package protocol IdentityAuthority: Sendable {
  /// What peers' certificates are judged by. Nil: nobody can be judged yet, and nobody is let in.
  var verifier: CertificateVerifier? { get }

  /// The control plane's own certificate, from the leaf to the root, and its key.
  func server(now: Date) throws(MeshError) -> (chain: [[UInt8]], key: IdentityKey)

  /// A token for a node's first certificate. What a refused peer is told says nothing of why.
  func join(node: String, token: String, request: [UInt8], now: Date) throws(MeshError) -> CertificateAnswer

  /// The next certificate of a node that joined: the request's signature proves who asks.
  func renew(request: [UInt8], now: Date) throws(MeshError) -> CertificateAnswer

  /// A certificate for a workload of `node`, which was verified.
  func sign(request: [UInt8], node: String, now: Date) throws(MeshError) -> CertificateAnswer
}

/// A certificate on its way to its owner.
package struct CertificateAnswer: Sendable, Equatable {
  package var trustDomain: String
  /// DER: the leaf, then the authority's, without a root.
  package var chain: [[UInt8]]
  /// DER of the roots that are trusted; the one that signs comes first.
  package var roots: [[UInt8]]

  package init(trustDomain: String, chain: [[UInt8]], roots: [[UInt8]]) {
    self.trustDomain = trustDomain
    self.chain = chain
    self.roots = roots
  }
}
