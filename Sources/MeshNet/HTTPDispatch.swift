import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// One request on its way to an endpoint, whoever sends it: its head as it is sent, the endpoints that it is tried at, the
/// connection or stream that it is on, and what is told of it. A value in the object that has the request, which performs what
/// follows (`HTTPDispatcher`): nothing is called from here, and nothing allocated.
///
/// ```
///  begin ─► chosen ─► sent ─► answers ─► answerBegan ─► ended
///             ▲         │ the attempt failed: the same endpoint anew, or another one
///             └─────────┘
/// ```
///
/// Here, and nowhere else, is known which endpoint an attempt goes to (`chosen`), what became of it (`unreachable`, `answers`,
/// `upstreamFailed`, `expired`), and that the request is over (`ended`).
struct HTTPDispatch {
  /// What the request goes on.
  enum Way {
    case none
    case http1(HTTPUpstream)
    case http2(HTTP2Leg)
  }

  private(set) var exchange = HTTPExchange()
  private var attempts: ConnectAttempts
  /// The endpoint of the last attempt.
  private(set) var choice: RoutingTable.Choice?
  var way = Way.none

  /// The request's head for HTTP/2; else it is in `bytes`.
  var block: FieldBlock?
  /// The same for HTTP/1.1, until it need not be sent again.
  var bytes: [UInt8] = []
  /// Of the body that follows, on HTTP/1.1.
  var framing = HTTP1Framing.none
  var isHead = false
  /// Nothing follows the head.
  var isWhole = false
  var upgrades = false

  /// Nil: the request's rule asks for no second attempt, or there can be none.
  private(set) var retry: HTTPRetryDraft?
  /// Nil: the request's rule has no sessions.
  private var session: HTTPSessionDraft?
  /// Route's edits of the answer.
  private(set) var answerEdit = HTTP1FieldEdit()
  /// Those that have not got all of the request.
  var mirrors: [HTTPMirrorCall] = []
  /// What metrics and the access log will say.
  var account = RequestAccount()

  init(to original: SocketEndpoint) { self.attempts = ConnectAttempts(table: nil, original: original) }

  var phase: HTTPExchange.Phase { self.exchange.phase }
  var mayRetry: Bool { self.exchange.mayRetry }

  var upstream: HTTPUpstream? { if case .http1(let upstream) = self.way { upstream } else { nil } }
  var leg: HTTP2Leg? { if case .http2(let leg) = self.way { leg } else { nil } }

  func isOn(_ upstream: HTTPUpstream) -> Bool {
    if case .http1(let mine) = self.way { mine === upstream } else { false }
  }
  func isOn(_ leg: HTTP2Leg) -> Bool { if case .http2(let mine) = self.way { mine === leg } else { false } }

  // MARK: attempts

  /// The head is set. Where it goes first.
  mutating func begin(
    _ direction: HTTPDirection, isIdempotent: Bool, of flow: AcceptedFlow, in loop: RelayLoop
  ) -> ConnectAttempts.Action {
    self.answerEdit = direction.answerEdit
    self.retry = direction.retry
    self.session = direction.session
    self.exchange.begin(
      isReplayable: self.isWhole && isIdempotent, requestTimeout: direction.requestTimeout,
      backendTimeout: direction.backendTimeout,
      retries: direction.retry?.retries(isIdempotent: isIdempotent, seed: loop.random.next()), now: loop.now)
    self.attempts = ConnectAttempts(table: loop.table, original: flow.original)
    return self.attempts.begin(
      in: direction.share, first: direction.session?.choice, now: loop.now, using: &loop.random)
  }

  /// A copy of a request, which is tried once.
  mutating func beginCopy(
    in share: RoutingTable.Share, of flow: AcceptedFlow, in loop: RelayLoop
  ) -> ConnectAttempts.Action {
    self.exchange.begin(isReplayable: false, now: loop.now)
    self.attempts = ConnectAttempts(table: loop.table, original: flow.original)
    return self.attempts.begin(in: share, now: loop.now, using: &loop.random)
  }

