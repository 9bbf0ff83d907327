import MeshTestSupport
import Testing

@Suite struct SplitMix64Tests {
  @Test("The reference sequence of seed 0")
  func reference() {
    var random = SplitMix64(seed: 0)
    #expect(
      [random.next(), random.next(), random.next()] == [
        0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f,
      ])
  }

  @Test("Equal seeds choose alike")
  func equal() {
    var a = SplitMix64(seed: 7)
    var b = SplitMix64(seed: 7)
    let elements = Array(0..<50)
    for _ in 0..<20 {
      #expect(a.subset(of: elements) == b.subset(of: elements))
      #expect(a.pick(elements) == b.pick(elements))
      #expect(a.oneIn(3) == b.oneIn(3))
    }
  }
}
