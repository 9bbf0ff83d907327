/// How its node finds out whether a workload that runs can serve: it connects to a TCP port from inside of the workload's
/// namespace. The words and the defaults are those of Kubernetes' probes.
package struct ReadinessCheck: Hashable, Sendable {
  /// 1 to 65535.
  package var port: UInt16
  /// From one check to the next.
  package var periodSeconds: UInt32
  /// For the connection to be there.
  package var timeoutSeconds: UInt32
  /// Checks in a row that have to fail before a ready workload is unready.
  package var failureThreshold: UInt32
  /// Checks in a row that have to succeed before an unready workload is ready.
  package var successThreshold: UInt32

  package static let periods: ClosedRange<UInt32> = 1...3600
  package static let timeouts: ClosedRange<UInt32> = 1...60
  package static let thresholds: ClosedRange<UInt32> = 1...100

  package init(
    port: UInt16, periodSeconds: UInt32 = 10, timeoutSeconds: UInt32 = 1, failureThreshold: UInt32 = 3,
    successThreshold: UInt32 = 1
  ) {
    self.port = port
    self.periodSeconds = periodSeconds
    self.timeoutSeconds = timeoutSeconds
    self.failureThreshold = failureThreshold
    self.successThreshold = successThreshold
  }
}
