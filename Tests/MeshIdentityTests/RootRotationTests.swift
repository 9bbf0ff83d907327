import FoundationEssentials
import MeshBase
import MeshIdentity
import Testing

@Suite("Rotation of the root")
struct RootRotationTests {
  let a: TrustRoot
  let b: TrustRoot
  let start = CertificateFixture.now

  init() throws {
    self.a = try TrustRoot(try CertificateFixture().root)
    self.b = try TrustRoot(try CertificateFixture().root)
  }

  func at(_ seconds: Double) -> Date { self.start.addingTimeInterval(seconds) }

  @Test("Both are trusted before the new one signs and until the old one's leaves have ended")
  func steps() throws {
    var rotation = RootRotation(.steady(self.a))
    #expect(rotation.tick(now: self.start, allHold: true) == [])
    let begun = try rotation.rotate(to: self.b, now: self.start)
    #expect(begun == [.publish([self.a, self.b])])
    #expect(rotation.phase == .spreading(old: self.a, new: self.b, since: self.start))
    #expect(rotation.signer == self.a && rotation.trusted == [self.a, self.b])

    let unacknowledged = rotation.tick(now: self.at(7_200), allHold: false)
    #expect(unacknowledged == [], "somebody does not hold it yet")
    let early = rotation.tick(now: self.at(3_599), allHold: true)
    #expect(early == [])
    let signs = rotation.tick(now: self.at(7_201), allHold: true)
    #expect(signs == [.sign(with: self.b)])
    #expect(rotation.phase == .signing(new: self.b, old: self.a, since: self.at(7_201)))
    #expect(rotation.signer == self.b && Set(rotation.trusted) == [self.a, self.b])

    let still = rotation.tick(now: self.at(7_201 + 86_639), allHold: true)
    #expect(still == [])
    let done = rotation.tick(now: self.at(7_201 + 86_640), allHold: false)
    #expect(done == [.publish([self.b]), .retire(self.a)])
    #expect(rotation.phase == .steady(self.b) && rotation.trusted == [self.b])
  }

  @Test("It can be taken back until the new root signs, and not after")
  func abort() throws {
    var rotation = RootRotation(.steady(self.a))
    #expect(throws: MeshError.self) { try RootRotation(.steady(self.a)).aborted() }
    _ = try rotation.rotate(to: self.b, now: self.start)
    let back = try rotation.abort()
    #expect(back == [.publish([self.a]), .retire(self.b)] && rotation.phase == .steady(self.a))
    _ = try rotation.rotate(to: self.b, now: self.start)
    _ = rotation.tick(now: self.at(4_000), allHold: true)
    #expect(throws: MeshError.self) { try rotation.aborted() }
    #expect(rotation.signer == self.b)
  }

  @Test("One rotation at a time, and not to the root that is there")
  func conflicts() throws {
    var rotation = RootRotation(.steady(self.a))
    #expect(throws: MeshError.self) { try rotation.rotated(to: self.a, now: self.start) }
    _ = try rotation.rotate(to: self.b, now: self.start)
    #expect(throws: MeshError.self) { try rotation.rotated(to: self.a, now: self.start) }
    #expect(rotation.phase == .spreading(old: self.a, new: self.b, since: self.start))
  }

  @Test(
    "A leaf that the signer made at any moment is trusted for all of its life, with whatever acknowledgements come (TL-13)"
  )
  func law() throws {
    var random = BadCertificateTests.Seeded(state: 13)
    for _ in 0..<20 {
      var rotation = RootRotation(.steady(self.a))
      var trusted: [(Double, [TrustRoot])] = []
      var signed: [(Double, TrustRoot)] = []
      let begin = Double.random(in: 0...50_000, using: &random)
      for step in 0..<400 {
        let now = Double(step) * 900
        if now >= begin, case .steady(self.a) = rotation.phase {
          _ = try rotation.rotate(to: self.b, now: self.at(now))
        }
        _ = rotation.tick(now: self.at(now), allHold: Bool.random(using: &random))
        trusted.append((now, rotation.trusted))
        signed.append((now, rotation.signer))
      }
      var wrong = 0
      for (moment, signer) in signed {
        for (later, roots) in trusted where later >= moment && later < moment + CertificateAuthority.leafLifetime {
          if !roots.contains(signer) { wrong += 1 }
        }
      }
      #expect(wrong == 0)
      #expect(rotation.phase == .steady(self.b))
    }
  }
}

extension RootRotation {
  func aborted() throws -> [Action] {
    var copy = self
    return try copy.abort()
  }

  func rotated(to root: TrustRoot, now: Date) throws -> [Action] {
    var copy = self
    return try copy.rotate(to: root, now: now)
  }
}
