import FoundationEssentials
import MeshBase
import MeshIdentity
import Testing

@Suite("Joining")
struct JoinTests {
  static let now = CertificateFixture.now
  static let fingerprint = String(repeating: "ab", count: 32)

  func made(_ ledger: inout JoinLedger, node: String = "host-1", seed: UInt64 = 1) throws -> JoinToken {
    var random = BadCertificateTests.Seeded(state: seed)
    return try ledger.create(node: node, lifetime: 3_600, fingerprint: Self.fingerprint, now: Self.now, using: &random)
  }

  func refusal(_ ledger: JoinLedger, _ token: JoinToken, node: String = "host-1", key: [UInt8] = [1], after: Double = 0)
    -> JoinLedger.Refusal?
  {
    var ledger = ledger
    do throws(JoinLedger.Refusal) {
      try ledger.redeem(token, node: node, key: key, now: Self.now.addingTimeInterval(after))
      return nil
    } catch {
      return error
    }
  }

  @Test("A token is read as it was written; anything else is none; its secret is shown by its text alone")
  func texts() throws {
    var ledger = JoinLedger()
    let token = try self.made(&ledger)
    let text = token.description
    #expect(JoinToken(text) == token && token.fingerprint == Self.fingerprint)
    var dumped = ""
    dump(token, to: &dumped)
    let secret = text.split(separator: ".")[2]
    #expect(!dumped.contains(secret) && !String(reflecting: token).contains(secret))
    for wrong in [
      "", "martlet1", text.uppercased(), text + "0", String(text.dropLast()), "martlet2" + text.dropFirst(8),
      text + ".",
      text.filter { $0 != "." }, "martlet1...", String(repeating: ".", count: 500),
    ] {
      #expect(JoinToken(wrong) == nil, "\(wrong)")
    }
  }

  @Test("It lets its own node in once; the same key may ask again, because an answer can be lost")
  func once() throws {
    var ledger = JoinLedger()
    let token = try self.made(&ledger)
    #expect(self.refusal(ledger, token, node: "host-2") == .wrongNode)
    #expect(self.refusal(ledger, token, after: 3_600) == .expired)
    try ledger.redeem(token, node: "host-1", key: [1, 2], now: Self.now)
    #expect(self.refusal(ledger, token, key: [1, 2], after: 10) == nil)
    #expect(self.refusal(ledger, token, key: [1, 3]) == .used)
  }

  @Test("Another secret, a token taken back, one forgotten a day after its end: each has its reason")
  func strangers() throws {
    var ledger = JoinLedger()
    let token = try self.made(&ledger)
    var parts = token.description.split(separator: ".").map(String.init)
    parts[2] = String(parts[2].reversed())
    let forged = try #require(JoinToken(parts.joined(separator: ".")))
    #expect(self.refusal(ledger, forged) == .wrongSecret)
    var later = ledger
    later.forget(now: Self.now.addingTimeInterval(3_600 + 86_399))
    #expect(self.refusal(later, token, after: 90_000) == .expired)
    later.forget(now: Self.now.addingTimeInterval(3_600 + 86_400))
    #expect(self.refusal(later, token) == .unknown)
    let back = ledger.takeBack(id: token.id)
    let again = ledger.takeBack(id: token.id)
    #expect(back && !again && self.refusal(ledger, token) == .unknown)
  }

  @Test("Names and lifetimes that cannot be are refused")
  func invalid() throws {
    var random = BadCertificateTests.Seeded(state: 2)
    for (node, lifetime) in [
      ("", 60.0), ("Host", 60), ("a/b", 60), ("..", 60), ("host", 0), ("host", -1), ("host", 31 * 86_400),
      ("host", .nan),
    ] {
      #expect(throws: MeshError.self) {
        var ledger = JoinLedger()
        _ = try ledger.create(
          node: node, lifetime: lifetime, fingerprint: Self.fingerprint, now: Self.now, using: &random)
      }
    }
  }

  @Test("What is kept holds no secret")
  func kept() throws {
    var ledger = JoinLedger()
    let token = try self.made(&ledger)
    let secret = String(token.description.split(separator: ".")[2])
    var text = ""
    dump(ledger, to: &text)
    #expect(!text.contains(secret) && text.contains(token.id))
    #expect(JoinLedger(Array(ledger.entries.values)) == ledger)
  }

  @Test("The authority signs for a node its own name and the identities that are placed on it")
  func signing() throws {
    let web = try #require(SPIFFEID("spiffe://mesh.local/ns/shop/sa/web"))
    let other = try #require(SPIFFEID("spiffe://mesh.local/ns/shop/sa/db"))
    let host = try #require(CertificateSubject(node: "host-1", trustDomain: "mesh.local"))
    let neighbour = try #require(CertificateSubject(node: "host-2", trustDomain: "mesh.local"))
    func refusal(_ subject: CertificateSubject, _ peer: CertificateSubject) -> SigningPolicy.Refusal? {
      do throws(SigningPolicy.Refusal) {
        try SigningPolicy.decide(subject, for: peer) { $0 == web }
        return nil
      } catch {
        return error
      }
    }
    #expect(refusal(.workload(web), host) == nil)
    #expect(refusal(host, host) == nil)
    #expect(refusal(.workload(other), host) == .notPlaced)
    #expect(refusal(neighbour, host) == .otherNode)
    #expect(refusal(.control(trustDomain: "mesh.local"), host) == .reserved)
    #expect(refusal(.workload(web), .workload(web)) == .notNode)
    #expect(refusal(.workload(web), .control(trustDomain: "mesh.local")) == .notNode)
    let stranger = try #require(CertificateSubject(node: "host-1", trustDomain: "other.local"))
    #expect(refusal(.workload(web), stranger) == .reserved)
  }
}
