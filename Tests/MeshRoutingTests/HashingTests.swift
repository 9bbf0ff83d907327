import MeshBase
import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite struct HashingTests {
  private func key(_ number: Int) -> UInt64 {
    var hash = KeyHash()
    hash.combine(UInt64(number))
    return hash.value
  }

  /// Where keys go.
  private func map(_ bench: BalancerBench, keys: Int, now: UInt64 = 0) throws -> [Int] {
    var random = Steps()
    return try (0..<keys).map { try bench.choose(key: self.key($0), now: now, using: &random)?.number ?? 0 }
  }

  private func moved(_ a: [Int], _ b: [Int]) -> Int { zip(a, b).count { $0 != $1 } }

  @Test("Maglev: at most two percent of the keys move when one of a hundred endpoints leaves, whichever it is")
  func maglevStays() throws {
    var bench = try BalancerBench(weights: Array(repeating: 1, count: 100), BalancerBench.settings(.maglev([.source])))
    let before = try self.map(bench, keys: 20_000)
    let all = bench.endpoints
    for leaves in [0, 37, 99] {
      bench.endpoints = all
      bench.endpoints.remove(at: leaves)
      try bench.renew()
      let after = try self.map(bench, keys: 20_000)
      #expect(self.moved(before, after) <= 400)
    }
  }

  @Test("ring: the keys of an endpoint that leaves move, and no other; one that joins takes its share from all")
  func ringStays() throws {
    var bench = try BalancerBench(
      weights: Array(repeating: 1, count: 100), BalancerBench.settings(.ringHash([.source])))
    let before = try self.map(bench, keys: 20_000)
    bench.endpoints.remove(at: 37)
    try bench.renew()
    let after = try self.map(bench, keys: 20_000)
    for (old, new) in zip(before, after) where old != 38 { try #require(old == new) }
    #expect(self.moved(before, after) == before.count { $0 == 38 })
    bench.endpoints.append(BalancerBench.endpoint(200))
    try bench.renew()
    let joined = try self.map(bench, keys: 20_000)
    for (old, new) in zip(after, joined) where old != new { try #require(new == 200) }
    #expect((100...400).contains(self.moved(after, joined)))
  }

  @Test("shares by weight: Maglev to a percent, a ring within a fifth; the order of the endpoints does not matter")
  func weights() throws {
    let weights: [UInt32] = [1, 2, 3, 4]
    var maglev = try BalancerBench(weights: weights, BalancerBench.settings(.maglev([.source])))
    let map = try self.map(maglev, keys: 50_000)
    for number in 1...4 { #expect(abs(map.count { $0 == number } - 5_000 * number) < 600) }
    var ring = try BalancerBench(weights: weights, BalancerBench.settings(.ringHash([.source])))
    let around = try self.map(ring, keys: 50_000)
    for number in 1...4 { #expect(abs(around.count { $0 == number } - 5_000 * number) < 1_000 * number + 500) }
    maglev.endpoints.reverse()
    try maglev.renew()
    #expect(try self.map(maglev, keys: 1_000) == Array(map.prefix(1_000)))
    ring.endpoints.reverse()
    try ring.renew()
    #expect(try self.map(ring, keys: 1_000) == Array(around.prefix(1_000)))
  }

  @Test("the table of a hundred endpoints is even: no endpoint has two percent more than another")
  func even() throws {
    let table = try #require(MaglevTable((0..<100).map { .init(hash: self.key($0), weight: 1) }))
    var counts = Array(repeating: 0, count: 100)
    for place in 0..<MaglevTable.size { counts[table.owner(of: UInt64(place))] += 1 }
    #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
  }

  @Test("nobody, one, weights of 0 and the greatest, too many", arguments: [0, 1, 2, 3])
  func odd(_ count: Int) {
    let members = (0..<count).map { HashRing.Member(hash: UInt64($0), weight: $0 == 1 ? .max : 1) }
    let (ring, table) = (HashRing(members), MaglevTable(members))
    #expect((ring == nil) == members.isEmpty && (table == nil) == members.isEmpty)
    for number in 0..<100 {
      #expect(ring.map { $0.owner(of: self.key(number)) < count } ?? true)
      #expect(table.map { $0.owner(of: self.key(number)) < count } ?? true)
    }
    #expect(ring.map { $0.count <= 2_048 } ?? true)
    #expect(MaglevTable((0...MaglevTable.mostMembers).map { .init(hash: UInt64($0), weight: 1) }) == nil)
    #expect(TurnSchedule([]) == nil && TurnSchedule([0, 0]) == nil && TurnSchedule([0, 5])?.count == 1)
  }

  @Test("keys of an endpoint that is tried or ejected go elsewhere, the same ones to the same place, and come back")
  func ejected() throws {
    for balancer: Balancer in [.maglev([.source]), .ringHash([.source])] {
      let bench = try BalancerBench(
        weights: [1, 1, 1, 1],
        BalancerBench.settings(balancer) {
          $0.outliers = OutlierDetection(baseEjectionMilliseconds: 1_000, maximumEjectionPercent: 50)
        })
      let before = try self.map(bench, keys: 2_000)
      try bench.fail(2, times: 5, now: 100)
      let during = try self.map(bench, keys: 2_000, now: 200)
      for (old, new) in zip(before, during) { try #require(old == 2 ? new != 2 && new != 0 : new == old) }
      #expect(try self.map(bench, keys: 2_000, now: 300) == during)
      // Not all of them to the same one.
      #expect(Set(zip(before, during).filter { $0.0 == 2 }.map(\.1)).count == 3)
      _ = bench.table.tick(now: 2_000)
      #expect(try self.map(bench, keys: 2_000, now: 2_000) == before)
    }
  }

  @Test("without a key it goes by weight")
  func keyless() throws {
    let bench = try BalancerBench(weights: [1, 3], BalancerBench.settings(.maglev([.header("x-user")])))
    #expect(areShares(try bench.counts(10_000), [1: 1, 2: 3]))
  }
}
