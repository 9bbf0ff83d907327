/// What one side lets the other do (RFC 9113 section 6.5.2), with the protocol's initial values.
package struct HTTP2Settings: Hashable, Sendable {
  /// A frame with more is a flood: every known setting fits many times over.
  package static let mostEntries = 64
  package static let largestWindow = 0x7fff_ffff
  /// What every window begins with until something is said.
  package static let protocolWindow = 65_535
  package static let smallestFrameLimit = 16_384
  package static let largestFrameLimit = 16_777_215

  package var headerTableSize = 4096
  package var pushIsEnabled = true
  /// Nil: not limited.
  package var concurrentStreams: Int?
  package var initialWindow = HTTP2Settings.protocolWindow
  package var largestPayload = HTTP2Settings.smallestFrameLimit
  /// Nil: not limited.
  package var fieldListSize: Int?

  package init() {}

  /// Takes a whole payload, or nothing of it. The later of two values for one setting holds, unknown ones are passed over.
  package mutating func apply(_ payload: Span<UInt8>, fromServer: Bool) throws(HTTP2Failure) {
    guard payload.count % 6 == 0 else { throw .connection(.frameSizeError, .frameSize) }
    guard payload.count / 6 <= Self.mostEntries else { throw .connection(.enhanceYourCalm, .settingsTooMany) }
    var next = self
    var offset = 0
    while offset < payload.count {
      let value = Int(payload.bigEndian32(at: offset + 2))
      switch UInt16(payload[offset]) << 8 | UInt16(payload[offset + 1]) {
      case 0x1:
        next.headerTableSize = value
      case 0x2:
        guard value == 0 || (value == 1 && !fromServer) else { throw .connection(.protocolError, .settingValue) }
        next.pushIsEnabled = value == 1
      case 0x3:
        next.concurrentStreams = value
      case 0x4:
        guard value <= Self.largestWindow else { throw .connection(.flowControlError, .settingValue) }
        next.initialWindow = value
      case 0x5:
        guard value >= Self.smallestFrameLimit, value <= Self.largestFrameLimit else {
          throw .connection(.protocolError, .settingValue)
        }
        next.largestPayload = value
      case 0x6:
        next.fieldListSize = value
      default:
        break
      }
      offset += 6
    }
    self = next
  }
}

/// Bytes that may be sent (RFC 9113 section 6.9). Below zero after the peer made its windows smaller.
package struct FlowWindow: Hashable, Sendable {
  package private(set) var available: Int

  package init(_ available: Int) {
    self.available = available
  }

  package enum Refusal: Error, Hashable, Sendable {
    case zero
    case overflow
    case exhausted
  }

  package mutating func open(by increment: UInt32) throws(Refusal) {
    let increment = Int(increment & HTTP2FrameHeader.largestStream)
    guard increment > 0 else { throw .zero }
    try self.move(by: increment)
  }

  /// SETTINGS changed the initial window: all streams' windows move by the difference.
  package mutating func move(by difference: Int) throws(Refusal) {
    let (next, overflow) = self.available.addingReportingOverflow(difference)
    guard !overflow, next <= HTTP2Settings.largestWindow else { throw .overflow }
    self.available = next
  }

  package mutating func spend(_ count: Int) throws(Refusal) {
    guard count >= 0, count == 0 || count <= self.available else { throw .exhausted }
    self.available -= count
  }
}
