/// Consistent hashing by a table of fixed size (Eisenbud et al., "Maglev", NSDI 2016), with weights as Envoy has them: shares are
/// even to a thousandth, a look-up is one read, and an endpoint that leaves moves few keys besides its own.
///
/// The size is the same for any number of endpoints: another one would move nearly all keys.
struct MaglevTable: Sendable {
  /// A prime.
  static let size = 65_537
  /// More would have less than a place each.
  static let mostMembers = 32_768

  private let owners: [UInt16]

  /// Nil: there are none, or too many.
  init?(_ members: [HashRing.Member]) {
    guard !members.isEmpty, members.count <= Self.mostMembers else { return nil }
    // Everybody lists endpoints in some order; the table must not depend on it.
    let order = members.indices.sorted { (members[$0].hash, $0) < (members[$1].hash, $1) }
    let size = UInt64(Self.size)
    let heaviest = members.map(\.weight).max().map { Double(max(1, $0)) } ?? 1
    var next = order.map { KeyHash.mix(members[$0].hash ^ 0x6f66_6673_6574) % size }
    let skip = order.map { KeyHash.mix(members[$0].hash ^ 0x736b_6970) % (size - 1) + 1 }
    var claims = [Double](repeating: 0, count: order.count)
    let pace = order.map { max(1 / Double(Self.size), Double(members[$0].weight) / heaviest) }
    let free = UInt16.max
    var owners = [UInt16](repeating: free, count: Self.size)
    var filled = 0
    while filled < Self.size {
      for at in order.indices where filled < Self.size {
        // The heaviest takes a place in every round, the others in as many as their weight is of it.
        claims[at] += pace[at]
        guard claims[at] >= 1 else { continue }
        claims[at] -= 1
        while owners[Int(next[at])] != free { next[at] = (next[at] + skip[at]) % size }
        owners[Int(next[at])] = UInt16(order[at])
        filled += 1
      }
    }
    self.owners = owners
  }

  /// The number of the member that the key belongs to.
  func owner(of key: UInt64) -> Int { Int(self.owners[Int(key % UInt64(Self.size))]) }
}
