import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_ReadinessCheck {
  init(_ check: ReadinessCheck) {
    self.init()
    self.tcpPort = UInt32(check.port)
    self.periodSeconds = check.periodSeconds
    self.timeoutSeconds = check.timeoutSeconds
    self.failureThreshold = check.failureThreshold
    self.successThreshold = check.successThreshold
  }
}

extension ReadinessCheck {
  init(_ message: Martlet_Entries_V1_ReadinessCheck, _ field: FieldPath) throws(MeshError) {
    // A check of another kind, of which this version would know nothing, is no check of this one.
    try field.known(message)
    self.init(
      port: try field["tcp_port"].port(message.tcpPort),
      periodSeconds: try field["period_seconds"].number(message.periodSeconds, in: Self.periods),
      timeoutSeconds: try field["timeout_seconds"].number(message.timeoutSeconds, in: Self.timeouts),
      failureThreshold: try field["failure_threshold"].number(message.failureThreshold, in: Self.thresholds),
      successThreshold: try field["success_threshold"].number(message.successThreshold, in: Self.thresholds))
  }
}

extension FieldPath {
  fileprivate func number(_ value: UInt32, in range: ClosedRange<UInt32>) throws(MeshError) -> UInt32 {
    guard range.contains(value) else {
      throw self.error("\(value) is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }
}
