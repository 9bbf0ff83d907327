import FoundationEssentials
import MeshIdentity
import Testing

@Suite("Renewal of certificates")
struct RenewalMachineTests {
  static let wall = Date(timeIntervalSince1970: 1_800_000_000)
  static let day = 86_400.0

  func held(jitter: Double = 0) -> RenewalMachine {
    var machine = RenewalMachine()
    _ = machine.wanted()
    machine.succeeded(
      notBefore: Self.wall, notAfter: Self.wall.addingTimeInterval(Self.day), now: 0, wall: Self.wall, jitter: jitter)
    return machine
  }

  @Test("The first certificate is asked for once, and the next one at 40 to 48 % of its life")
  func renews() throws {
    var machine = RenewalMachine()
    #expect(machine.next == nil && !machine.hasCertificate)
    let first = machine.wanted()
    #expect(first == .request)
    #expect(machine.phase == .requesting(attempt: 1))
    let again = machine.wanted()
    #expect(again == nil)
    for (jitter, part) in [(0.0, 0.4), (1.0, 0.48), (0.5, 0.44)] {
      var machine = self.held(jitter: jitter)
      let next = try #require(machine.next)
      #expect(machine.hasCertificate && abs(next - Self.day * part) < 0.001)
      let early = machine.tick(now: next - 1)
      #expect(early.isEmpty)
      let due = machine.tick(now: next)
      #expect(due == [.request] && machine.phase == .requesting(attempt: 1))
      let twice = machine.tick(now: Self.day * part + 1)
      #expect(!twice.contains(.request), "one at a time")
    }
  }

  @Test("A failed one is asked for again after 1, 2, 4 … at most 300 s, at least half of it; the old one stays")
  func retries() {
    var machine = self.held()
    var now = Self.day * 0.4
    _ = machine.tick(now: now)
    for attempt in 1...12 {
      machine.failed(now: now, jitter: attempt % 2 == 0 ? 0 : 1)
      let wait = min(Double(1 << (attempt - 1)), 300) * (attempt % 2 == 0 ? 0.5 : 1)
      #expect(machine.phase == .waiting(until: now + wait, attempt: attempt))
      #expect(machine.hasCertificate)
      now += wait
      let actions = machine.tick(now: now)
      #expect(actions.contains(.request))
    }
    machine.succeeded(
      notBefore: Self.wall, notAfter: Self.wall.addingTimeInterval(Self.day), now: now, wall: Self.wall, jitter: 0)
    #expect(machine.phase == .waiting(until: now + Self.day * 0.4, attempt: 0))
    machine.failed(now: now, jitter: 0)
    #expect(machine.phase == .waiting(until: now + Self.day * 0.4, attempt: 0), "nobody asked")
  }

  @Test("While nobody answers, it is told at a half, a quarter and a tenth of its life, and at its end, once each")
  func alarms() {
    var machine = self.held()
    var told: [(Double, RenewalMachine.Action)] = []
    for minute in 0...(25 * 60) {
      let now = Double(minute) * 60
      for action in machine.tick(now: now) where action != .request { told.append((now / Self.day, action)) }
      machine.failed(now: now, jitter: 1)
    }
    #expect(told.map(\.1) == [.alarm(.half), .alarm(.quarter), .alarm(.tenth), .expired])
    #expect(told.map { ($0.0 * 100).rounded() } == [50, 75, 90, 100])
    #expect(!machine.hasCertificate)
  }

  @Test("A machine that slept through two alarms tells the later one")
  func slept() {
    var machine = self.held()
    let actions = machine.tick(now: Self.day * 0.95)
    #expect(actions == [.alarm(.tenth), .request])
    #expect(machine.next == Self.day)
  }

  @Test(
    "A wall clock that is ten minutes behind or two hours ahead moves neither renewal nor end by more than it differs (XD-12)"
  )
  func clocks() {
    for difference in [-600.0, 0, 600, 7_200] {
      var machine = RenewalMachine()
      machine.succeeded(
        notBefore: Self.wall, notAfter: Self.wall.addingTimeInterval(Self.day), now: 1_000,
        wall: Self.wall.addingTimeInterval(difference), jitter: 0)
      // Nothing that the wall clock does later matters.
      let renewal = 1_000 + Self.day * 0.4 - max(difference, 0)
      #expect(machine.next == renewal)
      let end = 1_000 + Self.day - max(difference, 0)
      let before = machine.tick(now: end - 1)
      #expect(!before.contains(.expired))
      let after = machine.tick(now: end)
      #expect(after.contains(.expired))
    }
  }

  @Test("One from the disk that has nearly ended is renewed at once, and one that has ended is not used")
  func old() {
    var machine = RenewalMachine()
    machine.succeeded(
      notBefore: Self.wall.addingTimeInterval(-Self.day * 0.8), notAfter: Self.wall.addingTimeInterval(Self.day * 0.2),
      now: 5,
      wall: Self.wall, jitter: 0)
    let actions = machine.tick(now: 5)
    #expect(actions == [.alarm(.quarter), .request])
    var ended = RenewalMachine()
    ended.succeeded(
      notBefore: Self.wall.addingTimeInterval(-Self.day), notAfter: Self.wall, now: 5, wall: Self.wall, jitter: 0)
    let last = ended.tick(now: 5)
    #expect(last == [.expired, .request] && !ended.hasCertificate)
  }

  @Test("The next moment never lies before one at which there was nothing to do")
  func nextMoments() {
    var random = BadCertificateTests.Seeded(state: 3)
    for _ in 0..<200 {
      var machine = self.held(jitter: Double.random(in: 0...1, using: &random))
      var now = 0.0
      for _ in 0..<50 {
        guard let next = machine.next else { break }
        #expect(next > now || now == 0)
        now = next
        let actions = machine.tick(now: now)
        #expect(!actions.isEmpty)
        if case .requesting = machine.phase {
          machine.failed(now: now, jitter: Double.random(in: 0...1, using: &random))
        }
      }
    }
  }
}
