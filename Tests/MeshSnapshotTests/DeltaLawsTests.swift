import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

/// The laws that `Delta` states, on 300 pairs of random snapshots.
@Suite struct DeltaLawsTests {
  @Test("The difference makes the new of the old, is empty between equals, and twice is once")
  func laws() {
    var random = SplitMix64(seed: 2026)
    for _ in 0..<300 {
      let old = random.oneIn(10) ? Snapshot() : random.snapshot()
      let new = random.oneIn(10) ? Snapshot() : random.snapshot()
      let delta = new.diff(from: old)
      #expect(old.applying(delta) == new)
      #expect(old.applying(delta).applying(delta) == new)
      #expect(new.diff(from: new).isEmpty)
      #expect(delta.isEmpty == (old == new))
      #expect(Snapshot(new.entries) == new)
    }
  }

  @Test("What is referred to comes before what refers, and goes after it")
  func order() {
    var random = SplitMix64(seed: 77)
    for _ in 0..<100 {
      let delta = random.snapshot().diff(from: random.snapshot())
      let added = delta.upserts.map(\.value.key)
      #expect(added == added.sorted())
      let removed = delta.removals.map(\.kind)
      #expect(removed == removed.sorted(by: >))
      #expect(Set(added).isDisjoint(with: delta.removals))
    }
  }
}