  /// The wait is over, and the rule asks for another attempt: by the table that holds now. Nil: it cannot be made.
  mutating func again(of flow: AcceptedFlow, in loop: RelayLoop) -> ConnectAttempts.Action? {
    guard let draft = self.retry else { return nil }
    self.account.triedAgain()
    loop.counters.retries &+= 1
    return self.attempts.again(
      in: loop.table?.share(of: draft.target, to: flow.original), of: loop.table, now: loop.now, using: &loop.random)
  }

  /// The endpoint of the attempt that begins.
  mutating func chosen(_ choice: RoutingTable.Choice, _ ledger: inout RequestLedger) {
    self.choice = choice
    if self.account.isOpen { self.account.sent(to: choice, &ledger) }
  }

  /// The endpoint cannot be reached; another one may. Nil: the request is not at that.
  mutating func unreachable(as refusal: RoutingRefusal, in loop: RelayLoop) -> ConnectAttempts.Action? {
    self.way = .none
    guard self.exchange.phase == .dialling else { return nil }
    return self.attempts.failed(as: refusal, now: loop.now, using: &loop.random)
  }

  /// No endpoint is left for this attempt.
  mutating func refused(_ refusal: RoutingRefusal, now: UInt64) -> HTTPExchange.Action {
    self.exchange.unreachable(refusal, now: now)
  }

  /// The upstream stands: it gets the head, and of the body what an earlier attempt was given.
  mutating func send(to upstream: HTTPUpstream) {
    _ = upstream.machine.begin(isHead: self.isHead, upgrades: self.upgrades)
    upstream.output.bytes += self.bytes
    if let draft = self.retry { upstream.output.bytes += draft.body }
    self.exchange.sent(isReused: upstream.hasServed)
    if !self.exchange.keepsRequest { self.bytes.removeAll(keepingCapacity: true) }
  }

  /// The stream has got the head.
  mutating func sent(on leg: HTTP2Leg) { self.exchange.sent(isReused: leg.isReused) }

  /// Of the body, before it is passed on.
  mutating func keep(_ input: Span<UInt8>) {
    guard let draft = self.retry, self.exchange.mayRetry else { return }
    guard !draft.keep(input, chunked: self.block == nil && self.framing == .chunked) else { return }
    self.retry = nil
    self.exchange.lostBody()
  }

  // MARK: what becomes of one

  /// Bytes came from the upstream.
  mutating func heard() { self.exchange.heard() }

  /// A final head came that nobody has seen yet. True: nor will anybody, another attempt is due.
  mutating func answers(_ status: UInt16, now: UInt64) -> Bool { self.exchange.answers(status, now: now) == .rest }

  /// The answer with this status goes to the client.
  mutating func answerBegan(_ status: UInt16) {
    self.account.status = status
    if self.exchange.isExhausted { self.account.flags.insert(.upstreamRetryLimitExceeded) }
    self.exchange.answerBegan()
  }

  /// What a session says in the answer, too.
  mutating func editAnswer() {
    if let session = self.session { self.answerEdit = session.edit(self.answerEdit, for: self.choice) }
  }

  /// - fault: what came is no answer. Nil: the upstream has ended.
  mutating func upstreamFailed(_ fault: HTTP1Fault?, now: UInt64) -> HTTPExchange.Action {
    self.exchange.upstreamFailed(fault: fault?.rawValue, now: now)
  }

  /// - isWhole: the request can be sent again from its first byte.
  mutating func failed(_ failure: HTTP2LegFailure, isWhole: Bool, now: UInt64) -> HTTPExchange.Action {
    failure.action(&self.exchange, isWhole: isWhole, now: now)
  }

  // MARK: time and end

  /// `UInt64.max`: none.
  var deadline: UInt64 {
    let deadline = self.exchange.deadline ?? .max
    return self.exchange.phase == .dialling ? min(deadline, self.attempts.deadline) : deadline
  }

  /// No other limit counts: the upstream is dialled, or the next attempt is waited for.
  var isBetween: Bool { self.exchange.phase == .dialling || self.exchange.phase == .resting }

  mutating func expired(now: UInt64) -> HTTPExchange.Action {
    let action = self.exchange.expired(now: now)
    guard action == .none, self.exchange.phase == .dialling, self.attempts.deadline <= now else { return action }
    return self.exchange.unreachable(.connectTimeout, now: now)
  }

  /// Request and answer are whole, or nobody waits for the rest.
  mutating func ended() { self.exchange.ended() }
}
