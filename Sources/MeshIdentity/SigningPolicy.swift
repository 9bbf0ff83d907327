package import MeshBase

/// Whom the authority signs for. A node has what it needs and nothing more: a host that somebody took over cannot speak for workloads
/// of other hosts (`hostile-inputs` TL-14).
package enum SigningPolicy {
  /// Why a request is refused: stable words for events, metrics and logs.
  package enum Refusal: String, Error, Sendable, CaseIterable {
    /// Who asks has not the certificate of a node.
    case notNode = "asked-by-no-node"
    /// The control plane's own name, or a name of another trust domain.
    case reserved = "name-reserved"
    /// A node may renew its own certificate only.
    case otherNode = "other-node"
    /// No workload with this identity is placed on the node.
    case notPlaced = "identity-not-placed"
  }

  /// - Parameters:
  ///   - peer: who asks, by a certificate that was verified.
  ///   - placed: the identities of the workloads that are placed on that node, in the snapshot that is served.
  package static func decide(
    _ subject: CertificateSubject, for peer: CertificateSubject, placed: (SPIFFEID) -> Bool
  ) throws(Refusal) {
    guard case .node(let domain, let name) = peer else { throw .notNode }
    guard subject.trustDomain == domain else { throw .reserved }
    switch subject {
    case .control: throw .reserved
    case .node(_, let other): if other != name { throw .otherNode }
    case .workload(let identity): if !placed(identity) { throw .notPlaced }
    }
  }
}
