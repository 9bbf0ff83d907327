import FoundationEssentials
import MeshBase
import MeshIdentity
import Testing
import X509

/// The 10,000 of issue "between hosts", drawn with a seed: none is accepted, none traps.
@Suite("Bad certificates")
struct BadCertificateTests {
  struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      self.state &+= 0x9e37_79b9_7f4a_7c15
      var z = self.state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  @Test(
    "Ten thousand of them: broken encodings, wrong and second names, other domains, other authorities, out of time, wrong use"
  )
  func tenThousand() async throws {
    let fixture = try CertificateFixture()
    let stranger = try CertificateFixture()
    let now = CertificateFixture.now
    let verifier = fixture.verifier
    var random = Seeded(state: 6)
    let good = try fixture.chain(try fixture.leaf(.init()))
    #expect(await verifier.verify(good, purpose: .client, now: now) == .success(fixture.web))
    var reasons: [CertificateRefusal: Int] = [:]
    for number in 0..<10_000 {
      // Making one costs more than judging it: most are damaged copies.
      let chain =
        number % 20 == 0
        ? try fixture.chain(try Self.wrong(fixture, stranger, &random)) : Self.damaged(good, &random)
      switch await verifier.verify(chain, purpose: Bool.random(using: &random) ? .client : .server, now: now) {
      case .success(let subject):
        Issue.record("number \(number) was accepted as \(subject): \(chain[0]) for \(good[0])")
      case .failure(let refusal): reasons[refusal, default: 0] += 1
      }
    }
    #expect(reasons.values.reduce(0, +) == 10_000)
    #expect(reasons.keys.count >= 10, "all sorts of reasons: \(reasons)")
  }

  @Test("A signature with bits that are unused is not the same signature")
  func unusedBits() async throws {
    let fixture = try CertificateFixture()
    var tried = 0
    while tried < 4 {
      var chain = try fixture.chain(try fixture.leaf(.init()))
      guard let last = chain[0].last, last & 1 == 0 else { continue }
      tried += 1
      // Before the signature's sequence: 03 LENGTH UNUSED 30.
      let start = try #require(
        chain[0].indices.last {
          chain[0][$0] == 3 && chain[0].count - $0 == Int(chain[0][min($0 + 1, chain[0].count - 1)]) + 2
        })
      chain[0][start + 2] = 1
      let result = await fixture.verifier.verify(chain, purpose: .client, now: CertificateFixture.now)
      #expect(result == .failure(.unreadable))
    }
  }

  /// Some bytes of the leaf changed, cut off, doubled or put in.
  static func damaged(_ good: [[UInt8]], _ random: inout Seeded) -> [[UInt8]] {
    var leaf = good[0]
    switch Int.random(in: 0..<5, using: &random) {
    case 0: leaf.removeLast(Int.random(in: 1...leaf.count, using: &random))
    case 1: leaf.insert(UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0...leaf.count, using: &random))
    case 2: leaf.remove(at: Int.random(in: 0..<leaf.count, using: &random))
    case 3:
      let index = Int.random(in: 0..<leaf.count, using: &random)
      leaf[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    default:
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let index = Int.random(in: 0..<leaf.count, using: &random)
        leaf[index] &+= UInt8.random(in: 1...255, using: &random)
      }
      if leaf == good[0] { leaf[0] ^= 1 }
    }
    return [leaf, good[1]]
  }

  /// Well signed or not, with one thing wrong.
  static func wrong(
    _ fixture: CertificateFixture, _ stranger: CertificateFixture, _ random: inout Seeded
  ) throws -> Certificate {
    var draft = CertificateFixture.Draft()
    let uri = GeneralName.uniformResourceIdentifier(fixture.web.description)
    switch Int.random(in: 0..<10, using: &random) {
    case 0: draft.names = [uri, .dnsName("web-\(random.next()).shop")].shuffled(using: &random)
    case 1: draft.names = [.uniformResourceIdentifier("spiffe://m\(random.next()).local/ns/shop/sa/web")]
    case 2: draft.names = [.uniformResourceIdentifier("spiffe://mesh.local/ns/Shop\(random.next())/sa/web")]
    case 3: draft.notAfter = CertificateFixture.now.addingTimeInterval(-Double.random(in: 0...40, using: &random))
    case 4: draft.notBefore = CertificateFixture.now.addingTimeInterval(Double.random(in: 1...3_000, using: &random))
    case 5: draft.constraints = .isCertificateAuthority(maxPathLength: Int.random(in: 0...9, using: &random))
    case 6: draft.usage = KeyUsage(keyCertSign: Bool.random(using: &random), cRLSign: true)
    case 7: draft.extended = [.codeSigning]
    case 8: draft.names = nil
    default: return try fixture.leaf(draft, signer: stranger.key)
    }
    return try fixture.leaf(draft)
  }
}
