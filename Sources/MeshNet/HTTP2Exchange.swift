import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// One stream of a client of HTTP/2: its request goes where its route says, on HTTP/2 or HTTP/1.1, and the answer back.
///
/// ```
///  client's stream ── requestBody ──► pending ──► HTTP2Leg, or HTTPUpstream's output
///                  ◄── outflow ◄── legBody, answerBody ──
/// ```
///
/// What of the request cannot go on stays in `pending` or in the leg's outflow, what of the answer in `outflow`; neither side
/// opens its window for it before it has gone. This file: the request. `+Answer`: what comes back, `+Ending`: deadlines and ends.
final class HTTP2Exchange: HTTPUpstreamUser, HTTP2LegUser {
  /// What the request goes to.
  enum Way {
    case none
    case http1(HTTPUpstream)
    case http2(HTTP2Leg)
  }

  static let most = HTTP2Wire.most

  let id: UInt32
  let server: HTTP2Server
  let head: HTTP2Head
  /// Nothing follows the head.
  let isWhole: Bool
  let isHead: Bool
  /// Of gRPC.
  private(set) var isCall = false
  var exchange = HTTPExchange()
  var attempts: ConnectAttempts
  var choice: RoutingTable.Choice?
  var way = Way.none
  var answerEdit = HTTP1FieldEdit()
  var account = RequestAccount()
  /// The request's head as it is sent: for HTTP/2, or for HTTP/1.1 with its framing.
  var requestBlock: FieldBlock?
  private var requestBytes: [UInt8] = []
  var framing = HTTP1Framing.none
  /// Nil: the request's rule asks for no second attempt, or there can be none.
  var retry: HTTPRetryDraft?
  /// Nil: the request's rule has no sessions.
  var session: HTTPSessionDraft?
  /// Those that have not got all of the request.
  var mirrors: [HTTPMirrorCall] = []
  /// Of the leg's outflow: bytes that an earlier attempt was given too.
  var repeated = 0

  /// Of the body: told, and not passed on.
  var pending: [UInt8] = []
  /// Told and not told back.
  private(set) var held = 0
  /// The client has sent all of it.
  var requestHasEnded: Bool
  private(set) var trailers: HTTP2Head?
  var endIsSent = false
  /// What is left of the request is nobody's.
  var dropsBody = false

  /// The answer.
  var outflow = HTTP2Outflow()
  var answerHasBegun = false
  /// All of the answer is in `outflow`, or written.
  var answerIsWhole = false
  var isOver = false
  /// When something of it last moved.
  var movedAt: UInt64

  init(_ id: UInt32, _ head: HTTP2Head, isWhole: Bool, on server: HTTP2Server) {
    self.id = id
    self.server = server
    self.head = head
    self.isWhole = isWhole
    self.requestHasEnded = isWhole
    self.movedAt = server.loop.now
    self.attempts = ConnectAttempts(table: nil, original: server.flow.original)
    if case .request(let method, _, _, _) = head.start {
      self.isHead = head.text(method).elementsEqual("HEAD".utf8)
    } else {
      self.isHead = false
    }
  }

  var loop: RelayLoop { self.server.loop }
  var client: CInt { self.server.socket }
  func abort() { self.cut(.cancel) }

  // MARK: where it goes

  func begin() {
    guard case .request(let method, _, let authority, let path) = self.head.start else {
      return self.cut(.protocolError)
    }
    self.loop.counters.requests &+= 1
    self.account.begin(source: self.server.sourceWorkload, at: self.loop.microseconds, .http2)
    self.loop.routed.fields.removeAll(keepingCapacity: true)
    for field in self.head.fields { self.loop.routed.fields.append(.init(name: field.name, value: field.value)) }
    let bytes = self.head.block.bytes
    self.isCall = self.loop.isCall(bytes.span)
    let places = HTTPRequestPlaces(method: method, authority: authority, target: path)
    guard let timeout = self.isCall ? self.loop.callTimeout(bytes.span) : 0 else {
      return self.answerLocally(.grpcTimeout)
    }
    switch self.loop.direct(places, of: self.server.flow, in: bytes.span, for: &self.account) {
    case .answer(let local, let edit): self.answerLocally(local, edit: edit)
    case .forward(var direction):
      if timeout > 0 {
        // The sooner of the two.
        let ruled = direction.requestTimeout ?? 0
        direction.requestTimeout = ruled > 0 ? min(ruled, timeout) : timeout
      }
      let isIdempotent = HTTPExchange.isIdempotent(bytes.span, method)
      self.forward(direction, isIdempotent: isIdempotent)
    }
  }

