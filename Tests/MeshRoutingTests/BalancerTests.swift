import MeshRouting
import MeshSnapshot
import Testing

@Suite struct BalancerTests {
  static let all: [Balancer] = [
    .roundRobin, .random, .leastRequest, .ringHash([.source]), .maglev([.source]),
  ]

  @Test("every balancer gives endpoints their share by weight, and what is tried nothing", arguments: Self.all)
  func shares(_ balancer: Balancer) throws {
    let bench = try BalancerBench(weights: [1, 2, 5], BalancerBench.settings(balancer))
    let tried = [try bench.choice(3)]
    if balancer == .leastRequest {
      // Of two that are drawn the first wins a tie.
      #expect(areShares(try bench.counts(20_000), [1: 1, 2: 2, 3: 5]))
    } else if balancer != .ringHash([.source]) {
      #expect(areShares(try bench.counts(20_000, key: { UInt64($0) &* 0x9e37_79b9_7f4a_7c15 }), [1: 1, 2: 2, 3: 5]))
    }
    #expect(areShares(try bench.counts(20_000, except: tried), [1: 1, 2: 2]))
    let none = try (1...3).map { try bench.choice($0) }
    #expect(try bench.counts(10, except: none) == [0: 10])
  }

  @Test("without a policy requests go to the lesser of two, and connections by weight")
  func defaults() throws {
    let bench = try BalancerBench(weights: [1, 1])
    // One is busy: requests avoid it.
    var busy: [RoutingTable.Choice] = []
    let ticket = try bench.choice(1).attempt()
    busy.append(try bench.choice(1))
    #expect(try bench.counts(100) == [2: 100])
    #expect(areShares(try bench.counts(10_000, isRequest: false), [1: 1, 2: 1]))
    _ = consume ticket
    #expect(areShares(try bench.counts(10_000), [1: 1, 2: 1]))
  }

  @Test("round robin is exact over a round, and its turns are evenly apart")
  func roundRobin() throws {
    let bench = try BalancerBench(weights: [1, 2, 5], BalancerBench.settings(.roundRobin))
    var random = Steps()
    var last: [Int] = []
    for _ in 0..<5 {
      last = try (0..<8).compactMap { _ in try bench.choose(using: &random)?.number }
      #expect(last.count { $0 == 1 } == 1 && last.count { $0 == 2 } == 2 && last.count { $0 == 3 } == 5)
    }
    // Never a third time in a row.
    for at in 0..<8 { #expect(Set([last[at], last[(at + 1) % 8], last[(at + 2) % 8]]).count > 1) }
    let even = try BalancerBench(weights: [7, 7, 7], BalancerBench.settings(.roundRobin))
    #expect(try (0..<6).compactMap { _ in try even.choose(using: &random)?.number } == [1, 2, 3, 1, 2, 3])
  }

  @Test("the turn goes on when the endpoints change, and with weights of any size")
  func turnsGoOn() throws {
    var bench = try BalancerBench(weights: [1, 1, 1], BalancerBench.settings(.roundRobin))
    var random = Steps()
    #expect(try bench.choose(using: &random)?.number == 1)
    try bench.renew()
    #expect(try bench.choose(using: &random)?.number == 2)
    let wide = try BalancerBench(weights: [1, 3_000_000_000, 3_000_000_001], BalancerBench.settings(.roundRobin))
    let counts = try wide.counts(30_000)
    #expect((3...4).contains(counts[1] ?? 0) && abs((counts[2] ?? 0) - (counts[3] ?? 0)) < 10)
  }

  @Test("numbers of an endpoint outlive a change of the others; one that comes back begins anew")
  func recordsLast() throws {
    var bench = try BalancerBench(weights: [1, 1])
    let ticket = try bench.choice(1).attempt()
    bench.endpoints.append(BalancerBench.endpoint(3))
    try bench.renew()
    #expect(try bench.choice(1).record?.openAttempts == 1)
    let old = try bench.choice(1)
    bench.endpoints.removeFirst()
    try bench.renew()
    bench.endpoints.append(BalancerBench.endpoint(1))
    try bench.renew()
    #expect(try bench.choice(1).record?.openAttempts == 0)
    #expect(old.record?.openAttempts == 1)
    _ = consume ticket
    #expect(old.record?.openAttempts == 0)
    #expect(try bench.choice(1).record?.openAttempts == 0)
  }
}
