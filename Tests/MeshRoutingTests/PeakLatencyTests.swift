import Testing

@testable import MeshRouting

@Suite struct PeakLatencyTests {
  @Test("a slower answer counts at once; faster ones lower the mean within the time constant; without any it fades")
  func peaks() {
    var latency = PeakLatency()
    #expect(!latency.isKnown)
    latency = latency.heard(1_000, now: 5)
    #expect(latency.isKnown && latency.mean(now: 5) == 1_000)
    latency = latency.heard(50_000, now: 6)
    #expect(latency.mean(now: 6) == 50_000)
    for now in 7...10_006 { latency = latency.heard(1_000, now: UInt64(now)) }
    // 1 ms + 49 ms / e.
    #expect((18_000...20_000).contains(latency.mean(now: 10_006)))
    #expect((6_000...8_000).contains(latency.mean(now: 20_006)))
    #expect(latency.mean(now: 200_006) < 10)
    // Nothing is no latency: it was heard.
    #expect(PeakLatency().heard(0, now: 0).isKnown && PeakLatency().heard(.max, now: 0).mean(now: 0) > 1e18)
  }

  @Test("a clock that is behind another thread's sees no time pass, and neither does one that has gone round")
  func clocks() {
    let latency = PeakLatency().heard(1_000, now: 1 << 32 + 5)
    #expect(latency.mean(now: 1 << 32 - 5) == 1_000)
    #expect(latency.heard(500, now: 1 << 32 - 5).mean(now: 1 << 32 - 5) == 1_000)
    #expect(PeakLatency().heard(1_000, now: 1 << 32 - 1).mean(now: 1 << 32 + 1) > 999)
  }

  @Test("the decay is that of the exponential function within two percent, falls always, and ends at nothing")
  func decay() {
    #expect(PeakLatency.decay(0) == 1)
    for (milliseconds, expected) in [(1_000, 0.9048), (5_000, 0.6065), (10_000, 0.3679), (20_000, 0.1353)] {
      #expect(abs(Double(PeakLatency.decay(UInt32(milliseconds))) / expected - 1) < 0.02)
    }
    var last: Float = 1
    for step in 1...200 {
      let decay = PeakLatency.decay(UInt32(step * 1_000))
      #expect(decay < last && decay > 0)
      last = decay
    }
    #expect(PeakLatency.decay(.max) < 1e-6)
  }
}
