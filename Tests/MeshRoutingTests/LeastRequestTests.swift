import MeshRouting
import MeshSnapshot
import Testing

/// Endpoints that serve one request after another, and callers that come at random moments.
private struct Queues {
  final class Call {
    var ticket: AttemptTicket?
    let end: Double
    let latency: Double

    init(_ ticket: consuming AttemptTicket?, end: Double, latency: Double) {
      self.ticket = ticket
      self.end = end
      self.latency = latency
    }
  }

  let bench: BalancerBench
  /// Milliseconds that a request takes at each endpoint.
  let service: [Double]
  private var free: [Double]
  private var open: [Call] = []
  private(set) var latencies: [Double] = []
  private(set) var counts: [Int: Int] = [:]
  private var random = Steps(state: 11)
  private var moment = 0.0

  init(_ bench: BalancerBench, service: [Double]) {
    self.bench = bench
    self.service = service
    self.free = service.map { _ in 0 }
  }

  private mutating func unit() -> Double { Double(self.random.next() >> 11) / Double(1 << 53) }

  private mutating func finish(before moment: Double) {
    while let next = self.open.first, next.end <= moment {
      self.open.removeFirst()
      let now = UInt64(next.end)
      next.ticket?.answerBegan(after: UInt64(next.latency * 1_000), now: now)
      next.ticket.take()?.ended(as: .answered(200), now: now)
      self.latencies.append(next.latency)
    }
  }

  /// - interval: mean milliseconds between two callers.
  mutating func run(_ calls: Int, interval: Double) throws {
    for _ in 0..<calls {
      // Two uniform draws are not Poisson, but nor are callers even.
      self.moment += interval * (self.unit() + self.unit())
      self.finish(before: self.moment)
      guard let choice = try self.bench.choose(now: UInt64(self.moment), using: &self.random) else { continue }
      let at = choice.number - 1
      self.counts[choice.number, default: 0] += 1
      let end = max(self.free[at], self.moment) + self.service[at] * (0.5 + self.unit())
      self.free[at] = end
      let call = Call(choice.attempt(), end: end, latency: end - self.moment)
      self.open.insert(call, at: self.open.firstIndex { $0.end > end } ?? self.open.count)
    }
    self.finish(before: .infinity)
  }

  func percentile(_ percent: Int) -> Double {
    let sorted = self.latencies.sorted()
    return sorted[min(sorted.count - 1, sorted.count * percent / 100)]
  }
}

@Suite struct LeastRequestTests {
  private func queues(_ balancer: Balancer, service: [Double], weights: [UInt32]? = nil) throws -> Queues {
    Queues(
      try BalancerBench(weights: weights ?? service.map { _ in 1 }, BalancerBench.settings(balancer)), service: service)
  }

  @Test("with one endpoint five times slower, the p99 is at most half of round robin's", arguments: [8.0, 5.0, 2.0])
  func slow(_ interval: Double) throws {
    let service = [50.0] + (0..<9).map { _ in 10.0 }
    var (round, least) = (
      try self.queues(.roundRobin, service: service), try self.queues(.leastRequest, service: service)
    )
    try round.run(20_000, interval: interval)
    try least.run(20_000, interval: interval)
    #expect(least.percentile(99) <= round.percentile(99) / 2)
    #expect(least.percentile(50) <= round.percentile(50) * 1.3)
  }

  @Test("endpoints that are alike get alike, and by weight")
  func even() throws {
    var queues = try self.queues(.leastRequest, service: Array(repeating: 10, count: 5))
    try queues.run(20_000, interval: 4)
    for count in queues.counts.values { #expect((3_000...5_000).contains(count)) }
    // Who weighs twice as much is twice as fast.
    queues = try self.queues(.leastRequest, service: [5, 10, 10, 10], weights: [2, 1, 1, 1])
    try queues.run(20_000, interval: 4)
    #expect((6_500...10_500).contains(queues.counts[1] ?? 0))
  }

  @Test("an endpoint that has not answered yet gets its share: no flood, no famine")
  func fresh() throws {
    let bench = try BalancerBench(weights: [1, 1, 1, 1], BalancerBench.settings(.leastRequest))
    for number in 1...3 {
      let ticket = try bench.choice(number).attempt()
      ticket?.answerBegan(after: UInt64(1_000 * number), now: 1_000)
    }
    var random = Steps()
    final class Holder { var ticket: AttemptTicket? }
    var held: [Holder] = []
    var counts: [Int: Int] = [:]
    for _ in 0..<40 {
      let choice = try #require(try bench.choose(now: 1_000, using: &random))
      counts[choice.number, default: 0] += 1
      let holder = Holder()
      holder.ticket = choice.attempt()
      held.append(holder)
    }
    #expect((4...16).contains(counts[4] ?? 0))
  }

  @Test("an endpoint that was slow is asked again when that was long ago, and one that failed a little later")
  func forgotten() throws {
    let bench = try BalancerBench(weights: [1, 1], BalancerBench.settings(.leastRequest))
    func answer(_ number: Int, _ microseconds: UInt64, now: UInt64) throws {
      let ticket = try bench.choice(number).attempt()
      ticket?.answerBegan(after: microseconds, now: now)
    }
    try answer(1, 1_000, now: 1)
    try answer(2, 5_000, now: 1)
    #expect(try bench.counts(100, now: 1) == [1: 100])
    try answer(1, 1_000, now: 20_000)
    #expect(try bench.counts(100, now: 20_000) == [2: 100])
    try answer(2, 100, now: 20_001)
    #expect(try bench.counts(100, now: 20_001) == [2: 100])
    try bench.fail(2, as: .unreachable, now: 20_002)
    #expect(try bench.counts(100, now: 20_002) == [1: 100])
    for now in stride(from: 21_000, through: 60_000, by: 1_000) { try answer(1, 1_000, now: UInt64(now)) }
    #expect(try bench.counts(100, now: 60_000) == [2: 100])
  }
}
