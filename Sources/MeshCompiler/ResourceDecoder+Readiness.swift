import MeshBase
import MeshSnapshot

extension ResourceDecoder {
  /// `readiness` of a Workload: names, defaults and meaning are those of a Kubernetes probe, flat.
  static func readiness(_ field: Field) -> ReadinessCheck? {
    guard var fields = field.fields() else { return nil }
    var check = ReadinessCheck(port: 0)
    if var tcp = fields.required("tcp")?.fields() {
      if let field = tcp.required("port"), let port = field.port() {
        if MeshPort.all.contains(port) {
          field.fail("port \(port) belongs to the mesh itself", next: "name a port that the workload serves")
        }
        check.port = port
      }
      tcp.finish()
    }
    func number(_ name: String, _ range: ClosedRange<UInt32>, _ set: (UInt32) -> Void) {
      let value = fields.optional(name)?.number(Int64(range.lowerBound)...Int64(range.upperBound))
      if let value = value.flatMap({ UInt32(exactly: $0) }) { set(value) }
    }
    number("periodSeconds", ReadinessCheck.periods) { check.periodSeconds = $0 }
    number("timeoutSeconds", ReadinessCheck.timeouts) { check.timeoutSeconds = $0 }
    number("failureThreshold", ReadinessCheck.thresholds) { check.failureThreshold = $0 }
    number("successThreshold", ReadinessCheck.thresholds) { check.successThreshold = $0 }
    fields.refuse(
      ["http", "httpGet", "grpc"], because: "this version checks by TCP connections", next: "use tcp: {port: …}")
    fields.refuse(["exec"], because: "the agent runs nothing of a workload's", next: "use tcp: {port: …}")
    fields.finish()
    return check.port == 0 ? nil : check
  }

  /// Only a node that finds a workload can check it, and in the host's namespace only its own ports are its own.
  func place(_ field: Field, _ spec: WorkloadSpec) {
    guard let port = spec.readiness?.port else { return }
    if spec.location == .none {
      field.fail(
        "a workload that is known by its addresses only is checked by no node",
        next: "remove readiness, or set networkNamespace, systemdUnit or cgroup")
    } else if spec.location.isInHost, !spec.ports.values.contains(port) {
      (field.child("tcp")?.child("port") ?? field).fail(
        "port \(port) is none of its ports", next: "name one of spec.ports")
    }
  }
}
