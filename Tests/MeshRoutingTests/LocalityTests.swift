import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite struct LocalityTests {
  private static let here = Locality(region: "eu", zone: "a", subzone: "1")
  private static let near = Locality(region: "eu", zone: "a", subzone: "2")
  private static let zone = Locality(region: "eu", zone: "b")
  private static let west = Locality(region: "us-west", zone: "a")
  private static let east = Locality(region: "us-east", zone: "a")

  private func bench(
    _ places: [(Locality, Bool)], minimum: UInt8 = 70, balancer: Balancer = .random, from: Locality = Self.here,
    _ change: (inout TrafficSettings) -> Void = { _ in }
  ) throws -> BalancerBench {
    try BalancerBench(
      places.enumerated().map {
        BalancerBench.endpoint($0.offset + 1, isReady: $0.element.1, locality: $0.element.0)
      },
      BalancerBench.settings(balancer) {
        $0.locality = LocalityPreference(minimum: minimum, failover: ["us-west"])
        $0.outliers = OutlierDetection(maximumEjectionPercent: 100)
        change(&$0)
      }, from)
  }

  @Test("the order: subzone, zone, region, regions that stand in, others, nowhere")
  func distances() {
    let distance = Distance(from: Self.here, by: LocalityPreference(failover: ["us-west"]))
    let order = [Self.here, Self.near, Self.zone, Self.west, Self.east, .nowhere].map { distance.to($0) }
    #expect(order == order.sorted() && Set(order).count == 6)
    // Without a preference, or of a node that is nowhere, none is nearer.
    for distance in [Distance(from: Self.here, by: nil), Distance(from: .nowhere, by: LocalityPreference())] {
      #expect(Set([Self.here, Self.west, .nowhere].map { distance.to($0) }).count == 1)
    }
  }

  @Test("all go to the nearest while enough of these are healthy; what is missing goes on to the next")
  func failover() throws {
    let places = Array(repeating: (Self.here, true), count: 10) + [(Self.zone, true), (Self.west, true)]
    let bench = try self.bench(places)
    func near(_ counts: [Int: Int]) -> Int { counts.filter { (1...10).contains($0.key) }.values.reduce(0, +) }
    #expect(near(try bench.counts(1_000)) == 1_000)
    for number in 1...3 { try bench.fail(number, times: 5, now: 1) }
    #expect(near(try bench.counts(1_000)) == 1_000)
    try bench.fail(4, times: 5, now: 1)
    // 60 of 70 percent.
    var counts = try bench.counts(10_000)
    #expect((8_350...8_650).contains(near(counts)) && counts[11] == 10_000 - near(counts))
    for number in 5...10 { try bench.fail(number, times: 5, now: 1) }
    #expect(try bench.counts(1_000) == [11: 1_000])
    try bench.fail(11, times: 5, now: 1)
    #expect(try bench.counts(1_000) == [12: 1_000])
    counts = try bench.counts(10, except: [try bench.choice(12)])
    #expect(counts == [0: 10])
  }

  @Test("endpoints that are not ready are missing too, and a distance with none of them is passed over")
  func notReady() throws {
    let bench = try self.bench([
      (Self.here, true), (Self.here, false), (Self.near, false), (Self.zone, true), (Self.zone, true),
    ])
    let counts = try bench.counts(10_000)
    // 50 of 70 percent.
    #expect((6_900...7_300).contains(counts[1] ?? 0))
    #expect((1_250...1_650).contains(counts[4] ?? 0) && (1_250...1_650).contains(counts[5] ?? 0))
  }

  @Test("an attempt that failed goes to the same distance first, then to the next")
  func attempts() throws {
    let bench = try self.bench([(Self.here, true), (Self.here, true), (Self.zone, true)])
    let first = try bench.choice(1)
    #expect(try bench.counts(100, except: [first]) == [2: 100])
    #expect(try bench.counts(100, except: [first, try bench.choice(2)]) == [3: 100])
  }

  @Test("panic is for when too few are healthy everywhere")
  func panic() throws {
    let bench = try self.bench([(Self.here, true), (Self.here, true), (Self.here, true), (Self.zone, true)]) {
      $0.panicThreshold = 50
    }
    for number in 1...2 { try bench.fail(number, times: 5, now: 1) }
    // A third of the nearest are healthy, and the next have all that is missing.
    var counts = try bench.counts(10_000)
    #expect(counts[1] == nil && counts[2] == nil && (4_500...4_900).contains(counts[3] ?? 0))
    try bench.fail(4, times: 5, now: 1)
    counts = try bench.counts(9_000)
    #expect((1...3).allSatisfy { (2_700...3_300).contains(counts[$0] ?? 0) } && counts[4] == nil)
  }

  @Test("shares of tiers are percentages that make a hundred, for any numbers")
  func shares() {
    var random = Steps(state: 3)
    for _ in 0..<20_000 {
      let tiers = (0..<Int.random(in: 1...7, using: &random)).map { _ in
        let known = Int.random(in: 1...50, using: &random)
        let ready = Int.random(in: 1...known, using: &random)
        return EndpointView.Tier(known: known, ready: ready, ejected: Int.random(in: 0...ready, using: &random))
      }
      let view = EndpointView(
        tiers, minimum: UInt8.random(in: 1...100, using: &random),
        panicThreshold: UInt8.random(in: 0...100, using: &random), isStarting: false)
      let shares = tiers.indices.map { view.share(of: $0) }
      #expect(shares.allSatisfy { (0...100).contains($0) } && shares.reduce(0, +) <= 100)
      let isAnybody = tiers.contains { $0.ejected < $0.ready }
      for percent in [0, 50, 99] {
        let tier = view.tier(at: percent, of: tiers.count)
        #expect(!isAnybody || tiers[tier].ejected < tiers[tier].ready)
      }
      #expect(view.isImpaired == tiers.contains { $0.ejected > 0 })
    }
    let whole = EndpointView([.init(known: 3, ready: 3)], minimum: 100, panicThreshold: 50, isStarting: false)
    #expect(!whole.isImpaired && whole.share(of: 0) == 100 && !whole.ignoresEjections(in: 0))
  }

  @Test("more distances than are told apart: the farthest are one")
  func many() throws {
    let places = (0..<12).map { (Locality(region: "r\($0)"), true) }
    let bench = try self.bench(places, from: Locality(region: "r0")) {
      $0.locality = LocalityPreference(failover: (0..<12).map { "r\($0)" })
      $0.panicThreshold = 0
    }
    #expect(try bench.counts(100) == [1: 100])
    for number in 1...11 { try bench.fail(number, times: 5, now: 1) }
    #expect(try bench.counts(100) == [12: 100])
  }
}