  private func forward(_ direction: HTTPDirection, isIdempotent: Bool) {
    self.loop.renewPassage(of: self.server.flow)
    self.account.passes(self.loop.passage)
    do throws(HTTPBridge.Refusal) {
      if direction.speaksHTTP2 {
        self.requestBlock = try HTTPBridge.request(
          self.head, ends: self.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: direction.authority)
      } else {
        self.framing = try HTTPBridge.request(
          self.head, ends: self.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: direction.authority, to: &self.requestBytes)
      }
    } catch {
      return self.answerLocally(HTTPLocalAnswer(error))
    }
    self.answerEdit = direction.answerEdit
    self.retry = direction.retry
    self.session = direction.session
    self.exchange.begin(
      isReplayable: self.isWhole && isIdempotent, requestTimeout: direction.requestTimeout,
      backendTimeout: direction.backendTimeout,
      retries: direction.retry?.retries(isIdempotent: isIdempotent, seed: self.loop.random.next()),
      now: self.loop.now)
    if !direction.mirrors.isEmpty { self.beginMirrors(direction) }
    self.attempts = ConnectAttempts(table: self.loop.table, original: self.server.flow.original)
    self.perform(
      self.attempts.begin(
        in: direction.share, first: direction.session?.choice, now: self.loop.now, using: &self.loop.random))
  }

  func perform(_ action: ConnectAttempts.Action) {
    switch action {
    case .refuse(let refusal): self.perform(self.exchange.unreachable(refusal, now: self.loop.now), [])
    case .dial(let choice, _): self.dial(choice)
    }
  }

  func dial(_ choice: RoutingTable.Choice) {
    self.choice = choice
    self.account.sent(to: choice, &self.loop.requests)
    let flow = self.server.flow
    let key = UpstreamPool.Key(
      workload: flow.sourceWorkload, namespaceCookie: flow.namespaceCookie, target: choice.target)
    if let block = self.requestBlock {
      let (leg, isFresh) = self.loop.leg(block, isWhole: self.isWhole, to: key, flow, for: self, self.exchange)
      self.way = .http2(leg)
      leg.begin(isFresh: isFresh, client: self.client)
    } else {
      let (upstream, isFresh) = self.loop.upstream(key, flow, for: self, self.exchange)
      self.way = .http1(upstream)
      if isFresh { upstream.begin(client: self.client) } else { self.upstreamOpened(upstream) }
    }
    self.server.arm()
  }

  private func dialFailed(as refusal: RoutingRefusal) {
    self.way = .none
    guard self.exchange.phase == .dialling else { return }
    self.perform(self.attempts.failed(as: refusal, now: self.loop.now, using: &self.loop.random))
  }

  func upstreamUnreachable(_ upstream: HTTPUpstream) {
    if self.isOn(upstream) { self.dialFailed(as: upstream.dial.refusal) }
  }
  func legUnreachable(_ leg: HTTP2Leg) { if self.isOn(leg) { self.dialFailed(as: leg.upstream.refusal) } }

  func isOn(_ upstream: HTTPUpstream) -> Bool {
    if case .http1(let mine) = self.way { mine === upstream } else { false }
  }

  func isOn(_ leg: HTTP2Leg) -> Bool { if case .http2(let mine) = self.way { mine === leg } else { false } }

  func legOpened(_ leg: HTTP2Leg) {
    guard self.isOn(leg) else { return leg.close() }
    self.exchange.sent(isReused: leg.isReused)
    self.server.reached()
    self.sayAgain(to: leg)
    self.pushBody()
  }

