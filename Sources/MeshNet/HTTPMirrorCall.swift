import MeshHTTP
import MeshRouting

/// A copy of a request on its way to a mirror: sent as its client sends it, never waited for, its answer dropped. It fails alone,
/// and is given up when it is slower than the request itself. A call of the same workload as the request; confined to its loop.
///
/// ```
///  begin ─► dialling ─► open ─► over, when the answer has ended
///   body ─► pending ────► upstream's output, or the leg's outflow: at most `most`
/// ```
final class HTTPMirrorCall: LoopMember, HTTPDispatcher {
  enum Head {
    case http1([UInt8], HTTP1Framing)
    case http2(FieldBlock)
  }

  /// Why one came to nothing. Counted among what the proxy refuses.
  enum Failure: String {
    case noBackend = "mirror_no_backend"
    case noEndpoint = "mirror_no_endpoint"
    /// As many as may be are under way.
    case tooMany = "mirror_too_many"
    /// No endpoint took the connection, or policy forbids it.
    case unreachable = "mirror_unreachable"
    /// More of the body waits than may.
    case tooSlow = "mirror_too_slow"
    /// The answer did not end in time.
    case timedOut = "mirror_timed_out"
    /// The connection was lost, or what came is no answer.
    case lost = "mirror_lost"
    /// The request cannot be said to it.
    case unsayable = "mirror_unsayable"
  }

  /// What of a body waits.
  static let most = 256 << 10
  /// Of one loop.
  static let mostCalls = 256

  let number: UInt64
  let loop: RelayLoop
  let flow: AcceptedFlow
  var dispatch: HTTPDispatch
  /// Whose socket upstreams are told with, while it stands.
  private weak var origin: (any HTTPUpstreamUser)?
  private var isOpen = false
  private var isOver = false
  /// Until it is open.
  private var pending: [UInt8] = []
  /// All of the request is here; nil: not yet. Holds the trailers as they are written.
  private var end: HTTPMirrorEnd?
  private var movedAt: UInt64

  init(
    _ head: Head, isHead: Bool, isWhole: Bool, of flow: AcceptedFlow, from origin: any HTTPUpstreamUser,
    in loop: RelayLoop
  ) {
    self.number = loop.nextNumber()
    self.loop = loop
    self.flow = flow
    self.origin = origin
    self.movedAt = loop.now
    self.dispatch = HTTPDispatch(to: flow.original)
    self.dispatch.isHead = isHead
    self.dispatch.isWhole = isWhole
    switch head {
    case .http1(let bytes, let framing): (self.dispatch.bytes, self.dispatch.framing) = (bytes, framing)
    case .http2(let block): self.dispatch.block = block
    }
    if isWhole { self.end = HTTPMirrorEnd() }
  }

  var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  var namespaces: [UInt64] { [self.flow.namespaceCookie] }
  var isClients: Bool { false }
  var client: CInt { self.origin?.client ?? -1 }

  func delivered(_ socket: CInt) -> Bool { false }
  func ready(_ token: RelayToken, _ events: UInt32) {}
  func resume() {}
  func drain() {}
  func abort() { self.close() }

  // MARK: dialling

  func begin(in share: RoutingTable.Share) {
    self.perform(self.dispatch.beginCopy(in: share, of: self.flow, in: self.loop))
  }

  func requestSent() {
    self.isOpen = true
    self.movedAt = self.loop.now
    let pending = self.pending
    self.pending = []
    if !pending.isEmpty { self.write(pending.span) }
    if let end = self.end { self.write(end) }
    self.dispatch.upstream?.runSoon()
  }

  func rewind() {}
  /// It would only be in the way of those that somebody waits for.
  var mayQueue: Bool { false }
  func moved() {}
  func answerLocally(_ local: HTTPLocalAnswer, edit: HTTP1FieldEdit) { self.fail(self.isOpen ? .lost : .unreachable) }
  func cutShort() { self.fail(.lost) }

  // MARK: the request

  /// More of the body, as its client sent it.
  func body(_ input: Span<UInt8>) {
    guard !self.isOver, !input.isEmpty else { return }
    self.movedAt = self.loop.now
    if self.isOpen { self.write(input) } else { self.pending.append(input) }
    if self.waiting > Self.most { self.fail(.tooSlow) }
  }

