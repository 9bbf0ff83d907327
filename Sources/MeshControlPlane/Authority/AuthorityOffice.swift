package import FoundationEssentials
package import MeshBase
package import MeshIdentity
import MeshTelemetry
import Synchronization
import X509

/// The certificate authority of this control plane: signs, and replaces its root in steps. Opened with the first complete state
/// of the resources, which says the trust domain.
package final class AuthorityOffice: Sendable {
  package enum Source: Sendable {
    case directory(AuthorityDirectory)
    case brought(BroughtAuthority)
  }

  /// How long certificates under a root that retires live, and for how long both roots are spread.
  package struct Configuration: Sendable {
    package var rotation = RootRotation.Configuration.defaults
    package var leafLifetime = CertificateAuthority.leafLifetime

    package init() {}
  }

  struct State {
    var trustDomain: String
    var rotation: RootRotation
    /// By fingerprint of the root: of those that may sign.
    var authorities: [String: CertificateAuthority]
    /// Trusted, and never signing: somebody brought them.
    var others: [TrustRoot] = []
    var revoked = RevocationList()
    var loaded: Date
    var issued: UInt64 = 0
    var server: ServerCredential?

    var signer: CertificateAuthority? { self.authorities[self.rotation.signer.fingerprint] }
    /// The one that signs comes first.
    var roots: [TrustRoot] {
      [self.rotation.signer] + self.rotation.trusted.filter { $0 != self.rotation.signer } + self.others
    }
  }

  struct ServerCredential {
    var certificate: IssuedCertificate
    var key: IdentityKey
    var root: TrustRoot
  }

  let source: Source
  let configuration: Configuration
  let state = Mutex<State?>(nil)
  /// Roots or revocations are others. For one reader.
  package let changes: AsyncStream<Void>
  private let changed: AsyncStream<Void>.Continuation
  /// Files are read again, and intermediates looked at, so often.
  private static let reloadInterval: Double = 3600

  package init(_ source: Source, _ configuration: Configuration = Configuration()) {
    self.source = source
    self.configuration = configuration
    (self.changes, self.changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Reads the authority of `trustDomain`, or makes one if there is none yet. Without effect once it is open.
  package func open(trustDomain: String, now: Date) throws(MeshError) {
    if let present = self.state.withLock({ $0?.trustDomain }) {
      guard present == trustDomain else { throw Self.otherDomain(present, trustDomain) }
      return
    }
    let state = try self.load(trustDomain: trustDomain, now: now)
    self.state.withLock { $0 = state }
    self.changed.yield()
  }

  private static func otherDomain(_ present: String, _ wanted: String) -> MeshError {
    MeshError(
      .conflict, "certificate authority", "is of the trust domain \(present), and the resources say \(wanted)",
      next: "set it back, or move the directory ca away and restart: every node has to join again then")
  }

  private func load(trustDomain: String, now: Date) throws(MeshError) -> State {
    switch self.source {
    case .brought(let files):
      let (generation, others) = try files.load(trustDomain: trustDomain, now: now)
      return State(
        trustDomain: trustDomain, rotation: RootRotation(.steady(generation.root)),
        authorities: [generation.root.fingerprint: generation.authority], others: others, loaded: now)
    case .directory(let directory):
      guard let record = try directory.record() else {
        let made = try directory.make(trustDomain: trustDomain, now: now)
        let state = State(
          trustDomain: trustDomain, rotation: RootRotation(.steady(made.root), self.configuration.rotation),
          authorities: [made.root.fingerprint: made.authority], loaded: now)
        try directory.write(Self.record(of: state))
        return state
      }
      guard record.trustDomain == trustDomain else { throw Self.otherDomain(record.trustDomain, trustDomain) }
      return try Self.state(of: record, directory, self.configuration, now: now)
    }
  }

  /// What `body` changes is on disk before it is in force.
  func change<Result: Sendable>(
    _ body: (inout State, AuthorityDirectory) throws(MeshError) -> Result
  ) throws(MeshError) -> Result {
    guard case .directory(let directory) = self.source else {
      throw MeshError(
        .unsupported, "certificate authority", "is read from files that somebody brought",
        next: "put the new root beside the old one into the file of --ca-root, wait until every node has both, then "
          + "replace the other two files; they are read again every hour and at a start")
    }
    let result = try self.state.withLock { state throws(MeshError) -> Result in
      guard var next = state else { throw Self.closed }
      let result = try body(&next, directory)
      try directory.write(Self.record(of: next))
      state = next
      return result
    }
    self.changed.yield()
    return result
  }

  static var closed: MeshError {
    MeshError(
      .unavailable, "certificate authority", "is not open yet", next: "the control plane's log says why; try again")
  }

  /// Time has passed. `allHold`: every connected node has acknowledged the roots that are trusted now.
  package func tick(now: Date, allHold: Bool) throws(MeshError) {
    guard let (rotation, loaded) = self.state.withLock({ $0.map { ($0.rotation, $0.loaded) } }) else { return }
    var next = rotation
    if !next.tick(now: now, allHold: allHold).isEmpty {
      try self.change { state, directory throws(MeshError) in
        let actions = state.rotation.tick(now: now, allHold: allHold)
        for case .retire(let root) in actions {
          state.authorities[root.fingerprint] = nil
          directory.forget(root.fingerprint)
        }
      }
    }
    guard now.timeIntervalSince(loaded) >= Self.reloadInterval else { return }
    try self.reload(now: now)
  }

  /// What is on disk now: an intermediate whose life is half over is made anew, files that were brought may be others.
  private func reload(now: Date) throws(MeshError) {
    guard let old = self.state.withLock({ $0 }) else { return }
    var fresh = try self.load(trustDomain: old.trustDomain, now: now)
    self.state.withLock { state in
      fresh.issued = state?.issued ?? 0
      state = fresh
    }
    if fresh.roots != old.roots || fresh.revoked != old.revoked { self.changed.yield() }
  }
}

extension AuthorityOffice {
  static func record(of state: State) -> AuthorityDirectory.Record {
    var record = AuthorityDirectory.Record(
      trustDomain: state.trustDomain, step: .steady, signer: state.rotation.signer.fingerprint)
    switch state.rotation.phase {
    case .steady: break
    case .spreading(_, let new, let since):
      record.step = .spreading
      record.other = new.fingerprint
      record.since = since.timeIntervalSince1970
      record.spreadSeconds = state.rotation.configuration.spread
    case .signing(_, let old, let since):
      record.step = .signing
      record.other = old.fingerprint
      record.since = since.timeIntervalSince1970
    }
    record.revoked = state.revoked.items.map { item, until in
      .init(authorityKey: item.authorityKey, serial: item.serial, until: until.timeIntervalSince1970)
    }
    return record
  }

  private static func state(
    of record: AuthorityDirectory.Record, _ directory: AuthorityDirectory, _ configuration: Configuration, now: Date
  ) throws(MeshError) -> State {
    let domain = record.trustDomain
    let signer = try directory.load(record.signer, trustDomain: domain, now: now)
    var authorities = [signer.root.fingerprint: signer.authority]
    var phase = RootRotation.Phase.steady(signer.root)
    if let fingerprint = record.other, record.step != .steady {
      let other = try directory.load(fingerprint, trustDomain: domain, now: now)
      authorities[fingerprint] = other.authority
      let since = Date(timeIntervalSince1970: record.since ?? now.timeIntervalSince1970)
      phase =
        record.step == .spreading
        ? .spreading(old: signer.root, new: other.root, since: since)
        : .signing(new: signer.root, old: other.root, since: since)
    }
    var rotation = configuration.rotation
    if let spread = record.spreadSeconds { rotation.spread = spread }
    var state = State(
      trustDomain: domain, rotation: RootRotation(phase, rotation), authorities: authorities, loaded: now)
    for item in record.revoked ?? [] {
      state.revoked.revoke(
        .init(authorityKey: item.authorityKey, serial: item.serial), until: Date(timeIntervalSince1970: item.until))
    }
    state.revoked.expire(now: now)
    return state
  }
}
