/// Weighted round robin as a list that is gone through again and again: every endpoint stands in it as often as its weight says, its
/// turns as evenly apart as they can be.
struct TurnSchedule: Sendable {
  private static let most: UInt64 = 8192

  private let turns: [UInt32]

  /// Nil: nobody has weight.
  init?(_ weights: [UInt32]) {
    guard let divisor = weights.filter({ $0 > 0 }).reduce(nil, { Self.divisor($0 ?? $1, $1) }) else { return nil }
    var counts = weights.map { UInt64($0 / divisor) }
    let total = counts.reduce(0, +)
    if total > Self.most {
      counts = counts.map { $0 == 0 ? 0 : max(1, ($0 * Self.most + total / 2) / total) }
    }
    var turns: [(moment: Double, owner: UInt32)] = []
    for (owner, count) in counts.enumerated() {
      for turn in 0..<count { turns.append(((Double(turn) + 0.5) / Double(count), UInt32(owner))) }
    }
    turns.sort { ($0.moment, $0.owner) < ($1.moment, $1.owner) }
    self.turns = turns.map(\.owner)
  }

  subscript(_ turn: UInt64) -> Int { Int(self.turns[Int(turn % UInt64(self.turns.count))]) }

  var count: Int { self.turns.count }

  private static func divisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var (a, b) = (a, b)
    while b > 0 { (a, b) = (b, a % b) }
    return a
  }
}
