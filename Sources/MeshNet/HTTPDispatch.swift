import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// One request on its way to an endpoint, whoever sends it: its head as it is sent, the endpoints that it is tried at, the
/// connection or stream that it is on, and what is told of it. A value in the object that has the request, which performs what
/// follows (`HTTPDispatcher`): nothing is called from here, and nothing allocated.
///
/// ```
///  begin ─► chosen ─► sent ─► answers ─► answerBegan ─► answered ─► ended
///             ▲         │ the attempt failed: the same endpoint anew, or another one
///             └─────────┘
/// ```
///
/// Here, and nowhere else, is known which endpoint an attempt goes to (`chosen`), what became of it (`attemptEnded`), and that the
/// request is over (`ended`): what balances, ejects and limits is told from here. It cannot be copied, because what it has open is
/// counted as long as it has it.
struct HTTPDispatch: ~Copyable {
  /// What the request goes on.
  enum Way {
    case none
    case http1(HTTPUpstream)
    case http2(HTTP2Leg)
  }

  private(set) var exchange = HTTPExchange()
  private var attempts: ConnectAttempts
  /// The endpoints that it may go to.
  private(set) var share: RoutingTable.Share?
  /// The endpoint of the last attempt.
  private(set) var choice: RoutingTable.Choice?
  var way = Way.none
  /// In the queue for a connection, where there may be no more of them.
  var place: HTTPPlace?

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

  // What it has open.

  private var allowance: RetryAllowance?
  private var ticket: AttemptTicket?
  /// When the attempt began, in microseconds, and with which status its answer did; 0: it has not.
  private var chosenAt: UInt64 = 0
  private var status: UInt16 = 0
  private var request: UpstreamRecord.Permit?
  private var pending: UpstreamRecord.Permit?
  private var repetition: UpstreamRecord.Permit?

  /// The status that is answered on purpose once the delay is over.
  private var abort: UInt16?
  /// By which the share is found in a newer table; nil: by itself.
  private var backend: HTTPUpstreams.Target?

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

  /// The head is set. Where it goes first; nil: it is held up on purpose until the deadline.
  mutating func begin(
    _ direction: HTTPDirection, isIdempotent: Bool, of flow: AcceptedFlow, in loop: RelayLoop
  ) -> ConnectAttempts.Action? {
    self.answerEdit = direction.answerEdit
    self.retry = direction.retry
    self.session = direction.session
    self.share = direction.share
    self.allowance = direction.allowance
    self.backend = direction.backend
    self.abort = direction.faults.abort
    direction.allowance.called.countRequest(now: loop.now)
    self.exchange.begin(
      isReplayable: self.isWhole && isIdempotent, requestTimeout: direction.requestTimeout,
      backendTimeout: direction.backendTimeout,
      retries: direction.retry?.retries(isIdempotent: isIdempotent, seed: loop.random.next()),
      delay: direction.faults.delay ?? 0, now: loop.now)
    self.attempts = ConnectAttempts(
      table: loop.table, original: flow.original, isRequest: true, key: direction.key, opensTunnels: true)
    guard self.exchange.phase == .dialling else {
      self.account.flags.insert(.delayInjected)
      loop.counters.delayed &+= 1
      return nil
    }
    guard self.admit() else { return .refuse(.overflow) }
    return self.attempts.begin(
      in: direction.share, first: direction.session?.choice, now: loop.now, using: &loop.random)
  }

  /// A copy of a request, which is tried once.
  mutating func beginCopy(
    in share: RoutingTable.Share, of flow: AcceptedFlow, in loop: RelayLoop
  ) -> ConnectAttempts.Action {
    self.share = share
    self.exchange.begin(isReplayable: false, now: loop.now)
    self.attempts = ConnectAttempts(
      table: loop.table, original: flow.original, isRequest: true, opensTunnels: true)
    guard self.admit() else { return .refuse(.overflow) }
    return self.attempts.begin(in: share, now: loop.now, using: &loop.random)
  }

  /// The delay is over: the first attempt, by the table that holds now. Nil: it is aborted.
  mutating func start(of flow: AcceptedFlow, in loop: RelayLoop) -> ConnectAttempts.Action? {
    guard self.abort == nil else { return nil }
    guard self.admit() else { return .refuse(.overflow) }
    return self.attempts.again(
      in: self.renew(of: flow, in: loop), of: loop.table, now: loop.now, using: &loop.random)
  }

