/// How much of something a peer may do: so many at once, refilled at a steady rate. Time comes in as milliseconds of any
/// steady clock; one that goes back refills nothing.
package struct RateBudget: Hashable, Sendable {
  package let perSecond: UInt32
  package let burst: UInt32
  private var thousandths: UInt64
  private var last: UInt64?

  package init(perSecond: UInt32, burst: UInt32) {
    self.perSecond = perSecond
    self.burst = burst
    self.thousandths = UInt64(burst) * 1000
  }

  /// False: there is nothing left.
  package mutating func spend(now: UInt64) -> Bool {
    self.refill(now: now)
    guard self.thousandths >= 1000 else { return false }
    self.thousandths -= 1000
    return true
  }

  /// What this side did allows the peer more (a window update for each DATA frame that was sent).
  package mutating func earn(_ count: UInt32) {
    self.add(UInt64(count) * 1000)
  }

  private mutating func refill(now: UInt64) {
    let since = self.last ?? now
    guard now >= since else { return }
    self.last = now
    let (gained, overflow) = (now - since).multipliedReportingOverflow(by: UInt64(self.perSecond))
    self.add(overflow ? UInt64(self.burst) * 1000 : gained)
  }

  private mutating func add(_ gained: UInt64) {
    let most = UInt64(self.burst) * 1000
    self.thousandths = gained >= most - self.thousandths ? most : self.thousandths + gained
  }
}
