import MeshRouting
import MeshTelemetry

/// One request and its answer, as the driver sees them: what follows when the upstream, or the time, fails.
///
/// ```
///  idle ─ begin ─► dialling ─ sent ─► waiting ─ answers, answerBegan ─► answering ─ ended ─► idle
///          │        ▲   ▲  │             │ a connection that had served before died at once, and the request may be
///                   │   └──┼─ replay ────┤ said twice; or the upstream did nothing of it
///          │        │      ▼             │
///          └────────┴── resting ◄────────┘ the rule asks for another attempt
///   a delay on purpose
/// ```
struct HTTPExchange: Equatable {
  enum Phase: Equatable {
    case idle
    /// No upstream stands.
    case dialling
    /// The request is sent, or as much of it as has come.
    case waiting
    /// Until the next attempt, or, where it is held up on purpose, the first.
    case resting
    /// The final head has been passed on: a failure can only be a cut.
    case answering
  }

  enum Action: Equatable {
    case none
    /// The same request on a fresh connection to the same endpoint.
    case replay
    /// What the attempt had is dropped; the next one is due at the exchange's deadline.
    case rest
    /// The first attempt.
    case start
    /// The next attempt, from the first byte of the request.
    case retry
    case answer(HTTPLocalAnswer)
    /// Close with RST: what the client got must not look whole.
    case cut
  }

  private(set) var phase = Phase.idle
  /// When the request has to be answered; nil: no limit.
  private(set) var requestDeadline: UInt64?
  /// When this attempt has to be answered.
  private(set) var attemptDeadline: UInt64?
  private var backendTimeout: UInt64?
  private var isReplayable = false
  private var isReused = false
  private var hasReplayed = false
  private var refusals = 0
  /// A byte of an answer, interim ones too, came for this attempt.
  private var wasHeard = false
  /// Nil: the rule asks for none, or the request cannot be said again any more.
  private var retries: HTTPRetries?
  private var restEnd: UInt64 = 0
  private var isHeldUp = false
  /// The rule would have asked for more attempts than it has.
  private(set) var isExhausted = false

  /// A request goes to an upstream. Timeouts of 0 are none. `delay`: before that.
  mutating func begin(
    isReplayable: Bool, requestTimeout: UInt32? = nil, backendTimeout: UInt32? = nil, retries: HTTPRetries? = nil,
    delay: UInt32 = 0, now: UInt64
  ) {
    self = HTTPExchange()
    self.retries = retries
    self.phase = .dialling
    self.isReplayable = isReplayable
    self.requestDeadline = Self.deadline(requestTimeout.map { UInt64($0) }, now)
    self.backendTimeout = backendTimeout.map { UInt64($0) }
    guard delay == 0 else {
      self.phase = .resting
      self.isHeldUp = true
      self.restEnd = now + UInt64(delay)
      return
    }
    self.attemptDeadline = Self.deadline(self.backendTimeout, now)
  }

  private static func deadline(_ timeout: UInt64?, _ now: UInt64) -> UInt64? {
    guard let timeout, timeout > 0 else { return nil }
    return now + timeout
  }

  var deadline: UInt64? {
    if self.phase == .resting { return min(self.restEnd, self.requestDeadline ?? .max) }
    return switch (self.requestDeadline, self.attemptDeadline) {
    case (let a?, let b?): min(a, b)
    case (let a, let b): a ?? b
    }
  }

  /// Whether a connection may be used that has served before. The second time nothing is left to chance.
  var mayReuse: Bool { !self.hasReplayed }
  /// Whether the request's bytes have to be kept.
  var keepsRequest: Bool { self.isReplayable && !self.hasReplayed || self.mayRetry }
  /// Whether its body has to be kept too.
  var mayRetry: Bool { self.retries != nil }
  /// Whether a pooled connection's end would be a failed request.
  var mustBeSure: Bool { !self.isReplayable }

  /// The attempt waits for its turn: its time begins with that.
  mutating func queues() { self.attemptDeadline = nil }

  mutating func attemptBegins(now: UInt64) { self.attemptDeadline = Self.deadline(self.backendTimeout, now) }

  /// The upstream stands, and the request is written to it.
  mutating func sent(isReused: Bool) {
    guard self.phase == .dialling else { return }
    self.phase = .waiting
    self.isReused = isReused
    self.wasHeard = false
  }

  /// More of the body is gone than is kept: this attempt is the last one.
  mutating func lostBody() { self.retries = nil }

  /// Bytes came from the upstream.
  mutating func heard() { self.wasHeard = true }

  /// Whether one more attempt may follow where the rule asks for one; who says yes has counted it.
  typealias Affords = () -> Bool

  /// A final head came that nobody has seen yet. `rest`: nor will anybody.
  mutating func answers(_ status: UInt16, now: UInt64, affords: Affords = { true }) -> Action {
    guard self.retries != nil, self.phase == .waiting else { return .none }
    return self.rests(after: .answered(status), now: now, affords) ? .rest : .none
  }