  /// What is answered on purpose.
  var aborted: HTTPLocalAnswer { .aborted(self.abort ?? 503) }

  /// The wait is over, and the rule asks for another attempt: by the table that holds now. Nil: it cannot be made.
  mutating func again(of flow: AcceptedFlow, in loop: RelayLoop) -> ConnectAttempts.Action? {
    guard self.retry != nil else { return nil }
    self.account.triedAgain()
    loop.counters.retries &+= 1
    return self.attempts.again(
      in: self.renew(of: flow, in: loop), of: loop.table, now: loop.now, using: &loop.random)
  }

  private mutating func renew(of flow: AcceptedFlow, in loop: RelayLoop) -> RoutingTable.Share? {
    if let backend = self.backend {
      self.share = loop.table?.share(of: backend, to: flow.original)
    } else if let share = self.share {
      self.share = loop.table?.share(like: share, isV4: flow.original.address.isV4)
    }
    return self.share
  }

  private mutating func admit() -> Bool {
    guard let share = self.share else { return true }
    self.request = share.record.admit(.requests, share.traffic?.limits)
    return self.request != nil
  }

  /// The endpoint of the attempt that begins.
  mutating func chosen(_ choice: RoutingTable.Choice, in loop: RelayLoop) {
    self.choice = choice
    self.ticket = choice.attempt()
    self.chosenAt = loop.microseconds
    self.status = 0
    if self.account.isOpen { self.account.sent(to: choice, &loop.requests) }
  }

  /// The attempt waits for a connection. False: as many as may wait do.
  mutating func waits() -> Bool {
    guard let share = self.share else { return true }
    self.pending = share.record.admit(.pendingRequests, share.traffic?.limits)
    return self.pending != nil
  }

  /// It waits until there may be one more connection: as long as the request has time; where that has no end, as long as a
  /// connection may take to stand.
  mutating func queues(at place: HTTPPlace, now: UInt64) {
    self.place = place
    self.exchange.queues()
    self.attempts.queues(endsSoon: self.exchange.requestDeadline == nil, now: now)
  }

  /// The wait is over, and the attempt begins. False: it did not wait there.
  mutating func leaves(_ place: HTTPPlace, in loop: RelayLoop) -> Bool {
    guard self.place === place else { return false }
    self.place = nil
    guard self.exchange.phase == .dialling else { return false }
    self.chosenAt = loop.microseconds
    self.exchange.attemptBegins(now: loop.now)
    self.attempts.begins(now: loop.now)
    return true
  }

  /// The endpoint is one no more: another one, by the table that holds now.
  mutating func chooseAnew(of flow: AcceptedFlow, in loop: RelayLoop) -> ConnectAttempts.Action {
    self.pending = nil
    self.attemptEnded(nil, now: loop.now)
    return self.attempts.again(
      in: self.renew(of: flow, in: loop), of: loop.table, now: loop.now, using: &loop.random)
  }

  /// The endpoint cannot be reached; another one may. Nil: the request is not at that.
  /// - wasTried: else it is the proxy that failed, which says nothing about the endpoint.
  mutating func unreachable(
    as refusal: RoutingRefusal, wasTried: Bool, in loop: RelayLoop
  ) -> ConnectAttempts.Action? {
    self.way = .none
    self.pending = nil
    guard self.exchange.phase == .dialling else { return nil }
    self.attemptEnded(wasTried ? .unreachable : nil, now: loop.now)
    if refusal == .overflow { return .refuse(.overflow) }
    return self.attempts.failed(as: refusal, now: loop.now, using: &loop.random)
  }

  /// No endpoint is left for this attempt.
  mutating func refused(_ refusal: RoutingRefusal, now: UInt64) -> HTTPExchange.Action {
    self.decide(now: now) { $0.unreachable(refusal, now: now, affords: $1) }
  }

  /// The upstream stands: it gets the head, and of the body what an earlier attempt was given.
  mutating func send(to upstream: HTTPUpstream) {
    self.pending = nil
    _ = upstream.machine.begin(isHead: self.isHead, upgrades: self.upgrades)
    upstream.output.bytes += self.bytes
    if let draft = self.retry { upstream.output.bytes += draft.body }
    self.exchange.sent(isReused: upstream.hasRested)
    if !self.exchange.keepsRequest { self.bytes.removeAll(keepingCapacity: true) }
  }

