import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite struct OutlierTests {
  private func bench(
    _ count: Int, _ balancer: Balancer = .random, panic: UInt8 = 0, slowStart: SlowStart? = nil,
    _ change: (inout OutlierDetection) -> Void = { _ in }
  ) throws -> BalancerBench {
    var outliers = OutlierDetection(
      baseEjectionMilliseconds: 10_000, maximumEjectionMilliseconds: 25_000, maximumEjectionPercent: 50)
    change(&outliers)
    return try BalancerBench(
      weights: Array(repeating: 1, count: count),
      BalancerBench.settings(balancer) {
        $0.outliers = outliers
        $0.panicThreshold = panic
        $0.slowStart = slowStart
      })
  }

  private func ejected(_ bench: BalancerBench, now: UInt64 = 0) -> [Int] {
    bench.table.endpointStates(now: now).flatMap(\.endpoints).filter {
      if case .ejected = $0.health { true } else { false }
    }.map { Int($0.endpoint.target.address.low & 0xffff) }.sorted()
  }

  @Test("so many errors in a row and no fewer; a success in between begins anew; what the caller did does not count")
  func row() throws {
    let bench = try self.bench(4)
    try bench.fail(1, times: 4, now: 10)
    try bench.fail(1, as: .answered(404), now: 11)
    try bench.fail(1, times: 4, now: 12)
    try bench.fail(1, as: .refused, now: 13)
    #expect(self.ejected(bench).isEmpty)
    // A ticket without a word.
    _ = try bench.choice(1).attempt()
    try bench.fail(1, as: .lost, now: 14)
    #expect(self.ejected(bench) == [1])
    #expect(areShares(try bench.counts(3_000, now: 14), [2: 1, 3: 1, 4: 1]))
    let events = bench.table.tick(now: 15)
    #expect(events.map(\.change) == [.ejected(.consecutiveErrors, milliseconds: 10_000)])
    #expect(events.first?.service == (try name("a/web")) && events.first?.port == 80)
    #expect(bench.table.tick(now: 16).isEmpty)
  }

  @Test("gateway errors have a count of their own, which other errors break")
  func gateway() throws {
    let bench = try self.bench(4) {
      $0.consecutiveErrors = 0
      $0.consecutiveGatewayErrors = 3
    }
    try bench.fail(1, as: .answered(503), times: 2, now: 1)
    try bench.fail(1, as: .answered(500), now: 1)
    try bench.fail(1, as: .timedOut, times: 2, now: 1)
    #expect(self.ejected(bench).isEmpty)
    try bench.fail(1, as: .unreachable, now: 1)
    #expect(self.ejected(bench) == [1])
    #expect(bench.table.tick(now: 2).map(\.change) == [.ejected(.consecutiveGatewayErrors, milliseconds: 10_000)])
    try bench.fail(2, as: .answered(500), times: 100, now: 3)
    #expect(self.ejected(bench) == [1])
  }

  @Test("the time grows with every ejection in a row up to its limit, and shrinks with each interval without")
  func time() throws {
    let bench = try self.bench(2)
    var now: UInt64 = 0
    func eject() throws -> UInt64 {
      try bench.fail(1, times: 5, now: now)
      guard case .ejected(_, let milliseconds)? = bench.table.tick(now: now).last?.change else { return 0 }
      return milliseconds
    }
    for expected: UInt64 in [10_000, 20_000, 25_000, 25_000] {
      #expect(try eject() == expected)
      #expect(bench.table.tick(now: now + expected - 1).isEmpty)
      now += expected
      #expect(bench.table.tick(now: now).map(\.change) == [.returned])
      #expect(self.ejected(bench).isEmpty)
    }
    // Four in a row; three intervals of ten seconds.
    for _ in 0..<3 {
      now += 10_000
      #expect(bench.table.tick(now: now).isEmpty)
    }
    #expect(try eject() == 20_000)
  }

  @Test("never more than the percentage at once, but one always", arguments: [1, 2, 3, 10, 100], [0, 10, 34, 100])
  func percentage(_ count: Int, _ percent: Int) throws {
    let bench = try self.bench(count) { $0.maximumEjectionPercent = UInt8(percent) }
    var random = Steps(state: UInt64(count * 1_000 + percent))
    var now: UInt64 = 0
    for _ in 0..<400 {
      now += UInt64.random(in: 0...500, using: &random)
      let number = Int.random(in: 1...count, using: &random)
      try bench.fail(number, times: Int.random(in: 1...5, using: &random), now: now)
      if Bool.random(using: &random) { _ = bench.table.tick(now: now) }
      try #require(self.ejected(bench, now: now).count <= max(1, count * percent / 100))
    }
    #expect(!self.ejected(bench, now: now).isEmpty)
  }

  @Test("a success rate far below the others' is an outlier's, if there are enough of them with enough requests")
  func successRate() throws {
    func run(_ endpoints: Int, requests: Int, bad: Int) throws -> [Int] {
      let bench = try self.bench(endpoints) {
        $0.consecutiveErrors = 0
        $0.successRate = .init(endpoints: 5, requests: 100, deviations: 1900)
      }
      _ = bench.table.tick(now: 1)
      for number in 1...endpoints {
        for request in 0..<requests {
          let failed = request % 100 < (number == 2 ? bad : number % 3)
          try bench.choice(number).attempt()?.ended(as: failed ? .answered(500) : .answered(200), now: 2)
        }
      }
      _ = bench.table.tick(now: 10_000)
      #expect(self.ejected(bench).isEmpty)
      let events = bench.table.tick(now: 10_001)
      #expect(events.allSatisfy { $0.change == .ejected(.successRate, milliseconds: 10_000) })
      // The next interval begins with nothing.
      #expect(bench.table.tick(now: 20_001 + 10_000).allSatisfy { $0.change == .returned })
      return events.map { Int($0.endpoint.target.address.low & 0xffff) }
    }
    #expect(try run(6, requests: 100, bad: 30) == [2])
    #expect(try run(6, requests: 100, bad: 2) == [])
    #expect(try run(4, requests: 100, bad: 30) == [])
    #expect(try run(6, requests: 99, bad: 30) == [])
  }

  @Test("below the panic threshold ejections count no more; without one nobody is left, and it says so")
  func panic() throws {
    for (threshold, isPanic) in [(UInt8(0), false), (50, true)] {
      let bench = try self.bench(3, panic: threshold) { $0.maximumEjectionPercent = 100 }
      try bench.fail(1, times: 5, now: 1)
      #expect(areShares(try bench.counts(3_000), [2: 1, 3: 1]))
      try bench.fail(2, times: 5, now: 1)
      #expect(areShares(try bench.counts(3_000), isPanic ? [1: 1, 2: 1, 3: 1] : [3: 1]))
      try bench.fail(3, times: 5, now: 1)
      #expect(areShares(try bench.counts(3_000), isPanic ? [1: 1, 2: 1, 3: 1] : [0: 1]))
    }
  }

  @Test("an ejection lasts over a new table, as long as the policy ejects; a new address begins healthy")
  func tables() throws {
    var bench = try self.bench(2)
    try bench.fail(1, times: 5, now: 1)
    bench.endpoints.append(BalancerBench.endpoint(3))
    let old = bench
    try bench.renew()
    #expect(areShares(try bench.counts(1_000), [2: 1, 3: 1]))
    #expect(
      bench.table.endpointStates(now: 2_001).flatMap(\.endpoints).map(\.health) == [
        .ejected(.consecutiveErrors, until: 10_001), .healthy, .healthy,
      ])
    // A loop that has not got the new table yet goes by the same.
    #expect(try old.counts(100) == [2: 100])
    bench.traffic?.outliers = nil
    try bench.renew()
    #expect(areShares(try bench.counts(1_000), [1: 1, 2: 1, 3: 1]))
    #expect(self.ejected(bench).isEmpty)
  }

  @Test(
    "slow start: the weight of an endpoint that is new, or back, grows in a line, with every balancer",
    arguments: [Balancer.roundRobin, .random, .leastRequest, .maglev([.source]), .ringHash([.source])])
  func slowStart(_ balancer: Balancer) throws {
    var bench = try self.bench(3, balancer, slowStart: SlowStart(windowMilliseconds: 10_000, minimum: 10))
    bench.endpoints.append(BalancerBench.endpoint(4))
    try bench.renew()
    func share(_ number: Int, now: UInt64) throws -> Double {
      let counts = try bench.counts(20_000, key: { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }, now: now)
      return Double(counts[number] ?? 0) / 20_000
    }
    /// Of its own weight and three others.
    func expects(_ share: Double, weight: Double) -> Bool {
      let expected = weight / (3 + weight)
      // A ring of so few is uneven itself.
      if case .ringHash = balancer { return abs(share - expected) < 0.07 }
      return abs(share - expected) < 0.015
    }
    #expect(expects(try share(4, now: 1_000), weight: 0.1))
    _ = bench.table.tick(now: 1_000)
    #expect(expects(try share(4, now: 1_000), weight: 0.1))
    #expect(expects(try share(4, now: 6_000), weight: 0.55))
    #expect(bench.table.endpointStates(now: 6_000).flatMap(\.endpoints).map(\.health).last == .starting(55))
    #expect(expects(try share(4, now: 11_000), weight: 1))
    _ = bench.table.tick(now: 11_000)
    #expect(expects(try share(4, now: 11_000), weight: 1))
    try bench.fail(4, times: 5, now: 20_000)
    #expect(try share(4, now: 20_000) == 0)
    _ = bench.table.tick(now: 30_000)
    #expect(expects(try share(4, now: 30_000), weight: 0.1))
    #expect(expects(try share(4, now: 35_000), weight: 0.55))
  }

  @Test("what is told: endpoints of which there is something to say, in parts of a bounded size")
  func told() throws {
    let bench = try self.bench(5)
    #expect(bench.table.notableStates(now: 0).isEmpty && bench.table.endpointStates(now: 0).count == 1)
    for number in 1...3 { try bench.choice(number).attempt()?.answerBegan(after: 1_500, now: 1) }
    try bench.fail(4, times: 5, now: 2)
    let state = try #require(bench.table.notableStates(now: 2).first)
    #expect(state.endpoints.map(\.latencyMicroseconds) == [1_500, 1_500, 1_500, nil])
    #expect(state.endpoints.last?.health == .ejected(.consecutiveErrors, until: 10_002))
    #expect(state.ejections == [.consecutiveErrors: 1] && bench.table.totals.ejections(.consecutiveErrors) == 1)
    let parts = state.parts(ofAtMost: 3)
    #expect(parts.map(\.endpoints.count) == [3, 1] && parts.allSatisfy { $0.ejections == state.ejections })
    #expect(state.parts(ofAtMost: 4) == [state])
  }
}
