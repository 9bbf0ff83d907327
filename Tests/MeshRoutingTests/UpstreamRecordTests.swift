import MeshRouting
import MeshSnapshot
import Testing

@Suite struct UpstreamRecordTests {
  @Test("what is open is what was admitted and not given back, never more than the limit, in any order of events")
  func permits() throws {
    let record = UpstreamRecord(service: try name("a/web"), port: 80)
    let limits = ConnectionLimits(connections: 3, pendingRequests: 0, requests: 7, retries: nil)
    final class Holder { var permit: UpstreamRecord.Permit? }
    var random = Steps(state: 7)
    var held: [UpstreamRecord.Resource: [Holder]] = [:]
    var refused: [UpstreamRecord.Resource: UInt64] = [:]
    for _ in 0..<20_000 {
      let resource = UpstreamRecord.Resource.allCases.randomElement(using: &random) ?? .requests
      if Bool.random(using: &random) {
        let holder = Holder()
        holder.permit = record.admit(resource, limits)
        if holder.permit == nil {
          refused[resource, default: 0] += 1
        } else {
          held[resource, default: []].append(holder)
        }
      } else if let last = held[resource]?.indices.randomElement(using: &random) {
        // Given back, then dropped: once.
        held[resource]?[last].permit = nil
        held[resource]?.remove(at: last)
      }
      for resource in UpstreamRecord.Resource.allCases {
        try #require(record.open(resource) == held[resource]?.count ?? 0)
      }
      try #require(record.open(.connections) <= 3 && record.open(.pendingRequests) == 0 && record.open(.requests) <= 7)
    }
    for resource in UpstreamRecord.Resource.allCases {
      #expect(record.overflows(resource) == refused[resource] ?? 0)
    }
    #expect(record.overflows(.retries) == 0)
    held = [:]
    #expect(UpstreamRecord.Resource.allCases.allSatisfy { record.open($0) == 0 })
  }

  @Test("with all backends down, the load is at most 1.2 of what callers send, and the minimum")
  func storm() throws {
    for rate in [1, 20, 50, 500, 5_000] {
      let record = UpstreamRecord(service: try name("a/web"), port: 80)
      let budget = RetrySettings.defaultBudget
      var retries: [Int] = []
      for second in 0..<60 {
        var made = 0
        for request in 0..<rate {
          let now = UInt64(second * 1000 + request * 1000 / rate)
          record.countRequest(now: now)
          // Each would be sent four times more.
          for _ in 0..<4 where record.affordsRetry(budget, now: now) { made += 1 }
        }
        retries.append(made)
        let window = retries.suffix(10).reduce(0, +)
        #expect(window <= max(rate * min(10, second + 1) / 5, 100))
      }
      #expect(retries.suffix(10).reduce(0, +) >= max(rate * 2 - rate / 5, min(rate * 40, 100)))
      // Also while it begins.
      if rate >= 50 { #expect(retries.prefix(12).reduce(0, +) <= rate * 12 / 5 + 10) }
      #expect(record.retriesOverBudget == UInt64(rate * 4 * 60 - retries.reduce(0, +)))
    }
  }

  @Test("a budget of nothing affords nothing, and one of requests long ago neither")
  func budgetEnds() throws {
    let record = UpstreamRecord(service: try name("a/web"), port: 80)
    let budget = RetrySettings.Budget(percent: 50, perSecond: 0)
    #expect(!record.affordsRetry(budget, now: 5_000))
    for _ in 0..<10 { record.countRequest(now: 5_000) }
    #expect((0..<10).map { _ in record.affordsRetry(budget, now: 14_999) }.count { $0 } == 5)
    #expect(!record.affordsRetry(budget, now: 15_000))
    // The same bucket is another second's ten seconds later.
    for _ in 0..<2 { record.countRequest(now: 15_000) }
    #expect((0..<3).map { _ in record.affordsRetry(budget, now: 24_999) }.count { $0 } == 1)
  }
}