  /// The stream has got the head.
  mutating func sent(on leg: HTTP2Leg) {
    self.pending = nil
    self.exchange.sent(isReused: leg.isReused)
  }

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
  mutating func answers(_ status: UInt16, in loop: RelayLoop) -> Bool {
    self.status = status
    self.ticket?.answerBegan(
      after: loop.microseconds > self.chosenAt ? loop.microseconds - self.chosenAt : 0, now: loop.now)
    guard self.exchange.mayRetry else { return false }
    let now = loop.now
    guard self.decide(now: now, { $0.answers(status, now: now, affords: $1) }) == .rest else { return false }
    self.attemptEnded(.answered(status), now: now)
    return true
  }

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
    let action = self.decide(now: now) { $0.upstreamFailed(fault: fault?.rawValue, now: now, affords: $1) }
    // A connection that had waited for too long is no fault of the endpoint.
    self.attemptEnded(action == .replay ? nil : .lost, now: now)
    return action
  }

  /// - isWhole: the request can be sent again from its first byte.
  mutating func failed(_ failure: HTTP2LegFailure, isWhole: Bool, now: UInt64) -> HTTPExchange.Action {
    let action = self.decide(now: now) { failure.action(&$0, isWhole: isWhole, now: now, affords: $1) }
    switch failure {
    case .refused: self.attemptEnded(.refused, now: now)
    case .unsendable: self.attemptEnded(nil, now: now)
    case .lost, .reset, .fault: self.attemptEnded(action == .replay ? nil : .lost, now: now)
    }
    return action
  }

  /// The upstream says nothing for as long as a connection may be idle.
  mutating func stalled(now: UInt64) { self.attemptEnded(.timedOut, now: now) }

  /// All of the answer has come.
  mutating func answered(now: UInt64) {
    guard self.status > 0 else { return }
    var status = self.status
    if let code = self.account.grpcStatus, code > 0 { status = GRPCStatus(rawValue: code)?.httpStatus ?? 500 }
    self.attemptEnded(.answered(status), now: now)
  }

  /// - outcome: nil: it says nothing about the endpoint.
  private mutating func attemptEnded(_ outcome: AttemptOutcome?, now: UInt64) {
    guard let ticket = self.ticket.take(), let outcome else { return }
    ticket.ended(as: outcome, now: now)
  }

  /// What follows, where the rule may ask for another attempt: if it can be afforded.
  private mutating func decide(
    now: UInt64, _ step: (inout HTTPExchange, HTTPExchange.Affords) -> HTTPExchange.Action
  ) -> HTTPExchange.Action {
    guard self.exchange.mayRetry, let allowance = self.allowance, let share = self.share else {
      return step(&self.exchange, { true })
    }
    // The one that this follows has ended.
    self.repetition = nil
    var permit: UpstreamRecord.Permit?
    let action = step(&self.exchange) {
      permit = share.record.admit(.retries, share.traffic?.limits)
      return permit != nil && allowance.called.affordsRetry(allowance.budget, now: now)
    }
    if action == .rest { self.repetition = permit.take() }
    return action
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
    let phase = self.exchange.phase
    var action = self.decide(now: now) { $0.expired(now: now, affords: $1) }
    if action == .none, phase == .dialling, self.attempts.deadline <= now {
      let refusal: RoutingRefusal = self.place == nil ? .connectTimeout : .overflow
      if refusal == .overflow { self.share?.record.overflowed(.connections) }
      action = self.decide(now: now) { $0.unreachable(refusal, now: now, affords: $1) }
    }
    guard action != .none else { return action }
    switch phase {
    case .dialling: self.attemptEnded(self.wasTried ? .unreachable : nil, now: now)
    case .waiting: self.attemptEnded(.timedOut, now: now)
    case .idle, .resting, .answering: break
    }
    return action
  }

  private var wasTried: Bool {
    switch self.way {
    case .none: false
    case .http1(let upstream): upstream.dial.wasTried
    case .http2(let leg): leg.upstream.dial.wasTried
    }
  }

  /// Request and answer are whole, or nobody waits for the rest.
  mutating func ended() {
    self.exchange.ended()
    self.ticket = nil
    self.request = nil
    self.pending = nil
    self.repetition = nil
    self.share = nil
    self.allowance = nil
    self.retry = nil
  }
}

/// What pays for the repetitions of requests.
struct RetryAllowance {
  /// The service port that the client called.
  let called: UpstreamRecord
  let budget: RetrySettings.Budget

  init(of route: RoutingTable.Route) {
    self.called = route.record
    self.budget = route.traffic?.retries.budget ?? RetrySettings.defaultBudget
  }
}
