import MeshAgent
import MeshBase
import MeshTelemetry
import Synchronization

/// An agent that answers with fixed reports.
final class FakeAgent: AgentReporting {
  let flows = FlowFeed(capacity: 512)
  let level = Mutex<LogLevelWord?>(nil)
  let current: Mutex<AgentStatus>

  init() {
    var status = AgentStatus(version: "0.1.0", node: "n1", ready: true)
    status.health = [HealthCheck("datapath", .ok, "attached")]
    self.current = Mutex(status)
  }

  func status() async -> AgentStatus { self.current.withLock { $0 } }
  func metrics() async throws(MeshError) -> AgentMetrics { AgentMetrics(status: await self.status()) }
  func workloads() async throws(MeshError) -> [WorkloadReport] {
    [WorkloadReport(name: "default/web", node: "n1", local: true, enrolled: true, identity: "spiffe://a/ns/b/sa/c")]
  }
  func services() async throws(MeshError) -> [ServiceReport] { [ServiceReport(name: "default/web")] }
  func routes() async throws(MeshError) -> [RuleReport] {
    [RuleReport(service: "default/web", port: 80, route: "default/canary")]
  }
  func endpoints() async throws(MeshError) -> [EndpointReport] {
    [EndpointReport(service: "default/web", port: 80, target: "10.0.0.1:8080", state: .ejected, reason: "success_rate")]
  }
  func policies() async throws(MeshError) -> [PolicyReport] { [] }
  func connections() async throws(MeshError) -> [ConnectionReport] {
    throw MeshError(.unavailable, "connections", "not gathered yet", next: "ask again")
  }
  func certificates() async throws(MeshError) -> [CertificateReport] { [] }
  func programs() async throws(MeshError) -> [ProgramReport] { [] }
  func maps() async throws(MeshError) -> [MapReport] {
    // Some megabytes, so that an answer is larger than any socket's buffer.
    (0..<40_000).map { MapReport(name: "mesh_map_\($0)", type: "hash", entries: 1, capacity: 2) }
  }
  func top() async throws(MeshError) -> TopReport { TopReport(uptimeMilliseconds: 1, workloads: []) }
  func explain(_ question: ExplainQuestion) async throws(MeshError) -> ExplainReport {
    ExplainReport(
      source: "\(question.source)", destination: "\(question.target)", tier: .kernel, verdict: .deny,
      request: question.request.map { ExplainReport.Request(rule: $0.path) })
  }
  func enrol(_ question: EnrolQuestion) async throws(MeshError) -> EnrolReport {
    EnrolReport(.enrolled, workload: "shop/web", cgroup: 77, message: question.subject)
  }
  func replaceProxy(by binary: String?, isForced: Bool) async throws(MeshError) -> ProxyUpgradeStatus {
    ProxyUpgradeStatus(state: isForced ? .replaced : .unneeded, pid: 2, binary: binary)
  }
  func setLogLevel(_ level: LogLevelWord) async throws(MeshError) { self.level.withLock { $0 = level } }

  static func record(_ workload: String) -> FlowRecord {
    FlowRecord(time: Timestamp(microseconds: 0), kind: .closed, source: FlowPeer(workload: workload))
  }
}
