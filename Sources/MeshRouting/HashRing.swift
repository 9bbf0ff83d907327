/// Consistent hashing by ketama: every endpoint stands at many points of a ring, by weight, and a key belongs to the next point.
///
/// Law: an endpoint that leaves gives up its own keys and moves no other, as long as the number of points per weight stays, which
/// follows the size of the ring in powers of two.
struct HashRing: Sendable {
  /// An endpoint on a ring or in a table.
  struct Member: Hashable, Sendable {
    var hash: UInt64
    var weight: UInt32
  }

  /// Points, at least, and for each endpoint.
  private static let least = 1024
  private static let perMember = 256
  private static let most = 1 << 20

  /// Sorted.
  private let points: [UInt64]
  private let owners: [UInt32]

  /// Nil: there are none.
  init?(_ members: [Member]) {
    guard !members.isEmpty else { return nil }
    let weight = members.reduce(0.0) { $0 + Double($1.weight) }
    var size = Self.least
    while size < min(Self.most, members.count * Self.perMember) { size *= 2 }
    // A power of two, for which the points are more than half of the size and no more than all of it.
    var perWeight = 1.0
    while weight * perWeight > Double(size) { perWeight /= 2 }
    while weight * perWeight * 2 <= Double(size) { perWeight *= 2 }
    var points: [(point: UInt64, owner: UInt32)] = []
    points.reserveCapacity(size + members.count)
    for (owner, member) in members.enumerated() {
      for copy in 0..<max(1, Int(Double(member.weight) * perWeight)) {
        points.append((KeyHash.mix(member.hash &+ UInt64(copy) &* 0x9e37_79b9_7f4a_7c15), UInt32(owner)))
      }
    }
    points.sort { ($0.point, members[Int($0.owner)].hash) < ($1.point, members[Int($1.owner)].hash) }
    self.points = points.map(\.point)
    self.owners = points.map(\.owner)
  }

  var count: Int { self.points.count }

  /// The number of the member that the key belongs to.
  func owner(of key: UInt64) -> Int {
    var low = 0
    var high = self.points.count
    while low < high {
      let middle = low + (high - low) / 2
      if self.points[middle] < key { low = middle + 1 } else { high = middle }
    }
    return Int(self.owners[low == self.points.count ? 0 : low])
  }
}
