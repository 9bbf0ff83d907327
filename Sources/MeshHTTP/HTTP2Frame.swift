/// RFC 9113 section 7.
package struct HTTP2ErrorCode: RawRepresentable, Hashable, Sendable {
  package var rawValue: UInt32

  package init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  package static let noError = Self(rawValue: 0x0)
  package static let protocolError = Self(rawValue: 0x1)
  package static let internalError = Self(rawValue: 0x2)
  package static let flowControlError = Self(rawValue: 0x3)
  package static let settingsTimeout = Self(rawValue: 0x4)
  package static let streamClosed = Self(rawValue: 0x5)
  package static let frameSizeError = Self(rawValue: 0x6)
  package static let refusedStream = Self(rawValue: 0x7)
  package static let cancel = Self(rawValue: 0x8)
  package static let compressionError = Self(rawValue: 0x9)
  package static let connectError = Self(rawValue: 0xa)
  package static let enhanceYourCalm = Self(rawValue: 0xb)
  package static let inadequateSecurity = Self(rawValue: 0xc)
  package static let http11Required = Self(rawValue: 0xd)
}

/// Why a stream or a connection of HTTP/2 is ended. The words go to logs and metrics and do not change.
package enum HTTP2Reason: String, Hashable, Sendable, CaseIterable {
  case frameSize = "frame_size"
  case streamIdentifier = "stream_identifier"
  case padding
  case pushPromise = "push_promise"
  case settingValue = "setting_value"
  case settingsTooMany = "settings_too_many"
  case windowIncrement = "window_increment"
  case windowOverflow = "window_overflow"
  case compression
  case fieldsTooLarge = "fields_too_large"
  case fieldName = "field_name"
  case fieldValue = "field_value"
  case forbiddenField = "forbidden_field"
  case pseudoField = "pseudo_field"
  case method
  case scheme
  case authority
  case path
  case status
  case contentLength = "content_length"
  case connectRefused = "connect_refused"
  case extendedConnect = "extended_connect"
  case trailers
  case preface
  case continuation
  case blockTooLong = "block_too_long"
  case interim = "interim_responses"
  case dataBeforeHead = "data_before_head"
  case streamClosed = "stream_closed"
  case streamIdle = "stream_idle"
  case streamsTooMany = "streams_too_many"
  case draining
  case windowExceeded = "window_exceeded"
  case pingFlood = "ping_flood"
  case settingsFlood = "settings_flood"
  case priorityFlood = "priority_flood"
  case windowUpdateFlood = "window_update_flood"
  case emptyDataFlood = "empty_data_flood"
  case unknownFrameFlood = "unknown_frame_flood"
  case goAwayFlood = "goaway_flood"
  case resetFlood = "reset_flood"
  case refusalFlood = "refusal_flood"
  case faultFlood = "fault_flood"
  case prefaceTimeout = "preface_timeout"
  case headTimeout = "head_timeout"
  case settingsTimeout = "settings_timeout"
  case pingTimeout = "ping_timeout"
  case truncated
}

/// How far a failure reaches.
package enum HTTP2Failure: Error, Hashable, Sendable {
  case stream(HTTP2ErrorCode, HTTP2Reason)
  case connection(HTTP2ErrorCode, HTTP2Reason)
}

