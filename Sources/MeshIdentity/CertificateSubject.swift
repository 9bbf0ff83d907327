package import MeshBase

/// Whose a certificate of the mesh can be. All are SPIFFE ids of the mesh's trust domain; their paths cannot be each other's, so
/// that no workload has a node's name.
package enum CertificateSubject: Hashable, Sendable, LosslessStringConvertible {
  /// `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`
  case workload(SPIFFEID)
  /// `spiffe://<trustDomain>/martlet/node/<node>`: an agent, towards the control plane.
  case node(trustDomain: String, name: String)
  /// `spiffe://<trustDomain>/martlet/control`: the control plane, towards agents.
  case control(trustDomain: String)

  /// Exactly a canonical form of one of the three.
  package init?(_ text: String) {
    if let workload = SPIFFEID(text) {
      self = .workload(workload)
      return
    }
    guard text.utf8.count <= 2048, text.hasPrefix("spiffe://") else { return nil }
    let parts = text.dropFirst("spiffe://".count).split(separator: "/", omittingEmptySubsequences: false)
    guard let domain = parts.first, SPIFFEID.isTrustDomain(domain) else { return nil }
    switch (parts.count, parts.dropFirst()) {
    case (3, ["martlet", "control"]):
      self = .control(trustDomain: String(domain))
    case (4, ["martlet", "node", parts[parts.count - 1]]):
      self.init(node: String(parts[3]), trustDomain: String(domain))
    default:
      return nil
    }
  }

  /// Nil if the node's name is none: a DNS subdomain, as in a Workload's `node`.
  package init?(node name: String, trustDomain: String) {
    guard SPIFFEID.isTrustDomain(trustDomain), ResourceName.isSubdomain(name) else { return nil }
    self = .node(trustDomain: trustDomain, name: name)
  }

  package var trustDomain: String {
    switch self {
    case .workload(let identity): identity.trustDomain
    case .node(let trustDomain, _), .control(let trustDomain): trustDomain
    }
  }

  package var description: String {
    switch self {
    case .workload(let identity): identity.description
    case .node(let trustDomain, let name): "spiffe://\(trustDomain)/martlet/node/\(name)"
    case .control(let trustDomain): "spiffe://\(trustDomain)/martlet/control"
    }
  }
}
