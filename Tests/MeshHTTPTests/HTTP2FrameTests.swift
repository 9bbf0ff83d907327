import Testing

@testable import MeshHTTP

@Suite("HTTP/2: frames, settings, windows, budgets")
struct HTTP2FrameTests {
  @Test("H2-16: every flag with every short length ends in content within the payload or in a failure")
  func padding() {
    for kind: HTTP2FrameHeader.Kind in [.data, .headers] {
      for flags in UInt8.min...UInt8.max {
        for length in 0...9 {
          for fill in [UInt8(0), 1, 8, 9, 255] {
            let header = HTTP2FrameHeader(payloadLength: length, kind: kind, flags: .init(rawValue: flags), stream: 1)
            let payload = [UInt8](repeating: fill, count: length)
            if let content = try? header.content(of: payload.span) {
              #expect(content.lowerBound >= 0 && content.upperBound <= length)
            }
          }
        }
      }
    }
    let padded = HTTP2FrameHeader(payloadLength: 3, kind: .data, flags: .padded, stream: 1)
    #expect(throws: HTTP2Failure.connection(.protocolError, .padding)) {
      _ = try padded.content(of: [3, 0, 0].span)
    }
  }

  @Test("H2-17: frame laws")
  func laws() {
    func verdict(_ kind: HTTP2FrameHeader.Kind, _ length: Int, _ stream: UInt32) -> HTTP2Failure? {
      do {
        try HTTP2FrameHeader(payloadLength: length, kind: kind, stream: stream).check(largestPayload: 16_384)
        return nil
      } catch { return error }
    }
    #expect(verdict(.data, 1, 0) == .connection(.protocolError, .streamIdentifier))
    #expect(verdict(.data, 16_385, 1) == .connection(.frameSizeError, .frameSize))
    #expect(verdict(.pushPromise, 8, 1) == .connection(.protocolError, .pushPromise))
    #expect(verdict(.settings, 5, 0) == .connection(.frameSizeError, .frameSize))
    #expect(verdict(.priority, 4, 1) == .stream(.frameSizeError, .frameSize))
    #expect(verdict(.init(rawValue: 10), 3, 0) == nil)
  }

  @Test("H2-05: a frame of 2,700 settings is a flood; a bad one changes nothing")
  func settings() {
    var settings = HTTP2Settings()
    #expect(throws: HTTP2Failure.connection(.enhanceYourCalm, .settingsTooMany)) {
      try settings.apply([UInt8](repeating: 0, count: 6 * 2700).span, fromServer: false)
    }
    #expect(throws: HTTP2Failure.connection(.flowControlError, .settingValue)) {
      try settings.apply([0, 3, 0, 0, 0, 9, 0, 4, 0x80, 0, 0, 0].span, fromServer: false)
    }
    #expect(settings == HTTP2Settings())
  }

  @Test("H2-09: windows overflow, take no zero, and may go below zero")
  func windows() throws {
    var window = FlowWindow(65_535)
    #expect(throws: FlowWindow.Refusal.zero) { try window.open(by: 0) }
    #expect(throws: FlowWindow.Refusal.overflow) { try window.open(by: 0x7fff_ffff) }
    try window.move(by: -100_000)
    #expect(window.available == -34_465)
    #expect(throws: FlowWindow.Refusal.exhausted) { try window.spend(1) }
  }

  @Test("H2-04: ten a second after a burst of fifty; a clock that goes back refills nothing")
  func budget() {
    var budget = RateBudget(perSecond: 10, burst: 50)
    func spend(_ times: Int, now: UInt64) -> Int {
      (0..<times).count { _ in budget.spend(now: now) }
    }
    #expect(spend(51, now: 1000) == 50)
    #expect(spend(1, now: 500) == 0)
    #expect(spend(2, now: 1100) == 1)
    #expect(spend(51, now: .max) == 50)
  }
}
