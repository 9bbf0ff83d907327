import MeshHTTP
import MeshRouting

/// A copy of a request on its way to a mirror: sent as its client sends it, never waited for, its answer dropped. It fails alone,
/// and is given up when it is slower than the request itself. A call of the same workload as the request; confined to its loop.
///
/// ```
///  begin ─► dialling ─► open ─► over, when the answer has ended
///   body ─► pending ────► upstream's output, or the leg's outflow: at most `most`
/// ```
final class HTTPMirrorCall: LoopMember, HTTPUpstreamUser, HTTP2LegUser {
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
  private let loop: RelayLoop
  private let flow: AcceptedFlow
  private let head: Head
  private let isHead: Bool
  /// Nothing follows the head.
  private let isWhole: Bool
  /// Whose socket upstreams are told with, while it stands.
  private weak var origin: (any HTTPUpstreamUser)?
  private var attempts: ConnectAttempts
  private var upstream: HTTPUpstream?
  private var leg: HTTP2Leg?
  private var isOpen = false
  private var isOver = false
  /// Until it is open.
  private var pending: [UInt8] = []
  /// All of the request is here; nil: not yet. Holds the trailers as they are written.
  private var end: HTTPMirrorEnd?
  private var movedAt: UInt64
  /// Nobody's: it is no request of the client's.
  var account = RequestAccount()

  init(
    _ head: Head, isHead: Bool, isWhole: Bool, of flow: AcceptedFlow, from origin: any HTTPUpstreamUser,
    in loop: RelayLoop
  ) {
    self.number = loop.nextNumber()
    self.loop = loop
    self.flow = flow
    self.head = head
    self.isHead = isHead
    self.isWhole = isWhole
    self.origin = origin
    self.movedAt = loop.now
    self.attempts = ConnectAttempts(table: loop.table, original: flow.original)
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
    self.perform(self.attempts.begin(in: share, now: self.loop.now, using: &self.loop.random))
  }

  private func perform(_ action: ConnectAttempts.Action) {
    guard case .dial(let choice, _) = action else { return self.fail(.unreachable) }
    let key = UpstreamPool.Key(
      workload: self.flow.sourceWorkload, namespaceCookie: self.flow.namespaceCookie, target: choice.target)
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: false, now: self.loop.now)
    switch self.head {
    case .http1:
      let (upstream, isFresh) = self.loop.upstream(key, self.flow, for: self, exchange)
      self.upstream = upstream
      if isFresh { upstream.begin(client: self.client) } else { self.upstreamOpened(upstream) }
    case .http2(let block):
      let (leg, isFresh) = self.loop.leg(block, isWhole: self.isWhole, to: key, self.flow, for: self, exchange)
      self.leg = leg
      leg.begin(isFresh: isFresh, client: self.client)
    }
  }

  func upstreamUnreachable(_ upstream: HTTPUpstream) {
    guard upstream === self.upstream else { return }
    self.upstream = nil
    self.dialFailed()
  }

  func legUnreachable(_ leg: HTTP2Leg) {
    guard leg === self.leg else { return }
    self.leg = nil
    self.dialFailed()
  }

  private func dialFailed() {
    guard !self.isOver, !self.isOpen else { return self.fail(.lost) }
    self.perform(self.attempts.failed(now: self.loop.now, using: &self.loop.random))
  }

  func upstreamOpened(_ upstream: HTTPUpstream) {
    guard upstream === self.upstream, case .http1(let head, _) = self.head else { return upstream.close() }
    _ = upstream.machine.begin(isHead: self.isHead)
    upstream.output.bytes += head
    self.opened()
    upstream.runSoon()
  }

  func legOpened(_ leg: HTTP2Leg) {
    guard leg === self.leg else { return leg.close() }
    self.opened()
  }

  private func opened() {
    self.isOpen = true
    self.movedAt = self.loop.now
    let pending = self.pending
    self.pending = []
    if !pending.isEmpty { self.write(pending.span) }
    if let end = self.end { self.write(end) }
  }

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
    self.isOpen ? self.upstream?.output.count ?? self.leg?.outflow.count ?? 0 : self.pending.count
  }

  private func write(_ input: Span<UInt8>) {
    if let leg = self.leg { return _ = leg.send(input) }
    guard let upstream = self.upstream, !upstream.isDeaf, case .http1(_, let framing) = self.head else { return }
    if framing == .chunked { HTTP1Writer.chunkBegin(input.count, to: &upstream.output.bytes) }
    upstream.output.bytes.append(input)
    if framing == .chunked { HTTP1Writer.chunkEnd(to: &upstream.output.bytes) }
    self.flush(upstream)
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
    if let leg = self.leg { return leg.end(end.block) }
    guard let upstream = self.upstream, case .http1(_, let framing) = self.head else { return }
    if framing == .chunked { upstream.output.bytes += end.chunk }
    upstream.machine.requestEnded()
    upstream.runSoon()
  }

  /// The rest of the request will not come: the copy must not look whole.
  func abandon() { if self.end == nil { self.close() } }

  // MARK: the answer, which nobody reads

  func takesAnswer() -> Bool { !self.isOver }
  func upstreamHeard(_ count: Int) {}
  func answerInterim(_ status: UInt16, _ upstream: HTTPUpstream, _ input: Span<UInt8>) {}
  func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>, rest: Span<UInt8>) {}
  func answerBody(_ input: Span<UInt8>, _ range: Range<Int>) {}

  func upstreamReady(_ upstream: HTTPUpstream, isWritable: Bool) {
    guard upstream === self.upstream else { return upstream.close() }
    self.flush(upstream)
    if !upstream.pump() { upstream.runSoon() }
  }

  func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool) {
    self.upstream = nil
    upstream.held = []
    if isReusable { upstream.rest() } else { upstream.close() }
    self.close()
  }

  func upstreamFailed(_ fault: HTTP1Fault?) { self.fail(.lost) }

  func legHasRoom(_ leg: HTTP2Leg, _ count: Int) {}

  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool) { if ends { self.close() } }

  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool) {
    leg.consumed(input.count)
    if ends { self.close() }
  }

  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure) {
    guard leg === self.leg else { return }
    self.leg = nil
    if case .unsendable = failure { self.fail(.unsayable) } else { self.fail(.lost) }
  }

  // MARK: time and ends

  /// It has as long as a client that stands still.
  func sweep(idleSweeps: Int?) { self.expire(now: self.loop.now) }

  func expire(now: UInt64) {
    guard !self.isOver else { return }
    if !self.isOpen, self.attempts.deadline <= now { return self.fail(.unreachable) }
    if self.movedAt + self.loop.http.stallTimeout <= now { self.fail(.timedOut) }
  }

  private func fail(_ failure: Failure) {
    guard !self.isOver else { return }
    self.loop.noteMirror(failure, of: self.flow)
    self.close()
  }

  private func close() {
    guard !self.isOver else { return }
    self.isOver = true
    self.pending = []
    let (upstream, leg) = (self.upstream, self.leg)
    (self.upstream, self.leg) = (nil, nil)
    upstream?.close()
    leg?.close()
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
