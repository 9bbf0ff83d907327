import MeshBase
import MeshSnapshot

extension ResourceDecoder {
  /// `readiness` of a Workload: names, defaults and meaning are those of a Kubernetes probe, flat.
  static func readiness(_ field: Field) -> ReadinessCheck? {
    guard var fields = field.fields() else { return nil }
    var check = ReadinessCheck(port: 0)
    if let (probe, port) = Self.probe(&fields) {
      check.probe = probe
      check.port = port
    }
    func seconds(_ name: String, _ range: ClosedRange<UInt32>) -> UInt32? {
      fields.count(name, max(range.lowerBound / 1000, 1)...range.upperBound / 1000).map { $0 * 1000 }
    }
    if let time = seconds("periodSeconds", ReadinessCheck.periods) { check.periodMilliseconds = time }
    if let time = seconds("timeoutSeconds", ReadinessCheck.timeouts) { check.timeoutMilliseconds = time }
    if let count = fields.count("failureThreshold", ReadinessCheck.thresholds) { check.failureThreshold = count }
    if let count = fields.count("successThreshold", ReadinessCheck.thresholds) { check.successThreshold = count }
    fields.refuse(
      ["exec"], because: "the agent runs nothing of a workload's", next: "use tcp, httpGet or grpc")
    fields.finish()
    return check.port == 0 ? nil : check
  }

  /// Only a node that finds a workload can check it, and in the host's namespace only its own ports are its own.
  func place(_ field: Field, _ spec: WorkloadSpec) {
    guard let check = spec.readiness else { return }
    if spec.location == .none {
      field.fail(
        "a workload that is known by its addresses only is checked by no node",
        next: "remove readiness, or set networkNamespace, systemdUnit or cgroup")
    } else if spec.location.isInHost, !spec.ports.values.contains(check.port) {
      let kind =
        switch check.probe {
        case .tcp: "tcp"
        case .http: "httpGet"
        case .grpc: "grpc"
        }
      (field.child(kind)?.child("port") ?? field).fail(
        "port \(check.port) is none of its ports", next: "name one of spec.ports")
    }
  }
}
