import MeshBase
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// A request while it is under way: what metrics will say of it. A connection of HTTP/1.1 has one, a stream of HTTP/2 has one;
/// whoever has it tells it what happens, and gives it to `RelayLoop.ended` when the request is over, however that came. Numbers
/// only: nothing is allocated.
///
/// ```
/// begin ─► asked ─► sent ─► status, bytes ─► ended
///            │ another service or endpoint, any number of times
/// ```
struct RequestAccount {
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
  private var service = NumberedName()
  private var destination = NumberedName()
  private var isAsked = false
  private var isSent = false

  var isOpen: Bool { self.began != nil }

  mutating func begin(source: UInt32, at began: UInt64) {
    self.began = began
    self.source = source
    (self.status, self.grpcStatus, self.isGRPC, self.flags) = (0, nil, false, [])
    (self.requestBytes, self.responseBytes) = (0, 0)
    (self.isAsked, self.isSent) = (false, false)
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

  /// The endpoint that is dialled. Nil: nobody's workload.
  mutating func sent(to workload: ResourceName?, _ ledger: inout RequestLedger) {
    self.destination.become(workload, &ledger)
    self.isSent = true
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
  /// A request is over, answered or not: it is counted, once. Without a request under way nothing happens.
  func ended(_ account: inout RequestAccount) {
    guard let outcome = account.end(at: Self.microseconds()) else { return }
    self.requests.record(outcome)
  }
}
