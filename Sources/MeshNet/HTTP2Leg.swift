import MeshHTTP
import MeshTelemetry

/// Why a stream toward an upstream came to nothing.
enum HTTP2LegFailure: Equatable {
  /// The upstream did nothing of it (REFUSED_STREAM, or above the last stream of its GOAWAY).
  case refused
  /// The connection ended.
  case lost
  case reset(HTTP2ErrorCode)
  /// What came is no answer.
  case fault(HTTP2Reason)
  /// The head cannot be written.
  case unsendable(HTTP2SendRefusal)
}

extension HTTP2LegFailure {
  /// What follows of it. `isWhole`: the request can be sent again from its first byte.
  func action(
    _ exchange: inout HTTPExchange, isWhole: Bool, now: UInt64, affords: HTTPExchange.Affords
  ) -> HTTPExchange.Action {
    switch self {
    case .refused: return exchange.upstreamRefused(isWhole: isWhole, now: now, affords: affords)
    case .lost: return exchange.upstreamFailed(now: now, affords: affords)
    case .reset: return exchange.upstreamFailed(isReset: true, now: now, affords: affords)
    case .fault(let reason):
      return exchange.upstreamFailed(fault: "http2_" + reason.rawValue, now: now, affords: affords)
    case .unsendable(let refusal): return .answer(HTTPLocalAnswer(refusal))
    }
  }

  /// Of an answer that is cut for it.
  var flags: ResponseFlags {
    switch self {
    case .refused, .reset: .upstreamRemoteReset
    case .lost: .upstreamConnectionTermination
    case .fault, .unsendable: .upstreamProtocolError
    }
  }
}

/// Whose request a stream toward an upstream carries.
protocol HTTP2LegUser: AnyObject {
  /// The accepted socket, which the upstream's leg is told with; -1: it is gone.
  var client: CInt { get }
  /// The head is sent.
  func legOpened(_ leg: HTTP2Leg)
  func legUnreachable(_ leg: HTTP2Leg)
  /// So many bytes that waited were written.
  func legHasRoom(_ leg: HTTP2Leg, _ count: Int)
  /// An interim head, the final one, or trailers.
  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool)
  /// Has to be told back by `consumed`.
  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool)
  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure)
}

/// One request on its way to an upstream that is spoken HTTP/2 to: a stream, or a place in the queue for one.
final class HTTP2Leg {
  let request: FieldBlock
  /// Nothing follows the head.
  let isWhole: Bool
  /// Changes while it is queued.
  var upstream: HTTP2Upstream
  private var user: (any HTTP2LegUser)?
  /// 0: it is queued.
  private(set) var id: UInt32 = 0
  var outflow = HTTP2Outflow()
  /// Bytes of the body that are on their way.
  private(set) var written = 0
  /// What was told of the answer and not told back.
  private var held = 0

  init(_ request: FieldBlock, isWhole: Bool, on upstream: HTTP2Upstream, user: any HTTP2LegUser) {
    self.request = request
    self.isWhole = isWhole
    self.upstream = upstream
    self.user = user
  }

  /// Whether its connection has served others.
  var isReused: Bool { self.upstream.hasServed }

  func begin(isFresh: Bool, client: CInt) {
    self.upstream.begin(self)
    if isFresh { self.upstream.begin(client: client) }
  }

  func opened(_ id: UInt32) {
    self.id = id
    if self.isWhole { self.outflow.ended() }
    self.user?.legOpened(self)
  }

  // MARK: what its user says

  /// Returns how many bytes went at once; of the others `legHasRoom` tells.
  func send(_ input: Span<UInt8>) -> Int {
    let count = self.upstream.send(input, &self.outflow, of: self.id)
    self.written += count
    return count
  }

  func end(_ trailers: FieldBlock?) {
    self.outflow.finish(trailers)
    if self.outflow.hasWork { self.upstream.wake(self.id) }
  }

  func consumed(_ count: Int) {
    self.held -= count
    self.upstream.consumed(count, of: self.id)
  }

  /// Of all that was told.
  func consumed() {
    if self.held > 0 { self.consumed(self.held) }
  }

  /// Nobody waits for the answer (any more).
  func close(_ code: HTTP2ErrorCode = .cancel) {
    self.user = nil
    self.upstream.release(self, code)
    self.upstream.consumed(self.held, of: self.id)
    self.held = 0
  }

  // MARK: what its upstream says

  /// True: more could go.
  func resume() -> Bool {
    let (count, isFull) = self.upstream.write(&self.outflow, of: self.id)
    self.written += count
    if count > 0 { self.user?.legHasRoom(self, count) }
    return isFull
  }

  func head(_ head: HTTP2Head, ends: Bool) { self.user?.legHead(self, head, ends: ends) }

  func body(_ input: Span<UInt8>, ends: Bool) {
    guard let user = self.user else { return self.upstream.consumed(input.count, of: self.id) }
    self.held += input.count
    user.legBody(self, input, ends: ends)
  }

  func failed(_ failure: HTTP2LegFailure) {
    let user = self.user
    self.user = nil
    user?.legFailed(self, failure)
  }

  func unreachable() {
    let user = self.user
    self.user = nil
    user?.legUnreachable(self)
  }

  var client: CInt { self.user?.client ?? -1 }
}
