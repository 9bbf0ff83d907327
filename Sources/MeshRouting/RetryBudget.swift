import MeshSnapshot
import Synchronization

/// What a service port's callers have left for second attempts: a share of the requests of the last ten seconds. Ten buckets of a
/// second, each a word of its second (20 bits), requests (24) and retries (20).
///
/// Law: the retries of any ten seconds are at most `percent` of the requests of these, or `perSecond` times ten, whichever is more;
/// what the share does not afford is at most `perSecond` in each second, so that a storm does not begin with ten seconds' worth.
struct RetryBudget: ~Copyable {
  static let seconds: UInt64 = 10

  private let buckets = InlineArray<10, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }

  /// - now: milliseconds.
  func countRequest(now: UInt64) { self.add(now / 1000) { $0.requests < Bucket.mostRequests ? $0.requests += 1 : () } }

  /// Whether one more may be made; it is counted then.
  func affords(_ budget: RetrySettings.Budget, now: UInt64) -> Bool {
    let second = now / 1000
    // Counted first: two threads that ask at once never both get the last one.
    self.add(second) { $0.retries < Bucket.mostRetries ? $0.retries += 1 : () }
    var (requests, retries, thisSecond): (UInt64, UInt64, UInt64) = (0, 0, 0)
    for at in self.buckets.indices {
      let bucket = Bucket(word: self.buckets[at].load(ordering: .relaxed))
      guard bucket.isWithin(Self.seconds, of: second) else { continue }
      requests += bucket.requests
      retries += bucket.retries
      if at == Int(second % Self.seconds) { thisSecond = bucket.retries }
    }
    if retries <= requests * UInt64(budget.percent) / 100 { return true }
    let least = UInt64(budget.perSecond)
    if thisSecond <= least, retries <= least * Self.seconds { return true }
    self.add(second) { $0.retries > 0 ? $0.retries -= 1 : () }
    return false
  }

  private func add(_ second: UInt64, _ change: (inout Bucket) -> Void) {
    let at = Int(second % Self.seconds)
    var known = self.buckets[at].load(ordering: .relaxed)
    while true {
      var bucket = Bucket(word: known)
      if !bucket.isWithin(1, of: second) { bucket = Bucket(second: second) }
      change(&bucket)
      let (done, found) = self.buckets[at].weakCompareExchange(
        expected: known, desired: bucket.word, ordering: .relaxed)
      if done { return }
      known = found
    }
  }

  private struct Bucket {
    static let mostRequests: UInt64 = 1 << 24 - 1
    static let mostRetries: UInt64 = 1 << 20 - 1
    private static let secondMask: UInt64 = 1 << 20 - 1

    var second: UInt64
    var requests: UInt64 = 0
    var retries: UInt64 = 0

    init(second: UInt64) { self.second = second & Self.secondMask }

    init(word: UInt64) {
      self.second = word >> 44
      self.requests = word >> 20 & Self.mostRequests
      self.retries = word & Self.mostRetries
    }

    var word: UInt64 { self.second << 44 | self.requests << 20 | self.retries }

    func isWithin(_ seconds: UInt64, of second: UInt64) -> Bool {
      (second &- self.second) & Self.secondMask < seconds
    }
  }
}
