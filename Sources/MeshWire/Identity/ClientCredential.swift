import FoundationEssentials
package import MeshIdentity

/// What an agent has when it opens a connection to the control plane.
package struct ClientCredential: Sendable {
  /// How the control plane is known.
  package enum Trust: Sendable {
    /// By the roots that the mesh trusts.
    case roots(CertificateVerifier)
    /// By SHA-256 of the root alone, from a token: nothing else is known yet.
    case fingerprint(String)
  }

  /// The node's own certificate; empty: none, as when it joins.
  package var chain: [[UInt8]]
  package var key: IdentityKey?
  package var trust: Trust

  package init(chain: [[UInt8]] = [], key: IdentityKey? = nil, trust: Trust) {
    self.chain = chain
    self.key = key
    self.trust = trust
  }

  /// Why what the server showed is not accepted; nil: it is.
  func judgeServer(_ presented: [[UInt8]], now: Date) async -> String? {
    let verdict: Result<CertificateSubject, CertificateRefusal> =
      switch self.trust {
      case .roots(let verifier): await verifier.verify(presented, purpose: .server, now: now)
      case .fingerprint(let fingerprint):
        await CertificateVerifier.verify(presented, pinned: fingerprint, purpose: .server, now: now)
      }
    switch verdict {
    case .success(.control): return nil
    case .success(let subject): return "\(subject) is not the control plane"
    case .failure(let refusal): return refusal.rawValue
    }
  }
}
