import Testing

@testable import MeshAgent

@Suite("FlowSweep")
struct FlowSweepTests {
  /// After the look that every start leads to.
  private static func rested() -> FlowSweep {
    var sweep = FlowSweep(now: 0)
    _ = sweep.wantsLook(now: FlowSweep.startMilliseconds)
    _ = sweep.looked(ended: [], now: FlowSweep.startMilliseconds)
    return sweep
  }

  @Test("it looks a minute after the start, then every ten minutes")
  func rest() {
    var sweep = FlowSweep(now: 0)
    #expect(!sweep.wantsLook(now: 59_000) && sweep.wantsLook(now: 60_000))
    #expect(sweep.looked(ended: [], now: 60_001) == [])
    #expect(!sweep.wantsLook(now: 62_000) && !sweep.wantsLook(now: 659_000) && sweep.wantsLook(now: 660_000))
  }

  @Test("a flow goes when two looks have found that its socket has ended")
  func twice() {
    var sweep = Self.rested()
    sweep.soon(now: 70_000)
    #expect(sweep.wantsLook(now: 70_000) == true)
    #expect(sweep.looked(ended: [1, 2], now: 70_010) == [])
    #expect(!sweep.wantsLook(now: 71_000) && sweep.wantsLook(now: 72_000))
    #expect(sweep.looked(ended: [2, 3], now: 72_010) == [2])
    // What only the second found is not waited for: connections end all the time.
    #expect(!sweep.wantsLook(now: 80_000) && sweep.wantsLook(now: 672_000))
    #expect(sweep.looked(ended: [3], now: 672_010) == [])
  }

  @Test("one look at a time")
  func single() {
    var sweep = Self.rested()
    sweep.soon(now: 70_000)
    #expect(sweep.wantsLook(now: 70_000) && !sweep.wantsLook(now: 670_000 + FlowSweep.restMilliseconds))
  }

  @Test("what happens during a look leads to two more, and nothing goes by what was seen before")
  func meanwhile() {
    var sweep = Self.rested()
    sweep.soon(now: 70_000)
    #expect(sweep.wantsLook(now: 70_000) && sweep.looked(ended: [1], now: 70_010) == [])
    #expect(sweep.wantsLook(now: 72_000) == true)
    sweep.soon(now: 72_005)
    #expect(sweep.looked(ended: [1], now: 72_010) == [])
    #expect(sweep.wantsLook(now: 72_020) && sweep.looked(ended: [1], now: 72_030) == [])
    #expect(sweep.wantsLook(now: 74_030) && sweep.looked(ended: [1], now: 74_040) == [1])
  }

  @Test("a look that found nothing out removes nothing, and what it was to confirm is left for the next reason")
  func unknown() {
    var sweep = Self.rested()
    sweep.soon(now: 70_000)
    #expect(sweep.wantsLook(now: 70_000) && sweep.looked(ended: [1], now: 70_010) == [])
    #expect(sweep.wantsLook(now: 72_010) && sweep.looked(ended: [], now: 72_020) == [])
    #expect(sweep.wantsLook(now: 74_020) == false)
  }
}
