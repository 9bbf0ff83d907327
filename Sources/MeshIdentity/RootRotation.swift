package import FoundationEssentials
package import MeshBase

/// One root takes another's place, in steps that fail no handshake: first everybody trusts both, then the new one signs, then, when
/// nothing that the old one signed is valid any more, the old one goes.
///
///     steady(A) ─rotate(B)─► spreading(A, B) ─all acked, long enough─► signing(B, A) ─leaves of A expired─► steady(B)
///                                  └──────────abort──────────► steady(A)
///
/// What is signed never changes before every connected node has acknowledged the bundle that both are in. A node that is away then
/// and comes back asks for the bundle before it talks to anybody.
package struct RootRotation: Sendable, Equatable {
  package struct Configuration: Sendable, Equatable {
    /// Seconds for which both roots are spread at least: nodes that lost the control plane for a moment come back in it.
    package var spread: Double = 3600
    /// Seconds after which nothing is left that the old root signed: the longest leaf, and what clocks differ.
    package var longestLeaf: Double = CertificateAuthority.leafLifetime + 2 * MeshIdentity.backdating

    package static let defaults = Configuration()
  }

  package enum Phase: Equatable, Sendable {
    case steady(TrustRoot)
    /// `old` signs, both are trusted.
    case spreading(old: TrustRoot, new: TrustRoot, since: Date)
    /// `new` signs, both are trusted.
    case signing(new: TrustRoot, old: TrustRoot, since: Date)
  }

  /// What is to be done, after the phase is stored.
  package enum Action: Equatable, Sendable {
    /// Distribute a bundle of these roots.
    case publish([TrustRoot])
    /// Sign with the intermediate under this root from now on, and ask every node to renew.
    case sign(with: TrustRoot)
    /// The key of this root is of no use any more.
    case retire(TrustRoot)
  }

  package let configuration: Configuration
  package private(set) var phase: Phase

  /// `phase`: as stored; a new mesh begins with `.steady`.
  package init(_ phase: Phase, _ configuration: Configuration = .defaults) {
    self.phase = phase
    self.configuration = configuration
  }

  /// The root under which is signed now.
  package var signer: TrustRoot {
    switch self.phase {
    case .steady(let root): root
    case .spreading(let old, _, _): old
    case .signing(let new, _, _): new
    }
  }

  /// The roots that are trusted now.
  package var trusted: [TrustRoot] {
    switch self.phase {
    case .steady(let root): [root]
    case .spreading(let old, let new, _): [old, new]
    case .signing(let new, let old, _): [old, new]
    }
  }

  /// Somebody wants `new` in the place of the present root. Throws `conflict` while a rotation goes on, or if it is the present one.
  package mutating func rotate(to new: TrustRoot, now: Date) throws(MeshError) -> [Action] {
    guard case .steady(let old) = self.phase else {
      throw MeshError(
        .conflict, "root certificate", "another rotation is going on",
        next: "wait for its end: martlet ca show")
    }
    guard new != old else { throw MeshError(.conflict, "root certificate", "is the present one already") }
    self.phase = .spreading(old: old, new: new, since: now)
    return [.publish([old, new])]
  }

  /// Back to the old root: possible until the new one signs. Throws `conflict` after that or when there is nothing to take back.
  package mutating func abort() throws(MeshError) -> [Action] {
    guard case .spreading(let old, let new, _) = self.phase else {
      throw MeshError(
        .conflict, "root certificate", "there is no rotation that could be taken back",
        next: "once the new root signs, rotate again")
    }
    self.phase = .steady(old)
    return [.publish([old]), .retire(new)]
  }

  /// Time has passed. `allHold`: every connected node has acknowledged the bundle of `trusted`.
  package mutating func tick(now: Date, allHold: Bool) -> [Action] {
    switch self.phase {
    case .steady:
      return []
    case .spreading(let old, let new, let since):
      guard allHold, now.timeIntervalSince(since) >= self.configuration.spread else { return [] }
      self.phase = .signing(new: new, old: old, since: now)
      return [.sign(with: new)]
    case .signing(let new, let old, let since):
      guard now.timeIntervalSince(since) >= self.configuration.longestLeaf else { return [] }
      self.phase = .steady(new)
      return [.publish([new]), .retire(old)]
    }
  }
}
