import FoundationEssentials
package import Logging
package import MeshBase
import MeshIdentity
import MeshLinux
import MeshSnapshot
package import MeshWire
import Synchronization

/// The node's own certificate, with which its agent speaks to the control plane: joins by a token, renews by the node's key, and joins
/// again by another token if it was away for so long that it does not know the control plane any more.
package actor NodeIdentity {
  package struct Configuration: Sendable {
    package var node: String
    package var controlPlane: SocketEndpoint
    /// A file with a token. Read when it is needed; without one the node has to have joined before.
    package var tokenFile: String?
    /// Below the agent's state directory.
    package var directory: String

    package init(node: String, controlPlane: SocketEndpoint, tokenFile: String?, directory: String) {
      self.node = node
      self.controlPlane = controlPlane
      self.tokenFile = tokenFile
      self.directory = directory
    }
  }

  private let configuration: Configuration
  private let disk: NodeIdentityDisk
  private let key: IdentityKey
  private let logger: Logger
  private var record: NodeIdentityDisk.Record?
  private var revoked = RevocationList()
  private var machine = RenewalMachine()
  private let bell = RenewalBell()
  private var problem: String?
  /// What connections take.
  private nonisolated let held = Mutex<ClientCredential?>(nil)

  /// Reads what is on disk. Throws for a file that is damaged, another node's, or that others may read.
  package init(_ configuration: Configuration, logger: Logger) throws(MeshError) {
    self.configuration = configuration
    self.logger = logger
    self.disk = NodeIdentityDisk(directory: configuration.directory)
    self.key = try self.disk.key()
    self.record = try self.disk.record(node: configuration.node)
  }

  /// Of the next connection. Throws `unavailable` before the node has joined.
  package nonisolated func credential() throws(MeshError) -> ClientCredential {
    guard let held = self.held.withLock({ $0 }) else {
      throw MeshError(
        .unavailable, "node certificate", "there is none yet",
        next: "this agent's log says why; a token is made by martlet token create on the control plane's host")
    }
    return held
  }

  /// The mesh trusts these roots now, and these certificates no more. Empty roots change nothing: nobody could be known.
  func trust(_ config: ConfigEntry) {
    self.revoked = RevocationList()
    for item in config.revoked {
      self.revoked.revoke(.init(authorityKey: item.authorityKey, serial: item.serial), until: .distantFuture)
    }
    guard var record = self.record, !config.trustRoots.isEmpty, record.trustDomain == config.trustDomain else { return }
    if record.roots != config.trustRoots {
      if record.roots.first != config.trustRoots.first {
        self.machine.hurry(to: RenewalClock.seconds + Double.random(in: 0...30))
      }
      record.roots = config.trustRoots
      self.keep(record)
    }
    self.publish()
    self.bell.now()
  }

  /// Until the task is cancelled.
  package func run() async {
    self.begin()
    var timer: Task<Void, Never>?
    self.bell.now()
    for await _ in self.bell.rings {
      timer?.cancel()
      for action in self.machine.tick(now: RenewalClock.seconds) { await self.perform(action) }
      timer = self.bell.after((self.machine.next ?? .infinity) - RenewalClock.seconds)
    }
    timer?.cancel()
  }

  private func begin() {
    _ = self.machine.wanted()
    if let record = self.record, let leaf = try? self.leaf(of: record) {
      self.publish()
      self.machine.succeeded(
        notBefore: leaf.notBefore, notAfter: leaf.notAfter, now: RenewalClock.seconds, wall: .now,
        jitter: .random(in: 0...1))
    } else {
      // The roots of an expired certificate still tell the control plane.
      self.publish()
      self.machine.failed(now: RenewalClock.seconds - 1, jitter: 0)
    }
  }

  private func leaf(of record: NodeIdentityDisk.Record) throws(MeshError) -> LeafCertificate {
    try CertificateAnswer(trustDomain: record.trustDomain, chain: record.chain, roots: record.roots).leaf(now: .now)
  }

  private func perform(_ action: RenewalMachine.Action) async {
    switch action {
    case .request: await self.obtain()
    case .alarm(let alarm):
      self.logger.warning(
        "the node's certificate is not renewed",
        metadata: ["left": "\(alarm.rawValue)", LogKey.reason: "\(self.problem ?? "")"])
    case .expired:
      self.logger.error("the node's certificate has expired", metadata: [LogKey.reason: "\(self.problem ?? "")"])
    }
  }

  /// The next certificate: by the node's key if it has joined, else or if that fails by a token that was not used yet.
  private func obtain() async {
    var failure: (any Error)?
    var fresh: NodeIdentityDisk.Record?
    if let record = self.record {
      do {
        fresh = try await self.renewed(record)
      } catch {
        failure = error
      }
    }
    if fresh == nil {
      do {
        fresh = try await self.joined() ?? fresh
      } catch {
        failure = error
      }
    }
    if let fresh, let leaf = try? self.leaf(of: fresh) {
      self.problem = nil
      self.keep(fresh)
      self.publish()
      self.machine.succeeded(
        notBefore: leaf.notBefore, notAfter: leaf.notAfter, now: RenewalClock.seconds, wall: .now,
        jitter: .random(in: 0...1))
      self.logger.info("the node has a certificate", metadata: ["until": "\(leaf.notAfter)"])
      return
    }
    self.machine.failed(now: RenewalClock.seconds, jitter: .random(in: 0...1))
    let text = failure.map { "\($0)" } ?? "there is no token that was not used yet"
    if text != self.problem {
      self.logger.error("the node gets no certificate", metadata: [LogKey.error: "\(text)"])
    }
    self.problem = text
  }

  private func renewed(_ record: NodeIdentityDisk.Record) async throws -> NodeIdentityDisk.Record {
    guard let subject = CertificateSubject(node: record.node, trustDomain: record.trustDomain) else {
      throw MeshError(.internal, "node \(record.node)", "is no name")
    }
    let verifier = try self.verifier(record)
    let answer = try await IdentityClient.ask(
      .renew(request: try CertificateRequest.make(subject, key: self.key)),
      .network(self.configuration.controlPlane) { ClientCredential(trust: .roots(verifier)) })
    return try self.checked(answer, token: record.token)
  }

  /// Nil: no token, or one that was used already.
  private func joined() async throws -> NodeIdentityDisk.Record? {
    guard let path = self.configuration.tokenFile else {
      guard self.record == nil else { return nil }
      throw MeshError(
        .notFound, "join token", "is not given, and this node did not join before",
        next:
          "martlet token create --node \(self.configuration.node) on the control plane's host, then --join-token-file")
    }
    let text = try DiskFile.readText(path, limit: 4096).filter { !$0.isWhitespace }
    guard let token = JoinToken(text) else {
      throw MeshError(.invalid, path, "is not a join token", next: "make one by martlet token create")
    }
    guard token.id != self.record?.token else { return nil }
    // The trust domain is not known yet, and what is asked for is not looked at.
    guard let subject = CertificateSubject(node: self.configuration.node, trustDomain: "unknown") else {
      throw MeshError(.invalid, "node \(self.configuration.node)", "is no name")
    }
    let fingerprint = token.fingerprint
    let answer = try await IdentityClient.ask(
      .join(
        node: self.configuration.node, token: text, request: try CertificateRequest.make(subject, key: self.key)),
      .network(self.configuration.controlPlane) { ClientCredential(trust: .fingerprint(fingerprint)) })
    self.logger.notice("joined", metadata: ["token": "\(token.id)"])
    return try self.checked(answer, token: token.id)
  }

  private func checked(_ answer: CertificateAnswer, token: String) throws(MeshError) -> NodeIdentityDisk.Record {
    let leaf = try answer.leaf(now: .now)
    guard case .node(_, self.configuration.node) = leaf.subject, leaf.isOf(self.key) else {
      throw MeshError(.invalid, "answer of the authority", "is a certificate of \(leaf.subject)")
    }
    return NodeIdentityDisk.Record(
      node: self.configuration.node, trustDomain: answer.trustDomain, chain: answer.chain, roots: answer.roots,
      token: token)
  }

  private func keep(_ record: NodeIdentityDisk.Record) {
    self.record = record
    do throws(MeshError) {
      try self.disk.write(record)
    } catch {
      self.logger.error("the node's certificate cannot be saved", metadata: [LogKey.error: "\(error)"])
    }
  }

  private func verifier(_ record: NodeIdentityDisk.Record) throws(MeshError) -> CertificateVerifier {
    var roots: [TrustRoot] = []
    for der in record.roots { roots.append(try TrustRoot(der: der)) }
    return CertificateVerifier(
      bundle: TrustBundle(trustDomain: record.trustDomain, roots: roots), revoked: self.revoked)
  }

  private func publish() {
    guard let record = self.record, let verifier = try? self.verifier(record) else { return }
    let credential = ClientCredential(chain: record.chain, key: self.key, trust: .roots(verifier))
    self.held.withLock { $0 = credential }
  }
}
