/// One request and its answer, as the driver sees them: what follows when the upstream, or the time, fails.
///
/// ```
///  idle ─ begin ─► dialling ─ sent ─► waiting ─ answerBegan ─► answering ─ ended ─► idle
///                     ▲                  │ a connection that had served before died at once, and the request may be
///                     └── replay, once ──┘ said twice; or the upstream did nothing of it
/// ```
struct HTTPExchange: Equatable {
  enum Phase: Equatable {
    case idle
    /// No upstream stands.
    case dialling
    /// The request is sent, or as much of it as has come.
    case waiting
    /// The final head has been passed on: a failure can only be a cut.
    case answering
  }

  enum Action: Equatable {
    case none
    /// The same request on a fresh connection to the same endpoint.
    case replay
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

  /// A request goes to an upstream. Timeouts of 0 are none.
  mutating func begin(isReplayable: Bool, requestTimeout: UInt32? = nil, backendTimeout: UInt32? = nil, now: UInt64) {
    self = HTTPExchange()
    self.phase = .dialling
    self.isReplayable = isReplayable
    self.requestDeadline = Self.deadline(requestTimeout.map { UInt64($0) }, now)
    self.backendTimeout = backendTimeout.map { UInt64($0) }
    self.attemptDeadline = Self.deadline(self.backendTimeout, now)
  }

  private static func deadline(_ timeout: UInt64?, _ now: UInt64) -> UInt64? {
    guard let timeout, timeout > 0 else { return nil }
    return now + timeout
  }

  var deadline: UInt64? {
    switch (self.requestDeadline, self.attemptDeadline) {
    case (let a?, let b?): min(a, b)
    case (let a, let b): a ?? b
    }
  }

  /// Whether a connection may be used that has served before. The second time nothing is left to chance.
  var mayReuse: Bool { !self.hasReplayed }
  /// Whether the request's bytes have to be kept.
  var keepsRequest: Bool { self.isReplayable && !self.hasReplayed }
  /// Whether a pooled connection's end would be a failed request.
  var mustBeSure: Bool { !self.isReplayable }

  /// The upstream stands, and the request is written to it.
  mutating func sent(isReused: Bool) {
    guard self.phase == .dialling else { return }
    self.phase = .waiting
    self.isReused = isReused
    self.wasHeard = false
  }

  /// Bytes came from the upstream.
  mutating func heard() { self.wasHeard = true }

  mutating func answerBegan() {
    guard self.phase == .waiting else { return }
    self.phase = .answering
    // Of the answer's beginning (GEP-1742 leaves it open; a download is not cut for being long).
    self.attemptDeadline = nil
  }

  /// The upstream ended, or what it sent is no answer (`fault`).
  mutating func upstreamFailed(fault: String? = nil, now: UInt64) -> Action {
    switch self.phase {
    case .idle, .dialling: return .none
    case .answering: return self.over(.cut)
    case .waiting:
      if self.isReused, self.isReplayable, !self.hasReplayed, !self.wasHeard, fault == nil {
        self.hasReplayed = true
        self.phase = .dialling
        self.attemptDeadline = Self.deadline(self.backendTimeout, now)
        return .replay
      }
      return self.over(.answer(fault.map { HTTPLocalAnswer.badAnswer($0) } ?? .upstreamClosed))
    }
  }

  /// The upstream did nothing of the request (RFC 9113 section 8.7): it may be sent again whatever it asks for, if all of it
  /// is still there (`isWhole`).
  mutating func upstreamRefused(isWhole: Bool, now: UInt64) -> Action {
    switch self.phase {
    case .idle, .dialling: return .none
    case .answering: return self.over(.cut)
    case .waiting:
      guard isWhole, self.refusals < Self.mostRefusals else { return self.over(.answer(.upstreamRefused)) }
      self.refusals += 1
      self.phase = .dialling
      self.attemptDeadline = Self.deadline(self.backendTimeout, now)
      return .replay
    }
  }

  private static let mostRefusals = 3

  mutating func expired(now: UInt64) -> Action {
    guard self.phase != .idle else { return .none }
    if let deadline = self.requestDeadline, now >= deadline {
      return self.over(self.phase == .answering ? .cut : .answer(.requestTimeout))
    }
    if let deadline = self.attemptDeadline, now >= deadline { return self.over(.answer(.backendTimeout)) }
    return .none
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
