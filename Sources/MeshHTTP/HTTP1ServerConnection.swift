/// The connection toward a client. One request is open at a time; what a client sends behind it stays in the read buffer, up to a
/// bound, until the answer has ended.
///
/// ```
///            receive                    answer, answerEnded
///  head ──► request ──► body ──► requestEnd ─┐
///    ▲                                       ├─► next: both ended
///    │             head of answer ──► ended ─┘   drain: the answer ended first and little is left of the body
///    └──────────── next ◄──────────────          close, tunnel: nothing is parsed any more
/// ```
///
/// The driver gives `receive` all bytes that it holds, from the first that was not consumed, deals with the event, drops
/// `consumed` bytes, and asks again until it is `waits`, or `needsInput` with nothing consumed.
package struct HTTP1ServerConnection {
  package enum Event: Equatable, Sendable {
    /// Nothing more in these bytes.
    case needsInput
    /// The answer has to end first.
    case waits
    /// `request` and `fields` tell what.
    case request
    case body(Range<Int>)
    /// The places of `trailers` are counted from `trailersFrom`.
    case requestEnd(trailersFrom: Int)
    /// Answer so if `canAnswer`, and close.
    case refused(HTTP1Fault)
    /// Close: the client has ended its stream with nothing open, or what was left of a body was too much.
    case closed
    case tunnel(Range<Int>)
  }

  package struct Step: Equatable, Sendable {
    package var consumed: Int
    package var event: Event

    package init(consumed: Int, event: Event) {
      self.consumed = consumed
      self.event = event
    }
  }

  package enum AfterAnswer: Equatable, Sendable {
    /// Ask `receive` again. It passes over what is left of the body, if that is little.
    case next
    /// Close once everything is written. `lingers`: read and drop what comes for a while, so that a reset does not
    /// take the answer from the client.
    case close(lingers: Bool)
    case tunnel
  }

  private enum Inbound: Equatable { case head, body, ended, draining(Int), tunnel, stopped }
  private enum Outbound: Equatable { case idle, open, begun, ended }

  private let limits: HTTP1Limits
  private var head: HTTP1HeadParser
  private var bodyParser: HTTP1BodyParser
  private var inbound = Inbound.head
  private var outbound = Outbound.idle
  private var sentContinue = false
  private var closes = false
  private var switched = false
  private var isDrained = false
  package private(set) var request: HTTP1RequestHead?

  package init(limits: HTTP1Limits = .defaults) {
    self.limits = limits
    self.head = HTTP1HeadParser(.request, limits: limits)
    self.bodyParser = HTTP1BodyParser(limits: limits)
  }

  package var fields: [HTTP1Field] { self.head.fields }
  package var trailers: [HTTP1Field] { self.bodyParser.trailers.fields }
  package var present: HTTPFieldSet { self.head.present }

  /// Whether nothing is open: such a connection can be closed without loss.
  package var isIdle: Bool { self.inbound == .head && !self.head.hasBegun }

  /// Whether an answer can still be begun.
  package var canAnswer: Bool { self.outbound == .idle || self.outbound == .open }

  /// Whether to read from the client who has sent so much that is not consumed.
  package func wantsRead(held: Int) -> Bool {
    switch self.inbound {
    case .ended: held < self.limits.readAheadBytes
    case .stopped: false
    default: true
    }
  }

  /// The process ends: the answer under way is the last one.
  package mutating func drain() { self.isDrained = true }

  package mutating func receive(_ input: Span<UInt8>, ended: Bool = false) -> Step {
    do {
      return try self.step(input, ended)
    } catch {
      self.inbound = .stopped
      self.closes = true
      return Step(consumed: 0, event: .refused(error))
    }
  }

  private mutating func step(_ input: Span<UInt8>, _ ended: Bool) throws(HTTP1Fault) -> Step {
    switch self.inbound {
    case .stopped: return Step(consumed: input.count, event: .needsInput)
    case .ended: return Step(consumed: 0, event: .waits)
    case .tunnel:
      guard !input.isEmpty else { return Step(consumed: 0, event: ended ? .closed : .needsInput) }
      return Step(consumed: input.count, event: .tunnel(0..<input.count))
    case .head: return try self.headStep(input, ended)
    case .body:
      switch try self.bodyParser.next(input) {
      case .more(let consumed):
        if ended { throw .truncated }
        return Step(consumed: consumed, event: .needsInput)
      case .data(let range): return Step(consumed: range.upperBound, event: .body(range))
      case .end(let consumed, let from):
        self.inbound = .ended
        return Step(consumed: consumed, event: .requestEnd(trailersFrom: from))
      }
    case .draining(let budget):
      var rest = budget
      var at = 0
      while true {
        switch try self.bodyParser.next(input.extracting(at..<input.count)) {
        case .more(let consumed):
          rest -= consumed
          at += consumed
          self.inbound = .draining(rest)
          guard ended || rest < 0 else { return Step(consumed: at, event: .needsInput) }
          self.inbound = .stopped
          return Step(consumed: at, event: .closed)
        case .data(let range):
          at += range.upperBound
          rest -= range.upperBound
        case .end(let consumed, _):
          self.renew()
          // Nothing was left: the next head begins here, and nobody would ask again for bytes that are there already.
          guard at + consumed > 0 else { return try self.headStep(input, ended) }
          return Step(consumed: at + consumed, event: .needsInput)
        }
      }
    }
  }

  private mutating func headStep(_ input: Span<UInt8>, _ ended: Bool) throws(HTTP1Fault) -> Step {
    switch try self.head.parse(input) {
    case .more:
      guard ended else { return Step(consumed: 0, event: .needsInput) }
      guard !self.head.hasBegun else { throw .truncated }
      self.inbound = .stopped
      return Step(consumed: 0, event: .closed)
    case .skip(let count): return Step(consumed: count, event: .needsInput)
    case .done(let length):
      let request = try HTTP1RequestHead(self.head, input, limits: self.limits)
      self.bodyParser.begin(request.framing)
      self.request = request
      self.inbound = .body
      self.outbound = .open
      self.sentContinue = false
      self.closes = !request.keepsAlive || self.isDrained
      return Step(consumed: length, event: .request)
    }
  }

  /// Whether an interim response is to be passed on: not to HTTP/1.0, and one 100 to a client that waits for it.
  package mutating func interim(_ status: UInt16) -> Bool {
    guard self.outbound == .open, let request = self.request, request.minorVersion == 1 else { return false }
    guard status == 100 else { return status > 101 }
    guard request.expectsContinue, !self.sentContinue else { return false }
    self.sentContinue = true
    return true
  }

  /// How the head of the final answer (or 101) is written.
  package struct AnswerPlan: Equatable, Sendable {
    package var framing: HTTP1Framing
    package var closes: Bool
    /// A client of HTTP/1.0 that asked for more is told that it may.
    package var tellsKeepAlive: Bool
  }

  /// Nil: an answer has begun already, or there is no request.
  package mutating func answer(status: UInt16, framing: HTTP1Framing) -> AnswerPlan? {
    guard self.outbound == .open, let request = self.request else { return nil }
    if status == 101, !request.upgrades { return nil }
    self.outbound = .begun
    if status == 101 {
      self.switched = true
      return AnswerPlan(framing: .none, closes: false, tellsKeepAlive: false)
    }
    var framing = framing
    if status == 204 || status == 304 || request.isHead {
      framing = .none
    } else if request.minorVersion == 0, framing == .chunked {
      framing = .untilClose
    } else if request.minorVersion == 1, framing == .untilClose {
      // The end is told by the last chunk, so that a cut answer does not look whole.
      framing = .chunked
    }
    if framing == .untilClose || request.upgrades { self.closes = true }
    if self.isDrained { self.closes = true }
    if self.inbound != .ended, !self.canDrain(request) { self.closes = true }
    return AnswerPlan(
      framing: framing, closes: self.closes, tellsKeepAlive: !self.closes && request.minorVersion == 0)
  }

  /// Whether the rest of the body is little. Who waits for a 100 that does not come may send the body or not: nobody knows.
  private func canDrain(_ request: HTTP1RequestHead) -> Bool {
    if self.inbound == .stopped { return false }
    if request.expectsContinue, !self.sentContinue { return false }
    guard let remaining = self.bodyParser.remaining else { return true }
    return remaining <= UInt64(self.limits.drainedBytes)
  }

  /// The whole answer is written.
  package mutating func answerEnded() -> AfterAnswer {
    guard self.outbound == .begun, let request = self.request else { return self.answerFailed() }
    if self.switched {
      self.outbound = .ended
      self.inbound = .tunnel
      return .tunnel
    }
    let bodyEnded = self.inbound == .ended
    guard !self.closes, bodyEnded || self.canDrain(request) else {
      self.inbound = .stopped
      self.outbound = .ended
      return .close(lingers: !bodyEnded || request.upgrades)
    }
    if bodyEnded {
      self.renew()
    } else {
      self.outbound = .ended
      self.inbound = .draining(self.limits.drainedBytes)
    }
    return .next
  }

  /// The answer cannot be ended: a cut stream is all that can be said.
  package mutating func answerFailed() -> AfterAnswer {
    self.inbound = .stopped
    self.outbound = .ended
    return .close(lingers: false)
  }

  private mutating func renew() {
    self.head.reset()
    self.request = nil
    self.inbound = .head
    self.outbound = .idle
    self.closes = false
  }
}