  func upstreamOpened(_ upstream: HTTPUpstream) {
    guard self.isOn(upstream) else { return upstream.close() }
    _ = upstream.machine.begin(isHead: self.isHead)
    upstream.output.bytes += self.requestBytes
    if let draft = self.retry { upstream.output.bytes += draft.body }
    self.exchange.sent(isReused: upstream.hasServed)
    self.server.reached()
    self.pushBody()
    upstream.runSoon()
  }

  // MARK: the body

  func requestBody(_ input: Span<UInt8>, ends: Bool) {
    self.held += input.count
    self.account.requestBytes &+= UInt64(input.count)
    self.movedAt = self.loop.now
    for mirror in self.mirrors { mirror.body(input) }
    if self.dropsBody {
      self.giveBack(input.count)
    } else if self.pending.isEmpty, case .http2(let leg) = self.way, leg.id > 0 {
      if let draft = self.retry { self.keepBody(input, of: draft) }
      self.giveBack(leg.send(input))
    } else {
      self.pending.append(input)
    }
    if ends { self.requestIsWhole() }
    self.pushBody()
  }

  func requestTrailers(_ head: HTTP2Head) {
    self.trailers = head
    self.requestIsWhole()
    self.pushBody()
  }

  private func requestIsWhole() {
    self.requestHasEnded = true
    if !self.mirrors.isEmpty { self.mirrorEnd() }
  }

  /// Passes on what waits, as far as it may go.
  func pushBody() {
    guard !self.dropsBody, self.exchange.phase == .waiting || self.exchange.phase == .answering else { return }
    switch self.way {
    case .none: return
    case .http2(let leg):
      guard leg.id > 0 else { return }
      if !self.pending.isEmpty {
        let pending = self.pending
        self.pending = []
        if let draft = self.retry { self.keepBody(pending.span, of: draft) }
        self.giveBack(leg.send(pending.span))
      }
      guard self.requestHasEnded, !self.endIsSent else { return }
      self.endIsSent = true
      leg.end(self.trailers.flatMap { HTTPBridge.trailers($0) })
    case .http1(let upstream):
      if !self.pending.isEmpty {
        guard upstream.output.count < Self.most else { return }
        self.write(self.pending, to: upstream)
      }
      guard self.requestHasEnded, !self.endIsSent else { return }
      self.endIsSent = true
      if self.framing == .chunked { HTTPBridge.lastChunk(self.trailers, to: &upstream.output.bytes) }
      upstream.machine.requestEnded()
      upstream.runSoon()
    }
  }

  private func write(_ bytes: [UInt8], to upstream: HTTPUpstream) {
    self.pending = []
    if let draft = self.retry { self.keepBody(bytes.span, of: draft) }
    if self.framing == .chunked {
      HTTP1Writer.chunkBegin(bytes.count, to: &upstream.output.bytes)
      upstream.output.bytes += bytes
      HTTP1Writer.chunkEnd(to: &upstream.output.bytes)
    } else {
      upstream.output.bytes += bytes
    }
    self.giveBack(bytes.count)
    upstream.runSoon()
  }

  func legHasRoom(_ leg: HTTP2Leg, _ count: Int) {
    self.movedAt = self.loop.now
    let again = min(count, self.repeated)
    self.repeated -= again
    self.giveBack(count - again)
  }

  /// So many bytes of the request are on their way, or nobody's.
  func giveBack(_ count: Int) {
    self.held -= count
    self.server.consumed(count, of: self.id)
  }

  func dropBody() {
    self.dropsBody = true
    self.pending = []
    self.giveBack(self.held)
  }

  /// The request can be sent again from its first byte: what had not gone is taken back.
  func rewind(_ leg: HTTP2Leg) -> Bool {
    if self.exchange.mayRetry { return true }
    guard leg.written == 0, self.repeated == 0, !self.dropsBody else { return false }
    self.pending = Array(leg.outflow.prefix(leg.outflow.count)) + self.pending
    self.endIsSent = false
    return true
  }
}
