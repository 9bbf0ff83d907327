import CMeshRelay
import Glibc
import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// A request while it is under way: what metrics, and the access log, will say of it. A connection of HTTP/1.1 has one, a stream
/// of HTTP/2 has one; whoever has it tells it what happens, and gives it to `RelayLoop.ended` when the request is over, however
/// that came. Numbers only, unless there is an access log: nothing is allocated.
///
/// ```
/// begin ─► asked ─► sent ─► status, bytes, or answered ─► ended
///            │ another service or endpoint, any number of times
/// ```
struct RequestAccount {
  enum Version: UInt8 {
    case http10, http11, http2

    var text: StaticString {
      switch self {
      case .http10: "HTTP/1.0"
      case .http11: "HTTP/1.1"
      case .http2: "HTTP/2"
      }
    }
  }

  /// The status as the client got it; 0: none.
  var status: UInt16 = 0
  /// `grpc-status`; nil: none was told.
  var grpcStatus: UInt8?
  var isGRPC = false
  var flags: ResponseFlags = []
  /// Of the bodies.
  var requestBytes: UInt64 = 0
  var responseBytes: UInt64 = 0
  /// Microseconds of the loop's clock. Nil: no request is under way.
  private var began: UInt64?
  private var source: UInt32 = 0
  private var version = Version.http11
  private var service = NumberedName()
  private var destination = NumberedName()
  private var isAsked = false
  private var isSent = false
  /// Nil: there is no access log.
  private var draft: AccessDraft?

  var isOpen: Bool { self.began != nil }

  mutating func begin(source: UInt32, at began: UInt64, _ version: Version = .http11) {
    self.began = began
    self.source = source
    self.version = version
    (self.status, self.grpcStatus, self.isGRPC, self.flags) = (0, nil, false, [])
    (self.requestBytes, self.responseBytes) = (0, 0)
    (self.isAsked, self.isSent) = (false, false)
    self.draft?.clear()
  }

  /// The head as the client sent it, for the access log.
  mutating func note(_ request: HTTPRequestPlaces, _ fields: [HTTPRequestHead.Field], in input: Span<UInt8>) {
    let draft = self.draft ?? AccessDraft()
    self.draft = draft
    draft.note(request, fields, in: input)
  }

  /// The Service that was dialled, then the one that a rule chose.
  mutating func asked(_ name: ResourceName, _ ledger: inout RequestLedger) {
    self.service.become(name, &ledger)
    self.isAsked = true
  }

  mutating func asked(at route: RoutingTable.Route, _ ledger: inout RequestLedger) {
    self.asked(route.service, &ledger)
    self.isGRPC = route.appProtocol == .grpc
  }

  /// The rule that won.
  mutating func follows(_ origin: RouteOrigin) { self.draft?.origin = origin }

  /// What the proxy says of the way of a request that does not say so itself.
  mutating func passes(_ passage: HTTP1Passage) {
    guard let draft = self.draft else { return }
    draft.note(.requestID, passage.requestID)
    draft.note(.traceparent, passage.traceparent)
  }

  /// What a head of an upstream of HTTP/1.1, or its trailers, say of a call's end.
  mutating func told(_ fields: [HTTP1Field], _ input: Span<UInt8>) {
    self.grpcStatus = GRPCStatus.told(by: fields, input) ?? self.grpcStatus
  }

  /// The endpoint that is dialled.
  mutating func sent(to choice: RoutingTable.Choice, _ ledger: inout RequestLedger) {
    self.destination.become(choice.workload, &ledger)
    self.isSent = true
    self.draft?.upstream = choice.target
  }

  /// Another attempt is made.
  mutating func triedAgain() {
    self.grpcStatus = nil
    self.draft?.attempts += 1
  }

  /// By the proxy itself, with so many bytes of content.
  mutating func answered(by local: HTTPLocalAnswer, bytes: Int) {
    self.status = local.status
    self.flags.formUnion(local.flags)
    self.responseBytes &+= UInt64(bytes)
    self.draft?.reason = local.reason
  }

  /// It ends before its answer is whole. Nobody said why: the client went.
  mutating func wasLeft() {
    if self.flags.subtracting(.delayInjected).isEmpty { self.flags.insert(.downstreamConnectionTermination) }
  }

  /// Nil: no request was under way.
  mutating func end(at now: UInt64) -> RequestOutcome? {
    guard let began = self.began else { return nil }
    self.began = nil
    return RequestOutcome(
      series: RequestSeries(
        source: self.source, service: self.isAsked ? self.service.number : 0,
        destination: self.isSent ? self.destination.number : 0, kind: self.isGRPC ? .grpc : .http, status: self.status,
        grpcStatus: self.grpcStatus, flags: self.flags),
      microseconds: now > began ? now - began : 0, requestBytes: self.requestBytes, responseBytes: self.responseBytes)
  }

  /// The log's from here on.
  mutating func takeDraft() -> AccessDraft? {
    self.draft?.version = self.version.text
    defer { self.draft = nil }
    return self.draft
  }
}

/// A name and its number, kept from one request to the next: they mostly go the same way, and to compare is cheaper than to look
/// the number up.
private struct NumberedName {
  private(set) var number: UInt32 = 0
  private var name: ResourceName?

  mutating func become(_ name: ResourceName?, _ ledger: inout RequestLedger) {
    guard name != self.name else { return }
    self.name = name
    self.number = ledger.number(of: name)
  }
}

extension RelayLoop {
  /// A request is over, answered or not: it is counted, once, and written to the access log. Without a request under way nothing
  /// happens.
  func ended(_ account: inout RequestAccount) {
    guard let outcome = account.end(at: Self.microseconds()) else { return }
    self.requests.record(outcome)
    guard let log = self.accessLog, log.filter.takes(outcome, using: &self.random) else { return }
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let now = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    let source = self.callers.names[outcome.series.source]
    self.httpScratch.ended.append(
      AccessLog.Entry(
        time: Timestamp(microseconds: now - Int64(clamping: outcome.microseconds)), outcome: outcome, source: source,
        service: self.requests.name(outcome.series.service),
        destination: self.requests.name(outcome.series.destination),
        client: source.flatMap { self.table?.addresses(of: $0).first }, draft: account.takeDraft()))
  }

  /// At the end of a turn.
  func tellAccessLog() {
    guard !self.httpScratch.ended.isEmpty else { return }
    self.accessLog?.put(self.httpScratch.ended)
    self.httpScratch.ended = []
  }
}
