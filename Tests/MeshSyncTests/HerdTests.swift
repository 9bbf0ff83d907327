import MeshBase
import MeshSnapshot
import MeshSync
import Testing

@Suite("Many agents at once")
struct HerdTests {
  static let agents = 500
  static let entries = 1_000

  private static func names(_ kind: EntryKind) -> [String] {
    kind == .config ? ["mesh"] : (0..<Self.entries / 4).map { "shop/\(kind)-\($0)" }
  }

  /// What of the catalogue is brought to an agent that answers everything, and in which time each step is taken.
  private static func drain(
    _ session: inout ServerSession, _ first: [ServerAction], _ slowest: inout [Duration]
  ) -> (upserts: Int, removals: Int) {
    var plans = sent(first)
    var counts = (upserts: 0, removals: 0)
    while !plans.isEmpty {
      let plan = plans.removeFirst()
      counts.upserts += plan.upserts.count
      counts.removals += plan.removals.count
      let clock = ContinuousClock()
      let start = clock.now
      let action = session.received(SessionRequest(kind: plan.kind, nonce: plan.nonce))
      slowest.append(clock.now - start)
      plans += sent([action])
    }
    return counts
  }

  @Test("XD-09: 500 agents reconnect at once with what they hold: less than 1 % of a full resend, and all are settled")
  func herd() {
    var versions: [EntryKind: [String: UInt64]] = [:]
    for kind in EntryKind.allCases {
      versions[kind] = Dictionary(uniqueKeysWithValues: Self.names(kind).map { ($0, 1) })
    }
    let held = versions
    // Five of a thousand changed, one went and one came while nobody was connected.
    for name in Self.names(.endpoints).prefix(5) { versions[.endpoints]?[name] = 2 }
    versions[.service]?["shop/new"] = 1
    versions[.workload]?[Self.names(.workload)[0]] = nil
    let now = catalogue(9, versions)
    var upserts = 0
    var removals = 0
    var steps: [Duration] = []
    for _ in 0..<Self.agents {
      var session = ServerSession()
      var actions = [session.catalogueChanged(now)]
      actions += subscribe(&session, held: held)
      let counts = Self.drain(&session, actions, &steps)
      upserts += counts.upserts
      removals += counts.removals
      let isSettled = session.isSettled
      #expect(isSettled)
    }
    #expect(upserts == 6 * Self.agents)
    #expect(removals == Self.agents)
    let full = versions.values.reduce(0) { $0 + $1.count } * Self.agents
    #expect(upserts * 100 < full)
  }

  @Test("XD-03: one change among 20,000 entries costs a session that one name, not a comparison of all")
  func change() {
    let count = 20_000
    var endpoints = Dictionary(uniqueKeysWithValues: (0..<count).map { ("shop/e\($0)", UInt64(1)) })
    let held: [EntryKind: [String: UInt64]] = [.endpoints: endpoints]
    var session = ServerSession()
    var steps: [Duration] = []
    _ = session.catalogueChanged(catalogue(1, held))
    let first = Self.drain(&session, subscribe(&session, held: held), &steps)
    #expect(first.upserts == 0)
    let clock = ContinuousClock()
    var whole = clock.measure { _ = session.catalogueChanged(catalogue(2, held)) }
    steps = []
    var changes: [Duration] = []
    for revision in 3..<23 as Range<UInt64> {
      let name = "shop/e\(revision)"
      endpoints[name] = revision
      let next = catalogue(revision, base: revision - 1, changed: [EntryKey(.endpoints, name)], [.endpoints: endpoints])
      var action = ServerAction.none
      let start = clock.now
      action = session.catalogueChanged(next)
      changes.append(clock.now - start)
      let counts = Self.drain(&session, [action], &steps)
      #expect(counts.upserts == 1)
      #expect(counts.removals == 0)
    }
    changes.sort()
    let slowest = changes[19]
    whole = whole / 2
    // A ratio, because the machine may be slow: a comparison of all takes thousands of times as long.
    #expect(slowest < whole, "slowest change \(slowest), half of a full comparison \(whole)")
  }
}