  mutating func answerBegan() {
    guard self.phase == .waiting else { return }
    self.phase = .answering
    self.retries = nil
    // Of the answer's beginning (GEP-1742 leaves it open; a download is not cut for being long).
    self.attemptDeadline = nil
  }

  /// No endpoint took the connection.
  mutating func unreachable(_ refusal: RoutingRefusal, now: UInt64, affords: Affords = { true }) -> Action {
    guard self.phase == .dialling else { return .none }
    let local = HTTPLocalAnswer(refusal)
    guard refusal == .upstreamFailed || refusal == .connectTimeout else { return self.over(.answer(local)) }
    return self.failed(.untouched, local, now: now, affords)
  }

  /// The upstream ended, it reset the stream, or what it sent is no answer (`fault`).
  mutating func upstreamFailed(
    fault: String? = nil, isReset: Bool = false, now: UInt64, affords: Affords = { true }
  ) -> Action {
    switch self.phase {
    case .idle, .dialling, .resting: return .none
    case .answering: return self.over(.cut)
    case .waiting:
      if self.isReused, self.isReplayable, !self.hasReplayed, !self.wasHeard, fault == nil, !isReset,
        self.mayReplay()
      {
        self.hasReplayed = true
        return self.replay(now: now)
      }
      if let fault { return self.failed(.nonsense, .badAnswer(fault), now: now, affords) }
      return self.failed(.lost, isReset ? .upstreamReset : .upstreamClosed, now: now, affords)
    }
  }

  /// The upstream did nothing of the request (RFC 9113 section 8.7): it may be sent again whatever it asks for, if all of it
  /// is still there (`isWhole`).
  mutating func upstreamRefused(isWhole: Bool, now: UInt64, affords: Affords = { true }) -> Action {
    switch self.phase {
    case .idle, .dialling, .resting: return .none
    case .answering: return self.over(.cut)
    case .waiting:
      guard isWhole, self.refusals < Self.mostRefusals else {
        return self.failed(.untouched, .upstreamRefused, now: now, affords)
      }
      self.refusals += 1
      return self.replay(now: now)
    }
  }

  /// Where the rule says how often a request may be sent, this counts as well: a backend that ends each connection looks the same.
  private mutating func mayReplay() -> Bool {
    let decision = self.retries?.decide(.lost)
    return decision != .exhausted || self.retries?.count == 0
  }

  private mutating func replay(now: UInt64) -> Action {
    self.phase = .dialling
    self.attemptDeadline = Self.deadline(self.backendTimeout, now)
    return .replay
  }

  private static let mostRefusals = 3

  mutating func expired(now: UInt64, affords: Affords = { true }) -> Action {
    guard self.phase != .idle else { return .none }
    if let deadline = self.requestDeadline, now >= deadline {
      return self.over(self.phase == .answering ? .cut : .answer(.requestTimeout))
    }
    if self.phase == .resting {
      guard now >= self.restEnd else { return .none }
      self.phase = .dialling
      self.wasHeard = false
      self.attemptDeadline = Self.deadline(self.backendTimeout, now)
      defer { self.isHeldUp = false }
      return self.isHeldUp ? .start : .retry
    }
    guard let deadline = self.attemptDeadline, now >= deadline else { return .none }
    return self.failed(self.phase == .dialling ? .untouched : .timedOut, .backendTimeout, now: now, affords)
  }

  /// The attempt came to nothing. Where the rule asks for no other, `local` is what the client gets.
  private mutating func failed(
    _ failure: HTTPRetries.Failure, _ local: HTTPLocalAnswer, now: UInt64, _ affords: Affords
  ) -> Action {
    if self.rests(after: failure, now: now, affords) { return .rest }
    var local = local
    if self.isExhausted {
      // After as many attempts as the rule has, the backend is out of service (Gateway API takes 500 and 503).
      if failure == .lost { local = HTTPLocalAnswer(503, local.reason, local.flags) }
      local.flags.insert(.upstreamRetryLimitExceeded)
    }
    return self.over(.answer(local))
  }

  private mutating func rests(after failure: HTTPRetries.Failure, now: UInt64, _ affords: Affords) -> Bool {
    switch self.retries?.decide(failure, affords: affords) {
    case .again(let wait):
      self.phase = .resting
      self.attemptDeadline = nil
      self.restEnd = now + wait
      return true
    case .exhausted:
      self.isExhausted = true
      return false
    // One that cannot be afforded stands as it is.
    case .stands, .unaffordable, nil: return false
    }
  }

  /// Both are whole, or nobody waits for the rest.
  mutating func ended() { self = HTTPExchange() }

  private mutating func over(_ action: Action) -> Action {
    self = HTTPExchange()
    return action
  }

  /// RFC 9110 section 9.2.2, of the methods that are used.
  static func isIdempotent(_ input: Span<UInt8>, _ method: Range<Int>) -> Bool {
    switch (method.count, input[method.lowerBound]) {
    case (3, 0x47), (4, 0x48), (7, 0x4f), (5, 0x54), (6, 0x44): true  // GET, HEAD, OPTIONS, TRACE, DELETE
    case (3, 0x50): input[method.lowerBound + 1] == 0x55  // PUT
    default: false
    }
  }
}
