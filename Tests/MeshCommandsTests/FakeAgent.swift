import Glibc
import MeshAgent
import MeshBase
import MeshTelemetry
import MeshWire
import NIOPosix
import Synchronization

/// An agent with fixed answers behind the real HTTP endpoints on a Unix socket of its own.
final class FakeAgent: AgentReporting {
  let flows = FlowFeed(capacity: 1000)
  let level = Mutex<LogLevelWord?>(nil)
  let ready: Bool
  let hasSnapshot: Bool

  init(ready: Bool = true, hasSnapshot: Bool = true) {
    self.ready = ready
    self.hasSnapshot = hasSnapshot
  }

  func status() async -> AgentStatus {
    var status = AgentStatus(
      version: "0.1.0", node: "n1", pid: 42, uptimeSeconds: 3700, revision: 3, ready: self.ready)
    status.controlPlane = ControlPlaneStatus(
      state: .connected, address: "unix:/run/martlet/control.sock", snapshotSource: "session", snapshotAgeSeconds: 4,
      entries: 12)
    status.proxy = ProxyStatus(state: .running, pid: 43, version: "0.1.0", restarts: 1, appliedRevision: 3)
    status.datapath = DatapathStatus(layout: 1, generation: 2, programs: 8, maps: 16, enrolledWorkloads: 2)
    status.health = [HealthCheck("datapath", .ok, "attached")]
    if !self.ready { status.problems = [Problem(object: "default/web", message: "no namespace", next: "create it")] }
    return status
  }
  func metrics() async throws(MeshError) -> AgentMetrics { AgentMetrics(status: await self.status()) }
  func workloads() async throws(MeshError) -> [WorkloadReport] {
    ["default/client", "default/web", "shop/web"].map {
      WorkloadReport(
        name: $0, node: "n1", local: $0 != "shop/web", enrolled: true, identity: "spiffe://mesh/ns/a/sa/b",
        addresses: ["10.0.0.1"], policies: ["default/allow"])
    }
  }
  func services() async throws(MeshError) -> [ServiceReport] {
    guard self.hasSnapshot else { throw MeshError(.unavailable, "services", "are not known yet") }
    return [
      ServiceReport(
        name: "default/web", addresses: ["10.96.0.1"],
        ports: [
          .init(port: 80, appProtocol: "http", tier: .relay, backends: [.init(service: "default/web", port: 80)])
        ],
        endpoints: [.init(workload: "default/web", ready: true), .init(ready: false, reason: "not running")])
    ]
  }
  func routes() async throws(MeshError) -> [RuleReport] {
    [
      RuleReport(
        service: "default/web", port: 80, route: "default/canary", ruleName: "new", matches: ["GET /a/*", "=/b"],
        backends: [
          .init(service: "default/one", port: 80, weight: 9, ready: 2),
          .init(service: "default/gone", port: 80, weight: 1, valid: false, ready: 0),
        ], version: "00000000000000ab"),
      RuleReport(service: "default/web", port: 80, route: "shop/own", clients: "shop", version: "00000000000000ab"),
    ]
  }
  func endpoints() async throws(MeshError) -> [EndpointReport] {
    [
      EndpointReport(
        service: "default/web", port: 80, target: "10.0.0.1:8080", workload: "default/web-1", state: .ejected,
        reason: "consecutive_errors", secondsLeft: 12, locality: "eu/a", open: 3, latencyMicroseconds: 1_500,
        ejections: ["consecutive_errors": 2]),
      EndpointReport(service: "default/web", port: 80, target: "10.0.0.2:8080", state: .starting, percent: 40),
      EndpointReport(service: "shop/db", port: 5432, state: .notReady, reason: "no address is known"),
    ]
  }
  func policies() async throws(MeshError) -> [PolicyReport] {
    [PolicyReport(name: "default/allow", action: "allow", version: "00000000000000ab", missing: true)]
  }
  func connections() async throws(MeshError) -> [ConnectionReport] {
    throw MeshError(.unavailable, "connections", "not gathered yet", next: "ask again")
  }
  func certificates() async throws(MeshError) -> [CertificateReport] { [] }
  func programs() async throws(MeshError) -> [ProgramReport] {
    [
      ProgramReport(
        name: "mesh_connect4", id: 7, attached: "/cg", runs: 10, runNanoseconds: 4000, verifiedInstructions: 300)
    ]
  }
  func maps() async throws(MeshError) -> [MapReport] {
    [
      MapReport(name: "mesh_pods_v1", type: "hash", id: 1, entries: 3, capacity: 1024),
      MapReport(name: "mesh_policy_v1", type: "hash", id: 22, entries: 65_536, capacity: 65_536),
    ]
  }
  let tops = Mutex<UInt64>(0)
  func top() async throws(MeshError) -> TopReport {
    let turn = self.tops.withLock { turn in
      defer { turn += 1 }
      return turn
    }
    return TopReport(
      uptimeMilliseconds: 5_000 + turn * 1_000,
      workloads: [
        .init(workload: "default/quiet", cpuMicroseconds: 500, requests: 3, connections: 1, memoryBytes: 2_048),
        .init(
          workload: "default/web", cpuMicroseconds: turn * 125_000, requests: turn * 1_500, sentBytes: turn * 4_096,
          receivedBytes: turn * 1_048_576, connections: 12, memoryBytes: 65_536),
      ])
  }
  func explain(_ question: ExplainQuestion) async throws(MeshError) -> ExplainReport {
    if let request = question.request {
      return ExplainReport(
        source: "default/client", destination: "default/web:80", tier: .relay, verdict: .allow,
        request: request.path == "/lost"
          ? .init(status: 404, reason: "no_route")
          : .init(
            rule: "HTTPRoute default/canary, rule 1", matches: ["\(request.method) \(request.path)"],
            filters: request.headers.map { "saw \($0.name) \($0.value) of \(request.host ?? "-")" }))
    }
    if let name = question.serverName {
      return ExplainReport(
        source: "default/client", destination: "default/web:443", tier: .relay,
        verdict: name == "lost.test" ? .deny : .allow,
        server: name == "lost.test"
          ? .init(name: name, reason: "tls_no_route")
          : .init(name: name, rule: "TLSRoute default/web", names: ["*.test"]))
    }
    return question.port == 80
      ? ExplainReport(
        source: "default/client", destination: "default/web:80", tier: .kernel, verdict: .allow,
        steps: ["10.96.0.1:80 is service default/web"],
        endpoints: [.init(address: "10.0.0.2:8080", workload: "default/web", percent: 100)])
      : ExplainReport(
        source: "default/client", destination: "default/web:81", tier: .none, verdict: .deny, reason: .noServicePort)
  }
  /// What the next questions get, one each; the last stays.
  let enrolments = Mutex<[EnrolReport]>([])
  let enrolQuestions = Mutex<[EnrolQuestion]>([])
  func enrol(_ question: EnrolQuestion) async throws(MeshError) -> EnrolReport {
    self.enrolQuestions.withLock { $0.append(question) }
    let report = self.enrolments.withLock { $0.count > 1 ? $0.removeFirst() : $0.first }
    guard let report else { throw MeshError(.internal, "fake", "has no answer") }
    return report
  }
  func replaceProxy(by binary: String?, isForced: Bool) async throws(MeshError) -> ProxyUpgradeStatus {
    guard self.ready else {
      return ProxyUpgradeStatus(state: .givenUp, pid: 44, binary: binary, cause: "it ended", givenUp: 1)
    }
    return ProxyUpgradeStatus(
      state: isForced ? .replaced : .unneeded, pid: 44, binary: binary ?? "/usr/libexec/martlet-proxy", replaced: 1,
      draining: [.init(pid: 43, connections: 2, secondsLeft: 299)])
  }
  func setLogLevel(_ level: LogLevelWord) async throws(MeshError) { self.level.withLock { $0 = level } }

  /// Serves this agent in a fresh run directory while `body` runs.
  func serve(_ body: (_ runDir: String) async throws -> Void) async throws {
    let directory = "/tmp/mt-commands-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    mkdir(directory, 0o700)
    let server = try await ReportServer.start(
      .unix(path: directory + "/agent.sock"), on: MultiThreadedEventLoopGroup.singleton,
      route: AgentEndpoints.commands(self))
    var failure: (any Error)?
    do { try await body(directory) } catch { failure = error }
    await server.stop()
    unlink(directory + "/agent.sock")
    rmdir(directory)
    if let failure { throw failure }
  }
}
