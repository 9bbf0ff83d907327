/// The connection toward an upstream: one request, its interim responses, its answer; then the next, if the ends of both were
/// proven and nothing came in between.
package struct HTTP1ClientConnection {
  package enum Event: Equatable, Sendable {
    case needsInput
    /// 100 or 102 to 199; `response` and `fields` tell what.
    case interim(UInt16)
    /// The final head, or 101: then what follows is told as `tunnel`.
    case response
    case body(Range<Int>)
    /// The places of `trailers` are counted from `trailersFrom`. A connection that is not reusable is closed.
    case responseEnd(trailersFrom: Int, isReusable: Bool)
    case tunnel(Range<Int>)
    /// Close: the answer, if it has begun, is cut; else it is a 502.
    case refused(HTTP1Fault)
    /// Ended by the upstream with no request open.
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

  private enum State: Equatable { case idle, head, body, tunnel, stopped }

  private let limits: HTTP1Limits
  private var head: HTTP1HeadParser
  private var bodyParser: HTTP1BodyParser
  private var state = State.idle
  private var answersHead = false
  private var upgrades = false
  private var requestEndSent = false
  private var interims = 0
  package private(set) var response: HTTP1ResponseHead?

  package init(limits: HTTP1Limits = .defaults) {
    self.limits = limits
    self.head = HTTP1HeadParser(.response, limits: limits)
    self.bodyParser = HTTP1BodyParser(limits: limits)
  }

  package var fields: [HTTP1Field] { self.head.fields }
  package var trailers: [HTTP1Field] { self.bodyParser.trailers.fields }

  /// Whether a request can be sent.
  package var isIdle: Bool { self.state == .idle }

  /// A request's head is sent. False: this connection takes none, another one has to be found.
  package mutating func begin(isHead: Bool, upgrades: Bool = false) -> Bool {
    guard self.state == .idle else { return false }
    self.state = .head
    self.answersHead = isHead
    self.upgrades = upgrades
    self.requestEndSent = false
    self.interims = 0
    self.response = nil
    self.head.reset()
    return true
  }

  /// The request's last byte is sent.
  package mutating func requestEnded() { self.requestEndSent = true }

  package mutating func receive(_ input: Span<UInt8>, ended: Bool = false) -> Step {
    do {
      return try self.step(input, ended)
    } catch {
      self.state = .stopped
      return Step(consumed: 0, event: .refused(error))
    }
  }

  private mutating func step(_ input: Span<UInt8>, _ ended: Bool) throws(HTTP1Fault) -> Step {
    switch self.state {
    case .stopped: return Step(consumed: input.count, event: .needsInput)
    case .idle:
      guard input.isEmpty else { throw .unsolicited }
      if ended { self.state = .stopped }
      return Step(consumed: 0, event: ended ? .closed : .needsInput)
    case .tunnel:
      guard !input.isEmpty else { return Step(consumed: 0, event: ended ? .closed : .needsInput) }
      return Step(consumed: input.count, event: .tunnel(0..<input.count))
    case .head: return try self.headStep(input, ended)
    case .body:
      switch try self.bodyParser.next(input) {
      case .more(let consumed):
        guard ended else { return Step(consumed: consumed, event: .needsInput) }
        guard self.bodyParser.endsWithStream else { throw .truncated }
        self.state = .stopped
        return Step(consumed: consumed, event: .responseEnd(trailersFrom: consumed, isReusable: false))
      case .data(let range): return Step(consumed: range.upperBound, event: .body(range))
      case .end(let consumed, let from):
        let isReusable =
          self.requestEndSent && self.response?.keepsAlive == true && consumed == input.count && !ended
        self.state = isReusable ? .idle : .stopped
        return Step(consumed: consumed, event: .responseEnd(trailersFrom: from, isReusable: isReusable))
      }
    }
  }

  private mutating func headStep(_ input: Span<UInt8>, _ ended: Bool) throws(HTTP1Fault) -> Step {
    // An interim head's places hold until the next call.
    if self.response != nil {
      self.response = nil
      self.head.reset()
    }
    guard case .done(let length) = try self.head.parse(input) else {
      if ended { throw .truncated }
      return Step(consumed: 0, event: .needsInput)
    }
    let response = try HTTP1ResponseHead(self.head, input, answersHead: self.answersHead, limits: self.limits)
    self.response = response
    if response.isInterim {
      if response.status == 101 {
        guard self.upgrades else { throw .interim }
        self.state = .tunnel
        return Step(consumed: length, event: .response)
      }
      self.interims += 1
      guard self.interims <= self.limits.interimResponseCount else { throw .interim }
      return Step(consumed: length, event: .interim(response.status))
    }
    self.state = .body
    self.bodyParser.begin(response.framing)
    return Step(consumed: length, event: .response)
  }
}
