import FoundationEssentials
import Logging
import MeshAgent
import MeshBase
import MeshIdentity
import MeshWire
import Synchronization
import Testing

@Suite("Certificates of a node's workloads")
struct CertificateKeeperTests {
  /// An authority that signs what it is asked for, unless it is told to refuse.
  final class Signer: Sendable {
    let authority: CertificateAuthority
    let root: TrustRoot
    let refuses = Mutex(false)
    let asked = Mutex(0)

    init() throws {
      let (rootKey, key) = (IdentityKey(), IdentityKey())
      let root = try CertificateAuthority.makeRoot(trustDomain: "mesh.test", key: rootKey, now: .now)
      let signing = try CertificateAuthority.makeIntermediate(
        trustDomain: "mesh.test", key: key, root: root, rootKey: rootKey, now: .now)
      self.authority = try CertificateAuthority(trustDomain: "mesh.test", chain: [signing, root], key: key, now: .now)
      self.root = try TrustRoot(root)
    }

    func sign(_ request: [UInt8]) throws -> CertificateAnswer {
      self.asked.withLock { $0 += 1 }
      if self.refuses.withLock({ $0 }) { throw MeshError(.denied, "request", "refused by the test") }
      let asked = try CertificateRequest(der: request)
      guard let subject = asked.subject else { throw MeshError(.invalid, "request", "no name") }
      let issued = try self.authority.issue(subject, key: asked.publicKey, now: .now)
      return CertificateAnswer(trustDomain: "mesh.test", chain: issued.chain, roots: [self.root.der])
    }
  }

  private static func identity(_ name: String) throws -> SPIFFEID {
    try #require(SPIFFEID(trustDomain: "mesh.test", namespace: "shop", serviceAccount: name))
  }

  private func eventually(_ condition: () -> Bool) async -> Bool {
    for _ in 0..<2000 {
      if condition() { return true }
      try? await Task.sleep(for: .milliseconds(5))
    }
    return condition()
  }

  @Test("each identity that is placed here gets one with a key of its own, and loses it when it goes")
  func follows() async throws {
    let signer = try Signer()
    let keeper = CertificateKeeper(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
      try signer.sign($0)
    }
    let running = Task { await keeper.run() }
    let names = try (0..<10).map { try Self.identity("a\($0)") }
    await keeper.want(Set(names), signer: signer.root.der)
    #expect(await self.eventually { keeper.board.certificates.count == 10 })
    let keys = Set(keeper.board.certificates.values.map { $0.key.der })
    let asked = signer.asked.withLock { $0 }
    #expect(keys.count == 10)
    #expect(asked == 10)
    await keeper.want([names[0]], signer: signer.root.der)
    let left = Array(keeper.board.certificates.keys)
    #expect(left == [names[0]])
    running.cancel()
    await running.value
  }

  @Test("a refusal is told, tried again, and takes no certificate away")
  func refused() async throws {
    let signer = try Signer()
    signer.refuses.withLock { $0 = true }
    let keeper = CertificateKeeper(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
      try signer.sign($0)
    }
    let running = Task { await keeper.run() }
    let name = try Self.identity("a")
    await keeper.want([name], signer: signer.root.der)
    #expect(await self.eventually { keeper.board.problems[name]?.contains("refused by the test") == true })
    signer.refuses.withLock { $0 = false }
    #expect(await self.eventually { keeper.board.certificates[name] != nil })
    #expect(keeper.board.problems[name] == nil)
    running.cancel()
    await running.value
  }

  @Test("an answer for another identity, or another key, is not taken")
  func wrongAnswer() async throws {
    let signer = try Signer()
    let (name, other) = (try Self.identity("a"), try Self.identity("b"))
    let keeper = CertificateKeeper(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { _ in
      try signer.sign(try CertificateRequest.make(.workload(other), key: IdentityKey()))
    }
    let running = Task { await keeper.run() }
    await keeper.want([name], signer: signer.root.der)
    #expect(await self.eventually { keeper.board.problems[name] != nil })
    #expect(keeper.board.certificates.isEmpty)
    running.cancel()
    await running.value
  }
}
