/// A random generator with a seed, for property tests: equal seeds, equal tests. Algorithm: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014.
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { self.state = seed }

  package mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    var z = self.state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// True once in `n` on average.
  package mutating func oneIn(_ n: Int) -> Bool { Int.random(in: 0..<max(1, n), using: &self) == 0 }

  package mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[Int.random(in: elements.indices, using: &self)]
  }

  /// True in so many of a hundred cases.
  package mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  /// Up to `limit` elements, some of them more than once.
  package mutating func some<Element>(_ elements: [Element], atMost limit: Int) -> [Element] {
    (0..<Int.random(in: 0...limit, using: &self)).map { _ in self.pick(elements) }
  }

  /// Each element with a chance of one half, in order.
  package mutating func subset<Element>(of elements: [Element]) -> [Element] {
    elements.filter { _ in self.oneIn(2) }
  }
}
