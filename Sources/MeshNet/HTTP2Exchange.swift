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
final class HTTP2Exchange: HTTPDispatcher {
  static let most = HTTP2Wire.most

  let id: UInt32
  let server: HTTP2Server
  let head: HTTP2Head
  /// Of gRPC.
  private(set) var isCall = false
  var dispatch: HTTPDispatch
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
    self.requestHasEnded = isWhole
    self.movedAt = server.loop.now
    self.dispatch = HTTPDispatch(to: server.flow.original)
    self.dispatch.isWhole = isWhole
    if case .request(let method, _, _, _) = head.start {
      self.dispatch.isHead = head.text(method).elementsEqual("HEAD".utf8)
    }
  }

  var loop: RelayLoop { self.server.loop }
  var flow: AcceptedFlow { self.server.flow }
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
        self.dispatch.block = try HTTPBridge.request(
          self.head, ends: self.dispatch.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: direction.authority)
      } else {
        self.dispatch.framing = try HTTPBridge.request(
          self.head, ends: self.dispatch.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: direction.authority, to: &self.dispatch.bytes)
      }
    } catch {
      return self.answerLocally(HTTPLocalAnswer(error))
    }
    if !direction.mirrors.isEmpty { self.beginMirrors(direction) }
    self.perform(self.dispatch.begin(direction, isIdempotent: isIdempotent, of: self.flow, in: self.loop))
  }

  func requestSent() {
    self.server.reached()
    switch self.dispatch.way {
    case .none: break
    case .http1(let upstream): upstream.runSoon()
    case .http2(let leg): self.sayAgain(to: leg)
    }
    self.pushBody()
  }

  func moved() { self.server.arm() }

  // MARK: the body

  func requestBody(_ input: Span<UInt8>, ends: Bool) {
    self.held += input.count
    self.account.requestBytes &+= UInt64(input.count)
    self.movedAt = self.loop.now
    for mirror in self.dispatch.mirrors { mirror.body(input) }
    if self.dropsBody {
      self.giveBack(input.count)
    } else if self.pending.isEmpty, case .http2(let leg) = self.dispatch.way, leg.id > 0 {
      self.dispatch.keep(input)
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
    if !self.dispatch.mirrors.isEmpty { self.mirrorEnd() }
  }

  /// Passes on what waits, as far as it may go.
  func pushBody() {
    guard !self.dropsBody, self.dispatch.phase == .waiting || self.dispatch.phase == .answering else { return }
    switch self.dispatch.way {
    case .none: return
    case .http2(let leg):
      guard leg.id > 0 else { return }
      if !self.pending.isEmpty {
        let pending = self.pending
        self.pending = []
        self.dispatch.keep(pending.span)
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
      if self.dispatch.framing == .chunked { HTTPBridge.lastChunk(self.trailers, to: &upstream.output.bytes) }
      upstream.machine.requestEnded()
      upstream.runSoon()
    }
  }

  private func write(_ bytes: [UInt8], to upstream: HTTPUpstream) {
    self.pending = []
    self.dispatch.keep(bytes.span)
    upstream.say(bytes.span, as: self.dispatch.framing)
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
  func takeBack(from leg: HTTP2Leg) -> Bool {
    if self.dispatch.mayRetry { return true }
    guard leg.written == 0, self.repeated == 0, !self.dropsBody else { return false }
    self.pending = Array(leg.outflow.prefix(leg.outflow.count)) + self.pending
    self.endIsSent = false
    return true
  }
}
