/// What one loop counts; totals but for `active`.
package struct RelayCounters: Sendable, Equatable {
  package var active: UInt64 = 0
  package var accepted: UInt64 = 0
  /// Connections that reached an upstream.
  package var relayed: UInt64 = 0
  /// Requests of HTTP whose head was whole.
  package var requests: UInt64 = 0
  /// Attempts at them after the first, because a rule asks for it.
  package var retries: UInt64 = 0
  /// Requests that were held up, and answered, on purpose.
  package var delayed: UInt64 = 0
  package var aborted: UInt64 = 0
  /// Copies of them that were sent to mirrors.
  package var mirrored: UInt64 = 0
  /// From clients to upstreams.
  package var sentBytes: UInt64 = 0
  /// From upstreams to clients.
  package var receivedBytes: UInt64 = 0
  /// By reason word.
  package var refused: [String: UInt64] = [:]

  package init() {}

  package static func + (a: Self, b: Self) -> Self {
    var sum = a
    sum.active += b.active
    sum.accepted += b.accepted
    sum.relayed += b.relayed
    sum.requests &+= b.requests
    sum.retries &+= b.retries
    sum.delayed &+= b.delayed
    sum.aborted &+= b.aborted
    sum.mirrored &+= b.mirrored
    sum.sentBytes &+= b.sentBytes
    sum.receivedBytes &+= b.receivedBytes
    sum.refused.merge(b.refused, uniquingKeysWith: +)
    return sum
  }
}

/// A fast generator for choices by weight; not for secrets. SplitMix64 (Steele, Lea, Flood 2014).
struct LoopRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { self.state = seed }

  mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    var z = self.state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
