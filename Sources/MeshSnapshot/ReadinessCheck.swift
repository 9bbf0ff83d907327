/// How its node finds out whether a workload that runs can serve: it calls a TCP port from inside of the workload's
/// namespace. The words and the defaults are those of Kubernetes' probes.
package struct ReadinessCheck: Hashable, Sendable {
  package enum Probe: Hashable, Sendable {
    /// The connection suffices.
    case tcp
    case http(HTTPProbe)
    /// `grpc.health.v1.Health/Check` without TLS has to say SERVING of the service; empty: of the server as a whole.
    case grpc(service: String)
  }

  /// A GET by HTTP/1.1.
  package struct HTTPProbe: Hashable, Sendable {
    package static let statuses: ClosedRange<UInt16> = 100...599
    package static let usual: [ClosedRange<UInt16>] = [200...399]
    package static let mostHeaders = 16
    package static let mostStatuses = 16

    /// With its query.
    package var path: String
    /// Nil: the address that is called.
    package var host: String?
    /// Names in lower case.
    package var headers: [HeaderField]
    /// Of an answer that is a success: in one of the ranges.
    package var expected: [ClosedRange<UInt16>]

    package init(
      path: String = "/", host: String? = nil, headers: [HeaderField] = [],
      expected: [ClosedRange<UInt16>] = Self.usual
    ) {
      self.path = path
      self.host = host
      self.headers = headers
      self.expected = expected
    }
  }

  /// 1 to 65535.
  package var port: UInt16
  package var probe: Probe
  /// From one check to the next.
  package var periodMilliseconds: UInt32
  /// For the whole of a check: the connection, and the answer if there is to be one.
  package var timeoutMilliseconds: UInt32
  /// Checks in a row that have to fail before a ready workload is unready.
  package var failureThreshold: UInt32
  /// Checks in a row that have to succeed before an unready workload is ready.
  package var successThreshold: UInt32
  /// Up to so much earlier than the period says, so that checks spread.
  package var jitterPercent: UInt8

  package static let periods: ClosedRange<UInt32> = 100...3_600_000
  package static let timeouts: ClosedRange<UInt32> = 1...60_000
  package static let thresholds: ClosedRange<UInt32> = 1...100
  package static let jitters: ClosedRange<UInt8> = 0...50
  package static let usualJitter: UInt8 = 10

  package init(
    port: UInt16, probe: Probe = .tcp, periodMilliseconds: UInt32 = 10_000, timeoutMilliseconds: UInt32 = 1000,
    failureThreshold: UInt32 = 3, successThreshold: UInt32 = 1, jitterPercent: UInt8 = Self.usualJitter
  ) {
    self.port = port
    self.probe = probe
    self.periodMilliseconds = periodMilliseconds
    self.timeoutMilliseconds = timeoutMilliseconds
    self.failureThreshold = failureThreshold
    self.successThreshold = successThreshold
    self.jitterPercent = jitterPercent
  }
}
