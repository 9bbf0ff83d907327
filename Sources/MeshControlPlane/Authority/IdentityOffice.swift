package import FoundationEssentials
package import Logging
package import MeshBase
package import MeshIdentity
import MeshStore
package import MeshTelemetry
package import MeshWire
import Synchronization

/// Lets nodes in, and signs for them: tokens, nodes that joined, and for whom a node may have a certificate. Every refusal is counted
/// by its reason and logged.
package final class IdentityOffice: IdentityAuthority {
  private static let limit = 16 << 20

  private struct Ledgers {
    var tokens = JoinLedger()
    var nodes = NodeLedger()
    var refused: [String: UInt64] = [:]
  }

  private let authority: AuthorityOffice
  private let tokenFile: StateFile
  private let nodeFile: StateFile
  private let isPlaced: @Sendable (SPIFFEID, _ node: String) -> Bool
  private let logger: Logger
  private let ledgers: Mutex<Ledgers>

  /// - Parameter isPlaced: a workload with this identity is placed on the node, in the snapshot that is served.
  package init(
    _ authority: AuthorityOffice, state: StateDirectory, logger: Logger,
    isPlaced: @escaping @Sendable (SPIFFEID, _ node: String) -> Bool
  ) throws(MeshError) {
    self.authority = authority
    self.tokenFile = state.tokens
    self.nodeFile = state.nodes
    self.isPlaced = isPlaced
    self.logger = logger
    var ledgers = Ledgers()
    if let entries = try Self.read([JoinLedger.Entry].self, self.tokenFile) { ledgers.tokens = JoinLedger(entries) }
    if let nodes = try Self.read(NodeLedger.self, self.nodeFile) { ledgers.nodes = nodes }
    self.ledgers = Mutex(ledgers)
  }

  private static func read<Value: Decodable>(_: Value.Type, _ file: StateFile) throws(MeshError) -> Value? {
    guard let bytes = try file.read(limit: Self.limit) else { return nil }
    guard let value = try? JSONDecoder().decode(Value.self, from: Data(bytes)) else {
      throw MeshError(
        .invalid, file.path, "is damaged",
        next:
          "bring it back from a backup; without it tokens that are open are lost, and nodes join again with new ones")
    }
    return value
  }

  private static func write(_ value: some Encodable, _ file: StateFile) throws(MeshError) {
    guard let data = try? JSONEncoder().encode(value) else {
      throw MeshError(.internal, file.path, "could not be written")
    }
    try file.write(Array(data))
  }

  // MARK: tokens and nodes

  /// A token that lets a host in, once, under the name `node`.
  package func createToken(node: String, lifetime: Double, now: Date) throws(MeshError) -> TokenReport {
    guard let root = self.authority.verifier?.bundle.roots.first else { throw AuthorityOffice.closed }
    let token = try self.ledgers.withLock { ledgers throws(MeshError) -> JoinToken in
      var tokens = ledgers.tokens
      var random = SystemRandomNumberGenerator()
      let token = try tokens.create(
        node: node, lifetime: lifetime, fingerprint: root.fingerprint, now: now, using: &random)
      try Self.write(Array(tokens.entries.values), self.tokenFile)
      ledgers.tokens = tokens
      return token
    }
    self.logger.info("token created", metadata: [LogKey.node: "\(node)", "token": "\(token.id)"])
    return TokenReport(
      token: token.description, id: token.id, node: node, expires: Timestamp(now.addingTimeInterval(lifetime)))
  }

  /// The node gets no other certificate without a new token. Throws `notFound` if it did not join.
  package func putOut(node: String) throws(MeshError) {
    try self.ledgers.withLock { ledgers throws(MeshError) in
      var nodes = ledgers.nodes
      guard nodes.putOut(node) else { throw MeshError(.notFound, "node \(node)", "did not join") }
      try Self.write(nodes, self.nodeFile)
      ledgers.nodes = nodes
    }
    self.logger.notice("node put out", metadata: [LogKey.node: "\(node)"])
  }

  /// Requests that were refused, by reason, since the start.
  package var refused: [String: UInt64] { self.ledgers.withLock { $0.refused } }

  // MARK: IdentityAuthority

  package var verifier: CertificateVerifier? { self.authority.verifier }

  package func server(now: Date) throws(MeshError) -> (chain: [[UInt8]], key: IdentityKey) {
    try self.authority.server(now: now)
  }

  package func join(node: String, token: String, request: [UInt8], now: Date) throws(MeshError) -> CertificateAnswer {
    guard let domain = self.verifier?.bundle.trustDomain else { throw AuthorityOffice.closed }
    let refusal = MeshError(
      .denied, "join", "the token is refused", next: "martlet token create --node NAME on the control plane's host")
    guard let parsed = JoinToken(token) else { throw self.refuse("token-unreadable", node, refusal) }
    guard let subject = CertificateSubject(node: node, trustDomain: domain) else {
      throw self.refuse("node-name", node, refusal)
    }
    let asked = try self.read(request, of: node)
    // The agent does not know the trust domain yet: what it asks for is not looked at. The lock is held until the disk has it: of two
    // that come with one token one gets in.
    let reason = try self.ledgers.withLock { ledgers throws(MeshError) -> JoinLedger.Refusal? in
      var tokens = ledgers.tokens
      do throws(JoinLedger.Refusal) {
        try tokens.redeem(parsed, node: node, key: asked.keyBytes, now: now)
      } catch {
        return error
      }
      var nodes = ledgers.nodes
      nodes.joined(node, key: asked.keyBytes, token: parsed.id, now: now)
      try Self.write(Array(tokens.entries.values), self.tokenFile)
      try Self.write(nodes, self.nodeFile)
      ledgers.tokens = tokens
      ledgers.nodes = nodes
      return nil
    }
    if let reason { throw self.refuse(reason.rawValue, node, refusal) }
    let answer = try self.answer(subject, asked, now: now)
    self.logger.notice("node joined", metadata: [LogKey.node: "\(node)", "token": "\(parsed.id)"])
    return answer
  }

  package func renew(request: [UInt8], now: Date) throws(MeshError) -> CertificateAnswer {
    let asked = try self.read(request, of: "?")
    let refusal = MeshError(
      .denied, "renewal", "the node did not join with this key", next: "join it again with a new token")
    guard case .node(_, let node)? = asked.subject, let subject = asked.subject else {
      throw self.refuse("node-name", "?", refusal)
    }
    do throws(NodeLedger.Refusal) {
      try self.ledgers.withLock { ledgers throws(NodeLedger.Refusal) in
        try ledgers.nodes.check(node, key: asked.keyBytes)
      }
    } catch {
      throw self.refuse(error.rawValue, node, refusal)
    }
    return try self.answer(subject, asked, now: now)
  }

  package func sign(request: [UInt8], node: String, now: Date) throws(MeshError) -> CertificateAnswer {
    guard let domain = self.verifier?.bundle.trustDomain else { throw AuthorityOffice.closed }
    let asked = try self.read(request, of: node)
    guard let subject = asked.subject else {
      throw self.refuse("no-name", node, MeshError(.invalid, "request", "does not say for whom"))
    }
    do throws(SigningPolicy.Refusal) {
      guard case .workload = subject else { throw .reserved }
      try SigningPolicy.decide(subject, for: .node(trustDomain: domain, name: node)) { self.isPlaced($0, node) }
    } catch {
      throw self.refuse(
        error.rawValue, node,
        MeshError(
          .denied, "\(subject)", "is not signed for node \(node): \(error.rawValue)",
          next: "a Workload with this identity and spec.node \(node) has to be there"), subject: subject)
    }
    return try self.answer(subject, asked, now: now)
  }

  private func answer(
    _ subject: CertificateSubject, _ asked: CertificateRequest, now: Date
  ) throws(MeshError) -> CertificateAnswer {
    let certificate = try self.authority.issue(subject, key: asked.publicKey, now: now)
    guard let bundle = self.verifier?.bundle else { throw AuthorityOffice.closed }
    return CertificateAnswer(
      trustDomain: bundle.trustDomain, chain: certificate.chain, roots: bundle.roots.map(\.der))
  }

  private func read(_ request: [UInt8], of node: String) throws(MeshError) -> CertificateRequest {
    do throws(CertificateRefusal) {
      return try CertificateRequest(der: request)
    } catch {
      throw self.refuse(
        error.rawValue, node, MeshError(.invalid, "request for a certificate", "is refused: \(error.rawValue)"))
    }
  }

  /// Counts it, and logs the first of each reason, the second, the fourth and so on: strangers may knock in a loop.
  private func refuse(
    _ reason: String, _ node: String, _ error: MeshError, subject: CertificateSubject? = nil
  ) -> MeshError {
    let count = self.ledgers.withLock { ledgers in
      ledgers.refused[reason, default: 0] &+= 1
      return ledgers.refused[reason] ?? 0
    }
    if count & (count &- 1) == 0 {
      var metadata: Logger.Metadata = [
        LogKey.reason: "\(reason)", LogKey.node: "\(String(node.prefix(253)).filter { $0.isASCII && !$0.isNewline })",
        LogKey.count: "\(count)",
      ]
      if let subject { metadata["identity"] = "\(subject)" }
      self.logger.warning("a certificate was refused", metadata: metadata)
    }
    return error
  }
}
