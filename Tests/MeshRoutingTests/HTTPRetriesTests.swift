import MeshRouting
import MeshSnapshot
import Testing

@Suite struct HTTPRetriesTests {
  private func retries(
    _ codes: [UInt16] = [], attempts: UInt32 = 3, backoff: UInt32 = 100, isIdempotent: Bool = true, seed: UInt64 = 1
  ) -> HTTPRetries {
    HTTPRetries(
      HTTPRetry(codes: codes, attempts: attempts, backoffMilliseconds: backoff), isIdempotent: isIdempotent, seed: seed)
  }

  private func asks(_ retries: HTTPRetries, _ failure: HTTPRetries.Failure) -> Bool {
    var retries = retries
    return retries.decide(failure) != .stands
  }

  @Test("answers are retried by their codes and no other, whatever the method")
  func codes() {
    for isIdempotent in [true, false] {
      let retries = self.retries([500, 503], isIdempotent: isIdempotent)
      #expect(self.asks(retries, .answered(500)) && self.asks(retries, .answered(503)))
      for status: UInt16 in [200, 404, 501, 502, 504] { #expect(!self.asks(retries, .answered(status))) }
    }
    #expect(!self.asks(self.retries(), .answered(503)))
  }

  @Test("what did nothing of the request is retried always; a lost one if it may be said twice, or its code is listed")
  func connections() {
    let unsafe = self.retries(isIdempotent: false)
    #expect(self.asks(unsafe, .untouched) && !self.asks(unsafe, .lost) && !self.asks(unsafe, .timedOut))
    let safe = self.retries()
    #expect(self.asks(safe, .untouched) && self.asks(safe, .lost) && self.asks(safe, .timedOut))
    #expect(!self.asks(safe, .nonsense))
    let listed = self.retries([502], isIdempotent: false)
    #expect(self.asks(listed, .lost) && self.asks(listed, .nonsense) && !self.asks(listed, .timedOut))
    let patient = self.retries([504], isIdempotent: false)
    #expect(self.asks(patient, .timedOut) && !self.asks(patient, .lost))
  }

  @Test("as often as the rule says, whatever the failures were; then it is exhausted, and stays so")
  func attempts() {
    var retries = self.retries([503], attempts: 2)
    #expect(retries.decide(.answered(404)) == .stands && retries.count == 0)
    guard case .again = retries.decide(.answered(503)), case .again = retries.decide(.lost) else {
      Issue.record("not tried again")
      return
    }
    #expect(retries.count == 2)
    #expect(retries.decide(.answered(503)) == .exhausted && retries.decide(.untouched) == .exhausted)
    #expect(retries.decide(.answered(404)) == .stands && retries.count == 2)
    var none = self.retries(attempts: 0)
    #expect(none.decide(.untouched) == .exhausted)
  }

  @Test(
    "who repeats all repeats what was lost, whatever the method; the budget is asked last, and only where it matters")
  func policy() {
    let rule = HTTPRetry(codes: [503], attempts: 1, backoffMilliseconds: 1)
    var retries = HTTPRetries(rule, isIdempotent: false, repeatsAll: true, seed: 1)
    var asked = 0
    func affords(_ answer: Bool) -> () -> Bool {
      {
        asked += 1
        return answer
      }
    }
    #expect(retries.decide(.timedOut, affords: affords(true)) == .stands && asked == 0)
    #expect(retries.decide(.lost, affords: affords(false)) == .unaffordable && asked == 1 && retries.count == 0)
    guard case .again = retries.decide(.lost, affords: affords(true)) else {
      Issue.record("not tried again")
      return
    }
    #expect(retries.decide(.lost, affords: affords(true)) == .exhausted && asked == 2)
  }

  @Test("a rule's own retry wins over the policy's; of two limits of an attempt the shorter holds")
  func settings() {
    let (own, other) = (
      HTTPRetry(codes: [], attempts: 1, backoffMilliseconds: 1),
      HTTPRetry(codes: [], attempts: 2, backoffMilliseconds: 1)
    )
    var settings = RetrySettings(rule: other)
    #expect(settings.rule(over: own) == own && settings.rule(over: nil) == other)
    #expect(settings.attemptMilliseconds(nil) == nil && settings.attemptMilliseconds(0) == nil)
    settings.perTryMilliseconds = 100
    #expect(settings.attemptMilliseconds(nil) == 100 && settings.attemptMilliseconds(0) == 100)
    #expect(settings.attemptMilliseconds(50) == 50 && settings.attemptMilliseconds(200) == 100)
  }

  @Test("the wait is never less than the rule's, doubles up to ten times, and is not the same for all")
  func backoff() {
    var first: Set<UInt64> = []
    for seed in 0..<100 {
      var retries = self.retries(attempts: 100, seed: UInt64(seed) &* 0x1234_5678_9abc_def1)
      for base: UInt64 in [100, 200, 400, 800, 1000, 1000, 1000] {
        guard case .again(let wait) = retries.decide(.lost) else {
          Issue.record("not tried again")
          return
        }
        #expect((base...base + base / 4).contains(wait), "\(wait)")
        if base == 100 { first.insert(wait) }
      }
    }
    #expect(first.count > 10)
    var hasty = self.retries(backoff: 0)
    #expect(hasty.decide(.lost) == .again(after: 0))
    var longest = self.retries(attempts: .max, backoff: .max)
    for _ in 0..<6 {
      guard case .again(let wait) = longest.decide(.lost) else {
        Issue.record("not tried again")
        return
      }
      #expect(wait >= UInt64(UInt32.max))
    }
  }
}
