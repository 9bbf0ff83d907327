/// One connection of HTTP/2, toward a client or toward an upstream: frames, streams, windows, limits.
///
/// ```
///            bytes                         what the driver does with a stream
///  receive ────────► preface ► frames ─┬─► head ──► data* ──► (trailers)      one that `ends` is the last
///     │                                ├─► reset, refused: the stream is gone, at either side's wish
///     │ acks, window updates, resets   ├─► writable: `sendData` takes more again
///     ▼                                └─► failed, closed: all streams are gone
///  output ◄──── send, sendData, open, reset, consumed, ping, drain, expire
/// ```
///
/// The driver gives `receive` all bytes that it holds, from the first that was not consumed, deals with the event, drops
/// `consumed` bytes, and asks again until it is `needsInput` with nothing consumed. What is in `output` after any call is to be
/// written in that order, before the next call's. A driver that cannot write stops reading.
///
/// DATA is told as ranges of the input. Every byte of it has to be told back with `consumed`, also of streams that have ended
/// since: only that opens the windows again. Frames for what the driver sends are begun by `sendData`, which says how many
/// bytes have to follow; a body is copied nowhere.
///
/// A stream's fault ends the stream with RST_STREAM, a connection's with GOAWAY. Either is paid for by the peer's budgets.
package struct HTTP2Connection: Sendable {
  package enum Role: Hashable, Sendable { case server, client }

  package enum Event: Equatable, Sendable {
    case needsInput
    /// A request, a response (interim ones have a status below 200), or trailers.
    case head(UInt32, HTTP2Head, ends: Bool)
    case data(UInt32, Range<Int>, ends: Bool)
    /// By the peer. `isUnprocessed`: the request had no effect there and may be sent elsewhere.
    case reset(UInt32, HTTP2ErrorCode, isUnprocessed: Bool)
    /// By this side: the peer broke a law or went over a limit. The stream may be one that was never told of.
    case refused(UInt32, HTTP2ErrorCode, HTTP2Reason)
    /// The stream's window is open again; 0: the connection's.
    case writable(UInt32)
    /// `canOpen` and what can be sent may have changed.
    case settings
    /// The peer takes no more streams.
    case goAway(HTTP2ErrorCode)
    case pong(UInt64)
    /// Write what is in the output, and close.
    case failed(HTTP2ErrorCode, HTTP2Reason)
    /// The peer ended the connection between frames.
    case closed
  }

  package struct Step: Equatable, Sendable {
    package var consumed: Int
    package var event: Event

    package init(consumed: Int, event: Event) {
      self.consumed = consumed
      self.event = event
    }
  }

  /// What comes next in the input.
  enum Place: Equatable {
    case preface(matched: Int)
    case frame
    case data(DataFrame)
    case skip(Int)
    case stopped
  }

  struct DataFrame: Equatable {
    var stream: UInt32
    var content: Int
    var padding: Int
    var ends: Bool
  }

  /// A field block that has not come to its end.
  struct Block: Equatable {
    var stream: UInt32
    var ends: Bool
    var frames = 1
    var bytes: [UInt8]
  }

  package let role: Role
  let limits: HTTP2Limits
  var codec: any HeaderBlockCodec
  var place: Place
  var block: Block?
  var budgets: HTTP2Budgets
  var streams = HTTP2Streams()
  var resets: HTTP2ResetRing
  var peer = HTTP2Settings()
  var sendWindow = FlowWindow(HTTP2Settings.protocolWindow)
  var receiveWindow: HTTP2ReceiveWindow
  /// The highest number that the peer has used.
  var lastAccepted: UInt32 = 0
  var nextOpened: UInt32
  /// From the peer's GOAWAY: higher ones of ours are not processed.
  var lastProcessed: UInt32?
  var sawSettings = false
  var awaitsAcknowledgement = false
  var shutdown = Shutdown.none
  var clocks = Clocks()
  var pingCount: UInt64 = 0
  var awaitedPing: UInt64?
  /// Frames that came for streams that were reset, and were passed over.
  package internal(set) var ignoredFrames: UInt64 = 0

  enum Shutdown: Equatable {
    case none
    /// The first GOAWAY is written; the second follows this ping's answer.
    case announced(ping: UInt64)
    case final
  }

  /// Since when something is waited for.
  struct Clocks: Equatable {
    var preface: UInt64?
    var settings: UInt64?
    var head: UInt64?
    var ping: UInt64?
    var drain: UInt64?
  }

  static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  package enum Greeting: Hashable, Sendable {
    case preface
    /// It may become one.
    case beginning
    case other
  }

  /// Whether a connection's first bytes are a client's of HTTP/2. No request of HTTP/1.1 begins so.
  package static func greeting(_ input: Span<UInt8>) -> Greeting {
    let count = min(Self.preface.utf8CodeUnitCount, input.count)
    let matches = Self.preface.withUTF8Buffer { text in
      for offset in 0..<count where unsafe text[offset] != input[offset] { return false }
      return true
    }
    guard matches else { return .other }
    return count == Self.preface.utf8CodeUnitCount ? .preface : .beginning
  }

  /// The codec of a test; nil: NIOHPACK.
  package init(_ role: Role, limits: HTTP2Limits = .defaults, codec: (any HeaderBlockCodec)? = nil) {
    self.role = role
    self.limits = limits
    // A list that is a little too large is still read, so that one request is refused and not the connection.
    self.codec = codec ?? HPACKCodec(largestList: 2 * limits.fieldListSize)
    self.place = role == .server ? .preface(matched: 0) : .frame
    self.nextOpened = role == .client ? 1 : 2
    self.budgets = HTTP2Budgets(limits)
    self.resets = HTTP2ResetRing(capacity: limits.rememberedResets)
    self.receiveWindow = HTTP2ReceiveWindow(size: limits.connectionWindow)
  }

  package var openStreams: Int { self.streams.count }

  /// Whether it can be closed without loss: drained, or the peer takes no more, and no stream is open.
  package var isDone: Bool {
    self.streams.count == 0 && (self.shutdown == .final || (self.role == .client && self.lastProcessed != nil))
  }

  /// Bytes of DATA that were told and not consumed.
  package var heldBytes: Int { self.receiveWindow.held }

  var hasFailed: Bool { self.place == .stopped }

  /// What is written first.
  package mutating func start(now: UInt64, to output: inout [UInt8]) {
    if self.role == .client { output.append(Self.preface) }
    var settings: [(UInt16, Int)] = [
      (0x4, max(HTTP2Settings.protocolWindow, min(self.limits.streamWindow, HTTP2Settings.largestWindow))),
      (0x6, self.limits.fieldListSize),
    ]
    if self.limits.largestFrame > HTTP2Settings.smallestFrameLimit {
      settings.append((0x5, min(self.limits.largestFrame, HTTP2Settings.largestFrameLimit)))
    }
    settings.append(self.role == .server ? (0x3, self.limits.concurrentStreams) : (0x2, 0))
    HTTP2FrameHeader(payloadLength: 6 * settings.count, kind: .settings, stream: 0).write(to: &output)
    for (identifier, value) in settings {
      output.append(UInt8(truncatingIfNeeded: identifier >> 8))
      output.append(UInt8(truncatingIfNeeded: identifier))
      output.appendBigEndian32(UInt32(truncatingIfNeeded: value))
    }
    if self.receiveWindow.available > HTTP2Settings.protocolWindow {
      output.appendWindowUpdate(
        0, UInt32(truncatingIfNeeded: self.receiveWindow.available - HTTP2Settings.protocolWindow))
    }
    self.awaitsAcknowledgement = true
    self.clocks.preface = now
    self.clocks.settings = now
  }

  /// `ended`: the peer sends nothing after these bytes.
  package mutating func receive(
    _ input: Span<UInt8>, now: UInt64, ended: Bool = false, to output: inout [UInt8]
  ) -> Step {
    var at = 0
    do {
      while true {
        if let event = try self.advance(input, &at, now: now, to: &output) {
          return Step(consumed: at, event: event == .needsInput && ended ? try self.end() : event)
        }
      }
    } catch {
      return Step(consumed: input.count, event: self.fail(error, to: &output))
    }
  }

  /// Nil: more can be made of the same input.
  private mutating func advance(
    _ input: Span<UInt8>, _ at: inout Int, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    switch self.place {
    case .stopped:
      at = input.count
      return .needsInput
    case .preface(let matched):
      return try self.matchPreface(input, &at, matched)
    case .skip(let left):
      guard at < input.count else { return .needsInput }
      let count = min(left, input.count - at)
      at += count
      self.place = count == left ? .frame : .skip(left - count)
      return nil
    case .data(let frame):
      return try self.continueData(frame, input, &at, now: now, to: &output)
    case .frame:
      // Who is behind its last processed stream is told of first.
      if let event = self.rejected() { return event }
      return try self.frame(input, &at, now: now, to: &output)
    }
  }

  private mutating func matchPreface(
    _ input: Span<UInt8>, _ at: inout Int, _ matched: Int
  ) throws(HTTP2Failure) -> Event? {
    let count = min(Self.preface.utf8CodeUnitCount - matched, input.count - at)
    let matches = Self.preface.withUTF8Buffer { text in
      for offset in 0..<count where unsafe text[matched + offset] != input[at + offset] { return false }
      return true
    }
    guard matches else { throw .connection(.protocolError, .preface) }
    at += count
    let isWhole = matched + count == Self.preface.utf8CodeUnitCount
    self.place = isWhole ? .frame : .preface(matched: matched + count)
    return isWhole ? nil : .needsInput
  }

  private mutating func end() throws(HTTP2Failure) -> Event {
    guard self.place != .stopped else { return .needsInput }
    let isBetween = self.place == .frame && self.block == nil && self.clocks.head == nil
    guard isBetween else { throw .connection(.protocolError, .truncated) }
    self.place = .stopped
    return .closed
  }

  /// The connection is over: GOAWAY says why.
  mutating func fail(_ failure: HTTP2Failure, to output: inout [UInt8]) -> Event {
    guard self.place != .stopped else { return .needsInput }
    let (code, reason): (HTTP2ErrorCode, HTTP2Reason) =
      switch failure {
      case .stream(let code, let reason), .connection(let code, let reason): (code, reason)
      }
    output.appendGoAway(self.lastAccepted, code)
    self.place = .stopped
    self.block = nil
    self.clocks = Clocks()
    return .failed(code, reason)
  }
}

extension [UInt8] {
  mutating func appendWindowUpdate(_ stream: UInt32, _ increment: UInt32) {
    HTTP2FrameHeader(payloadLength: 4, kind: .windowUpdate, stream: stream).write(to: &self)
    self.appendBigEndian32(increment)
  }

  mutating func appendReset(_ stream: UInt32, _ code: HTTP2ErrorCode) {
    HTTP2FrameHeader(payloadLength: 4, kind: .resetStream, stream: stream).write(to: &self)
    self.appendBigEndian32(code.rawValue)
  }

  mutating func appendGoAway(_ last: UInt32, _ code: HTTP2ErrorCode) {
    HTTP2FrameHeader(payloadLength: 8, kind: .goAway, stream: 0).write(to: &self)
    self.appendBigEndian32(last)
    self.appendBigEndian32(code.rawValue)
  }

  mutating func appendPing(_ value: UInt64, isAnswer: Bool) {
    HTTP2FrameHeader(payloadLength: 8, kind: .ping, flags: isAnswer ? .acknowledge : [], stream: 0).write(to: &self)
    self.appendBigEndian32(UInt32(truncatingIfNeeded: value >> 32))
    self.appendBigEndian32(UInt32(truncatingIfNeeded: value))
  }
}