  func ended(_ end: HTTPMirrorEnd) {
    guard !self.isOver, self.end == nil else { return }
    self.movedAt = self.loop.now
    self.end = end
    if self.isOpen { self.write(end) }
  }

  private var waiting: Int {
    guard self.isOpen else { return self.pending.count }
    return switch self.dispatch.way {
    case .none: 0
    case .http1(let upstream): upstream.output.count
    case .http2(let leg): leg.outflow.count
    }
  }

  private func write(_ input: Span<UInt8>) {
    switch self.dispatch.way {
    case .none: break
    case .http2(let leg): _ = leg.send(input)
    case .http1(let upstream):
      guard !upstream.isDeaf else { return }
      upstream.say(input, as: self.dispatch.framing)
      self.flush(upstream)
    }
  }

  private func flush(_ upstream: HTTPUpstream) {
    guard upstream.isOpen, !upstream.isDeaf, upstream.output.flush(to: upstream.descriptor) == .failed else { return }
    // It may have answered before.
    upstream.isDeaf = true
    upstream.output = OutputQueue()
    upstream.isReadable = true
    upstream.runSoon()
  }

  private func write(_ end: HTTPMirrorEnd) {
    switch self.dispatch.way {
    case .none: break
    case .http2(let leg): leg.end(end.block)
    case .http1(let upstream):
      if self.dispatch.framing == .chunked { upstream.output.bytes += end.chunk }
      upstream.machine.requestEnded()
      upstream.runSoon()
    }
  }

  /// The rest of the request will not come: the copy must not look whole.
  func abandon() { if self.end == nil { self.close() } }

  // MARK: the answer, which nobody reads

  func takesAnswer() -> Bool { !self.isOver }
  func upstreamHeard(_ count: Int) {}
  func answerInterim(_ status: UInt16, _ upstream: HTTPUpstream, _ input: Span<UInt8>) {}

  func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>, rest: Span<UInt8>) {
    if let response = upstream.machine.response { _ = self.dispatch.answers(response.status, in: self.loop) }
  }

  func answerBody(_ input: Span<UInt8>, _ range: Range<Int>) {}

  func upstreamReady(_ upstream: HTTPUpstream, isWritable: Bool) {
    guard self.dispatch.isOn(upstream) else { return upstream.close() }
    self.flush(upstream)
    if !upstream.pump() { upstream.runSoon() }
  }

  func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool) {
    self.dispatch.way = .none
    upstream.done(isReusable: isReusable)
    self.answered()
  }

  func legHasRoom(_ leg: HTTP2Leg, _ count: Int) {}

  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool) {
    if case .response(let status) = head.start, status >= 200 {
      _ = self.dispatch.answers(status, in: self.loop)
    }
    if ends { self.answered() }
  }

  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool) {
    leg.consumed(input.count)
    if ends { self.answered() }
  }

  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure) {
    guard self.dispatch.isOn(leg) else { return }
    _ = self.dispatch.failed(failure, isWhole: false, now: self.loop.now)
    self.dispatch.way = .none
    if case .unsendable = failure { self.fail(.unsayable) } else { self.fail(.lost) }
  }

  // MARK: time and ends

  /// It has as long as a client that stands still.
  func sweep(idleSweeps: Int?) { self.expire(now: self.loop.now) }

  func expire(now: UInt64) {
    guard !self.isOver else { return }
    let action = self.dispatch.expired(now: now)
    if action != .none { return self.perform(action, []) }
    if self.movedAt + self.loop.http.stallTimeout <= now { self.fail(.timedOut) }
  }

  private func fail(_ failure: Failure) {
    guard !self.isOver else { return }
    self.loop.noteMirror(failure, of: self.flow)
    self.close()
  }

  private func answered() {
    self.dispatch.answered(now: self.loop.now)
    self.close()
  }

  private func close() {
    guard !self.isOver else { return }
    self.isOver = true
    self.pending = []
    self.dispatch.ended()
    self.dropWay()
    self.loop.mirrorCalls -= 1
    self.loop.ended(self)
  }
}

/// The end of a body in both versions of HTTP.
struct HTTPMirrorEnd {
  /// The last chunk and the trailers behind it.
  var chunk: [UInt8] = []
  var block: FieldBlock?
}