/// RFC 9113 section 4.1: the nine bytes at the front of each frame.
package struct HTTP2FrameHeader: Hashable, Sendable {
  package struct Kind: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt8

    package init(rawValue: UInt8) {
      self.rawValue = rawValue
    }

    package static let data = Self(rawValue: 0)
    package static let headers = Self(rawValue: 1)
    package static let priority = Self(rawValue: 2)
    package static let resetStream = Self(rawValue: 3)
    package static let settings = Self(rawValue: 4)
    package static let pushPromise = Self(rawValue: 5)
    package static let ping = Self(rawValue: 6)
    package static let goAway = Self(rawValue: 7)
    package static let windowUpdate = Self(rawValue: 8)
    package static let continuation = Self(rawValue: 9)
  }

  package struct Flags: OptionSet, Hashable, Sendable {
    package var rawValue: UInt8

    package init(rawValue: UInt8) {
      self.rawValue = rawValue
    }

    package static let acknowledge = Self(rawValue: 0x1)
    package static let endStream = Self(rawValue: 0x1)
    package static let endHeaders = Self(rawValue: 0x4)
    package static let padded = Self(rawValue: 0x8)
    package static let priority = Self(rawValue: 0x20)
  }

  package static let length = 9
  package static let largestStream: UInt32 = 0x7fff_ffff

  /// At most 2^24-1.
  package var payloadLength: Int
  package var kind: Kind
  package var flags: Flags
  package var stream: UInt32

  package init(payloadLength: Int, kind: Kind, flags: Flags = [], stream: UInt32) {
    self.payloadLength = payloadLength
    self.kind = kind
    self.flags = flags
    self.stream = stream
  }

  /// Nil: fewer than nine bytes.
  package init?(_ bytes: Span<UInt8>) {
    guard bytes.count >= Self.length else { return nil }
    self.payloadLength = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
    self.kind = Kind(rawValue: bytes[3])
    self.flags = Flags(rawValue: bytes[4])
    self.stream = bytes.bigEndian32(at: 5) & Self.largestStream
  }

  package func write(to output: inout [UInt8]) {
    output.append(UInt8(truncatingIfNeeded: self.payloadLength >> 16))
    output.append(UInt8(truncatingIfNeeded: self.payloadLength >> 8))
    output.append(UInt8(truncatingIfNeeded: self.payloadLength))
    output.append(self.kind.rawValue)
    output.append(self.flags.rawValue)
    output.appendBigEndian32(self.stream & Self.largestStream)
  }

  /// What can be said of a frame before its payload is there. Unknown kinds pass: they are skipped.
  package func check(largestPayload: Int) throws(HTTP2Failure) {
    guard self.payloadLength <= largestPayload else { throw .connection(.frameSizeError, .frameSize) }
    switch self.kind {
    case .data, .headers, .continuation:
      try self.requireStream()
    case .priority:
      try self.requireStream()
      guard self.payloadLength == 5 else { throw .stream(.frameSizeError, .frameSize) }
    case .resetStream:
      try self.requireStream()
      try self.requireLength(4)
    case .settings:
      try self.requireConnection()
      guard self.payloadLength % 6 == 0, !self.flags.contains(.acknowledge) || self.payloadLength == 0 else {
        throw .connection(.frameSizeError, .frameSize)
      }
    case .ping:
      try self.requireConnection()
      try self.requireLength(8)
    case .goAway:
      try self.requireConnection()
      guard self.payloadLength >= 8 else { throw .connection(.frameSizeError, .frameSize) }
    case .windowUpdate:
      try self.requireLength(4)
    case .pushPromise:
      throw .connection(.protocolError, .pushPromise)
    default:
      break
    }
  }

  /// Where in a whole payload of DATA or HEADERS the content is, without padding and priority.
  package func content(of payload: Span<UInt8>) throws(HTTP2Failure) -> Range<Int> {
    var start = 0
    var end = payload.count
    if self.flags.contains(.padded) {
      guard let padding = payload.isEmpty ? nil : Int(payload[0]) else {
        throw .connection(.frameSizeError, .frameSize)
      }
      start = 1
      guard padding <= end - start else { throw .connection(.protocolError, .padding) }
      end -= padding
    }
    if self.kind == .headers, self.flags.contains(.priority) {
      guard end - start >= 5 else { throw .connection(.frameSizeError, .frameSize) }
      start += 5
    }
    return start..<end
  }

  private func requireStream() throws(HTTP2Failure) {
    guard self.stream != 0 else { throw .connection(.protocolError, .streamIdentifier) }
  }

  private func requireConnection() throws(HTTP2Failure) {
    guard self.stream == 0 else { throw .connection(.protocolError, .streamIdentifier) }
  }

  private func requireLength(_ length: Int) throws(HTTP2Failure) {
    guard self.payloadLength == length else { throw .connection(.frameSizeError, .frameSize) }
  }
}

extension Span<UInt8> {
  /// The caller has checked that four bytes are there.
  func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(self[offset]) << 24 | UInt32(self[offset + 1]) << 16 | UInt32(self[offset + 2]) << 8
      | UInt32(self[offset + 3])
  }
}

extension [UInt8] {
  mutating func appendBigEndian32(_ value: UInt32) {
    self.append(UInt8(truncatingIfNeeded: value >> 24))
    self.append(UInt8(truncatingIfNeeded: value >> 16))
    self.append(UInt8(truncatingIfNeeded: value >> 8))
    self.append(UInt8(truncatingIfNeeded: value))
  }
}
