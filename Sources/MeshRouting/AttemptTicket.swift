/// What became of an attempt.
package enum AttemptOutcome: Equatable, Sendable {
  /// A connection stands; of what goes through it nothing is known.
  case connected
  /// With this status, whole. Of a call of gRPC the status of HTTP that belongs to its code (`GRPCStatus`).
  case answered(UInt16)
  /// Nobody took the connection.
  case unreachable
  /// The connection or the stream ended before the answer did, or what came is no answer.
  case lost
  case timedOut
  /// It said that it did nothing of the request (RFC 9113 section 8.7), as one does that goes.
  case refused

  enum Verdict {
    case success
    case error
    /// An error too.
    case gatewayError
  }

  /// Nil: it says nothing about the endpoint.
  var verdict: Verdict? {
    switch self {
    case .refused: nil
    case .connected: .success
    case .answered(502...504), .unreachable, .lost, .timedOut: .gatewayError
    case .answered(500...): .error
    case .answered: .success
    }
  }
}

/// An attempt at an endpoint, open as long as it lives. `RoutingTable.Choice.attempt` gives it out; who drops it without a word was
/// left by the client, which says nothing about the endpoint.
package struct AttemptTicket: ~Copyable, Sendable {
  private let record: EndpointRecord

  init(_ record: EndpointRecord) {
    self.record = record
    record.began()
  }

  /// The first byte of the answer, or the connection stands.
  /// - now: milliseconds.
  package borrowing func answerBegan(after microseconds: UInt64, now: UInt64) {
    self.record.answered(after: microseconds, now: now)
  }

  /// Nothing more will be heard of it.
  package consuming func ended(as outcome: AttemptOutcome, now: UInt64) { self.record.ended(as: outcome, now: now) }

  deinit { self.record.left() }
}
