/// How long to wait before the next attempt: doubles from `initial` to `maximum`, and is spread over the upper half of
/// that, so that 500 agents that lost one control plane do not come back in one moment.
package struct Backoff: Sendable, Equatable {
  package var initial: Duration
  package var maximum: Duration
  /// Attempts since the last success.
  package private(set) var attempts: Int = 0

  package init(initial: Duration = .milliseconds(10), maximum: Duration = .seconds(15)) {
    self.initial = initial
    self.maximum = maximum
  }

  package mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
    let ceiling = self.ceiling
    self.attempts += 1
    return ceiling / 2 + ceiling / 2 * Double.random(in: 0...1, using: &random)
  }

  package mutating func reset() { self.attempts = 0 }

  /// The longest wait of the next attempt.
  package var ceiling: Duration {
    // 2^20 times 10 ms is past every maximum; the bound keeps the shift defined after weeks of attempts.
    min(self.maximum, self.initial * (1 << min(self.attempts, 20)))
  }
}
