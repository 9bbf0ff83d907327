import MeshSnapshot

/// What a choice has to know of the health of a group of endpoints, in one word: to which distance how many requests go, and where
/// ejections count no more.
struct EndpointView: Equatable {
  /// Distances that are told apart.
  static let mostTiers = 7

  /// Bit 63: some are ejected, or have not all of their weight. Bits 56 and up: tiers in which ejections do not count. Below: the
  /// percentage of requests of each tier and all nearer ones, a byte each.
  private(set) var word: UInt64

  init(word: UInt64) { self.word = word }

  /// What is known of the endpoints at one distance.
  struct Tier: Equatable {
    /// Of which some may not be ready.
    var known: Int
    var ready: Int
    /// Of those that are ready.
    var ejected: Int

    init(known: Int, ready: Int, ejected: Int = 0) {
      self.known = known
      self.ready = ready
      self.ejected = ejected
    }
  }

  /// - tiers: from near to far.
  /// - minimum: percent of a tier that has to be healthy, so that it gets all that comes to it.
  /// - panicThreshold: percent of a tier that has to be left, so that ejections count.
  init(_ tiers: [Tier], minimum: UInt8, panicThreshold: UInt8, isStarting: Bool) {
    self.word = isStarting || tiers.contains { $0.ejected > 0 } ? 1 << 63 : 0
    let available = tiers.map { Self.availability($0, minimum) }
    let total = available.reduce(0, +)
    var left = 100
    for (i, tier) in tiers.enumerated().prefix(Self.mostTiers) {
      // Too little everywhere: each gets more than it should, in proportion; the last one what rounding leaves.
      let share = total >= 100 ? min(left, available[i]) : total > 0 ? available[i] * 100 / total : 0
      left -= share
      self.word |= UInt64(100 - left) << (8 * i)
      let remaining = tier.ready - tier.ejected
      if tier.ejected > 0, tiers.count == 1 || total < 100, remaining * 100 < Int(panicThreshold) * tier.ready {
        self.word |= 1 << (56 + i)
      }
    }
  }

  private static func availability(_ tier: Tier, _ minimum: UInt8) -> Int {
    let healthy = tier.ready - tier.ejected
    guard healthy > 0, tier.known > 0 else { return 0 }
    return min(100, max(1, healthy * 10_000 / (tier.known * Int(max(1, minimum)))))
  }

  var isImpaired: Bool { self.word >> 63 != 0 }

  func ignoresEjections(in tier: Int) -> Bool { self.word >> UInt64(56 + tier) & 1 != 0 }

  /// Percent.
  func share(of tier: Int) -> Int { self.cumulative(tier) - (tier == 0 ? 0 : self.cumulative(tier - 1)) }

  /// - percent: 0 to 99, drawn.
  func tier(at percent: Int, of count: Int) -> Int {
    for tier in 0..<count where percent < self.cumulative(tier) { return tier }
    // What rounding left; or nobody is healthy anywhere.
    return (0..<count).last { self.share(of: $0) > 0 } ?? 0
  }

  private func cumulative(_ tier: Int) -> Int { Int(self.word >> UInt64(8 * tier) & 0xff) }
}
