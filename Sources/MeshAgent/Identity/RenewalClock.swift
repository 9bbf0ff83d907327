import Glibc

/// Seconds since the host started, its sleep included: a certificate grows old while the host is suspended (F-18).
enum RenewalClock {
  static var seconds: Double {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }

  /// What waits is looked at so often at least: timers may stand still while the host sleeps.
  static let longestSleep = 60.0
}

/// Wakes whoever renews: at once, or at a time.
struct RenewalBell: Sendable {
  let rings: AsyncStream<Void>
  private let ring: AsyncStream<Void>.Continuation

  init() { (self.rings, self.ring) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  func now() { self.ring.yield() }

  /// The task ends by itself; whoever sets another time cancels it.
  func after(_ seconds: Double) -> Task<Void, Never> {
    let ring = self.ring
    return Task {
      try? await Task.sleep(for: .seconds(min(max(seconds, 0.01), RenewalClock.longestSleep)))
      if !Task.isCancelled { ring.yield() }
    }
  }
}
