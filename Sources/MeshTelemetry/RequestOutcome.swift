/// A request that is over, as numbers: what the proxy hands to `RequestLedger.record`. No text, so that counting it allocates
/// nothing; names are numbers that the ledger gave out before, once a connection or a backend.
package struct RequestOutcome: Sendable {
  package var series: RequestSeries
  /// From the first byte of the request to the last of the answer.
  package var microseconds: UInt64
  /// Of the bodies.
  package var requestBytes: UInt64
  package var responseBytes: UInt64

  package init(
    series: RequestSeries, microseconds: UInt64 = 0, requestBytes: UInt64 = 0, responseBytes: UInt64 = 0
  ) {
    self.series = series
    self.microseconds = microseconds
    self.requestBytes = requestBytes
    self.responseBytes = responseBytes
  }
}

/// What tells one series from another.
package struct RequestSeries: Hashable, Sendable {
  package enum Kind: UInt8, Hashable, Sendable, CaseIterable {
    case http = 0
    case grpc = 1

    /// Istio's `request_protocol`.
    package var word: String { self == .grpc ? "grpc" : "http" }
  }

  /// The agent's number of the workload that called; 0: none.
  package var source: UInt32
  /// The Service that was asked for in the end (a rule's backend, else the one that was dialled), and the workload that
  /// answered: `RequestLedger.number(of:)`; 0: none.
  package var service: UInt32
  package var destination: UInt32
  package var kind: Kind
  /// As the client got it; 0: it got none.
  package var status: UInt16
  /// `grpc-status`; nil: none was told.
  package var grpcStatus: UInt8?
  package var flags: ResponseFlags

  package init(
    source: UInt32, service: UInt32 = 0, destination: UInt32 = 0, kind: Kind = .http, status: UInt16,
    grpcStatus: UInt8? = nil, flags: ResponseFlags = []
  ) {
    self.source = source
    self.service = service
    self.destination = destination
    self.kind = kind
    self.status = status
    self.grpcStatus = grpcStatus
    self.flags = flags
  }

  /// The series of what found no room.
  package static let overflow = RequestSeries(
    source: .max, service: .max, destination: .max, status: .max, flags: ResponseFlags(rawValue: .max))
}
