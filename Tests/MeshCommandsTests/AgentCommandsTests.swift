import MeshAgent
import MeshBase
import MeshTelemetry
import Synchronization
import Testing

@testable import MeshCommands

@Suite struct AgentCommandsTests {
  @Test("status prints the answer and exits with it")
  func status() async throws {
    try await FakeAgent().serve { directory in
      let result = await CommandLineResult.of("status", "--run-dir", directory)
      #expect(result.status == .yes)
      #expect(
        result.out == """
          node           n1, ready
          agent          0.1.0, pid 42, up 1h01m, revision 3
          control plane  connected to unix:/run/martlet/control.sock, snapshot from session, 12 entries, heard 4s ago
          proxy          running, pid 43, 0.1.0, revision 3, 1 restarts
          datapath       generation 2, layout v1, 8 programs, 16 maps, 2 workloads enrolled
          health         ok  datapath: attached

          """)
      #expect(result.errors.isEmpty)
    }
    try await FakeAgent(ready: false).serve { directory in
      let result = await CommandLineResult.of("status", "--run-dir", directory)
      #expect(result.status == .no)
      #expect(
        result.out.contains("NOT READY") && result.out.contains("problem        default/web: no namespace; create it"))
    }
  }

  @Test(
    "every report comes as table, json and yaml", arguments: ["workloads", "services", "policies", "programs", "maps"])
  func formats(subject: String) async throws {
    try await FakeAgent().serve { directory in
      let table = await CommandLineResult.of("show", subject, "--run-dir", directory)
      let json = await CommandLineResult.of("show", subject, "--run-dir", directory, "-o", "json")
      let yaml = await CommandLineResult.of("show", subject, "--run-dir", directory, "-o", "yaml")
      #expect(table.status == .yes && json.status == .yes && yaml.status == .yes)
      #expect(table.out.hasPrefix("NAME"))
      #expect(json.out.hasPrefix("[\n") && json.out.contains("\"name\" : "))
      #expect(yaml.out.hasPrefix("- ") && yaml.out.contains("name: "))
    }
  }

  @Test("maps: numbers to the right, fullness in percent, JSON of the agent's own fields")
  func maps() async throws {
    try await FakeAgent().serve { directory in
      let table = await CommandLineResult.of("show", "maps", "--run-dir", directory)
      #expect(
        table.out == """
          NAME            TYPE  ID  ENTRIES  CAPACITY  FULL
          mesh_pods_v1    hash   1        3      1024    1%
          mesh_policy_v1  hash  22    65536     65536  100%

          """)
      let json = await CommandLineResult.of("show", "maps", "pods", "--run-dir", directory, "-o", "json")
      let reports = try ReportCoding.decode([MapReport].self, from: Array(json.out.utf8))
      #expect(reports == [MapReport(name: "mesh_pods_v1", type: "hash", id: 1, entries: 3, capacity: 1024)])
    }
  }

  @Test("a name filters; a name that nothing has is a no")
  func names() async throws {
    try await FakeAgent().serve { directory in
      func names(_ filter: String) async throws -> [String] {
        let json = await CommandLineResult.of("show", "workloads", filter, "--run-dir", directory, "-o", "json")
        return try ReportCoding.decode([WorkloadReport].self, from: Array(json.out.utf8)).map(\.name)
      }
      do {
        let found = try await names("default/web")
        #expect(found == ["default/web"])
      }
      do {
        let found = try await names("default/")
        #expect(found == ["default/client", "default/web"])
      }
      do {
        let found = try await names("web")
        #expect(found == ["default/web", "shop/web"])
      }
      let none = await CommandLineResult.of("show", "workloads", "nobody", "--run-dir", directory)
      #expect(none.status == .no && none.out.isEmpty)
    }
  }

  @Test("explain says who decides, and exits with the verdict")
  func explain() async throws {
    try await FakeAgent().serve { directory in
      let allowed = await CommandLineResult.of("explain", "client", "web.default:80", "--run-dir", directory)
      #expect(allowed.status == .yes)
      #expect(
        allowed.out == """
          default/client -> default/web:80: ALLOWED, tier kernel
            1. 10.96.0.1:80 is service default/web
          SHARE  ENDPOINT       WORKLOAD     VERDICT  REASON  POLICY
           100%  10.0.0.2:8080  default/web  allow    -       -

          """)
      let refused = await CommandLineResult.of("explain", "client", "web.default:81", "--run-dir", directory)
      #expect(refused.status == .no)
      #expect(
        refused.out.contains("REFUSED, tier none, no_service_port:") && refused.out.contains("next: martlet show"))
    }
  }

  @Test("explain of a request says which rule takes it, and exits with what the proxy answers by itself")
  func explainRequest() async throws {
    try await FakeAgent().serve { directory in
      let led = await CommandLineResult.of(
        "explain", "client", "web.default:80", "--method", "POST", "--path", "/cart?a=b&c", "--host", "web.test",
        "--header", "x-a=1 & 2", "--header", "x-b=", "--run-dir", directory)
      #expect(led.status == .yes)
      #expect(
        led.out == """
          default/client -> default/web:80: ALLOWED, tier relay
          request: HTTPRoute default/canary, rule 1 (POST /cart?a=b&c)
            filter: saw x-a 1 & 2 of web.test
            filter: saw x-b  of web.test

          """)
      let lost = await CommandLineResult.of(
        "explain", "client", "web.default:80", "--path", "/lost", "--run-dir", directory)
      #expect(lost.status == .no)
      #expect(lost.out.contains("request: no rule, answered by the node proxy: 404 no_route"))
      let json = await CommandLineResult.of(
        "explain", "client", "web.default:80", "--path", "/lost", "--run-dir", directory, "-o", "json")
      let report = try ReportCoding.decode(ExplainReport.self, from: Array(json.out.utf8))
      #expect(report.request == .init(status: 404, reason: "no_route"))
    }
  }

  @Test("explain of a server name says which TLSRoute leads it, and exits with whether one does")
  func explainServerName() async throws {
    try await FakeAgent().serve { directory in
      func ask(_ name: String) async -> CommandLineResult {
        await .of("explain", "client", "web.default:443", "--sni", name, "--run-dir", directory)
      }
      let led = await ask("WWW.test")
      #expect(led.status == .yes && led.out.contains("server name www.test: TLSRoute default/web (*.test)\n"))
      let lost = await ask("lost.test")
      #expect(lost.status == .no)
      #expect(lost.out.contains("server name lost.test: no rule, closed by the node proxy: tls_no_route\n"))
      for name in ["", "a b", "10.0.0.1", "a/b", "a:443", String(repeating: "a", count: 254)] {
        let refused = await ask(name)
        #expect(refused.status != .yes && refused.errors.contains("server name"), "\(name): \(refused)")
      }
    }
  }

  @Test("top: what came in between, the most expensive first; bad intervals are refused")
  func top() async throws {
    try await FakeAgent().serve { directory in
      let table = await CommandLineResult.of("top", "--interval", "1", "--run-dir", directory)
      let lines = table.out.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
      try #require(table.status == .yes && lines.count == 3, "\(table)")
      #expect(lines[1].prefix(3) == ["default/web", "12.5%", "1500.0"])
      #expect(lines[2].prefix(3) == ["default/quiet", "0.0%", "0.0"])
      for bad in [["--interval", "0"], ["--count", "-1"], ["--interval", "x"]] {
        #expect(await CommandLineResult.of(["top"] + bad + ["--run-dir", directory]).status == .usage)
      }
    }
  }

  @Test("show routes: one line a rule, as the proxy obeys it")
  func routes() async throws {
    try await FakeAgent().serve { directory in
      let table = await CommandLineResult.of("show", "routes", "--run-dir", directory)
      let lines = table.out.split(separator: "\n")
      #expect(
        lines.count == 3 && lines[0].hasPrefix("SERVICE      PORT  ROUTE                     RULE   CLIENTS  MATCHES"))
      for words in [
        "default/web    80  HTTPRoute default/canary  0 new  all      GET /a/* | =/b  -",
        "default/one:80*9(2 ready),default/gone:80*1(invalid)  00000000000000ab",
        "HTTPRoute shop/own        0      shop/",
      ] { #expect(table.out.contains(words), "\(table.out)") }
      let json = await CommandLineResult.of("show", "routes", "shop/", "--run-dir", directory, "-o", "json")
      let rules = try ReportCoding.decode([RuleReport].self, from: Array(json.out.utf8))
      #expect(rules.map(\.route) == ["shop/own"])
    }
  }

  @Test("show endpoints: who is left out, why, and for how long")
  func endpoints() async throws {
    try await FakeAgent().serve { directory in
      let table = await CommandLineResult.of("show", "endpoints", "--run-dir", directory)
      #expect(table.out.split(separator: "\n").count == 4)
      for words in [
        "10.0.0.1:8080", "ejected 12s", "consecutive_errors=2", "1.5ms", "eu/a", "starting 40%",
        "not_ready     no address is known",
      ] { #expect(table.out.contains(words), "\(table.out)") }
      let ejected = await CommandLineResult.of("show", "endpoints", "ejected", "--run-dir", directory, "-o", "json")
      let reports = try ReportCoding.decode([EndpointReport].self, from: Array(ejected.out.utf8))
      #expect(reports.map(\.target) == ["10.0.0.1:8080"])
    }
  }

  private static func record(_ number: Int) -> FlowRecord {
    let refused = number % 2 == 0
    var record = FlowRecord(time: Timestamp(microseconds: Int64(number) * 1_000_000), kind: .closed, tier: .kernel)
    record.kind = refused ? .refused : .closed
    record.verdict = refused ? .deny : .allow
    record.reason = refused ? .notAllowed : .none
    record.source.workload = "default/client"
    record.destination.workload = "default/web"
    return record
  }

  @Test("observe prints the last records as a table, or a line of JSON each")
  func observe() async throws {
    let agent = FakeAgent()
    agent.flows.publish((1...5).map(Self.record))
    try await agent.serve { directory in
      let table = await CommandLineResult.of("observe", "--last", "1", "--verdict", "deny", "--run-dir", directory)
      #expect(table.status == .yes)
      #expect(table.out.split(separator: "\n").count == 2)
      #expect(table.out.contains("00:00:04.000  refused  kernel  default/client  default/web"))
      let json = await CommandLineResult.of("observe", "--run-dir", directory, "-o", "json")
      let records = try json.out.split(separator: "\n").map {
        try ReportCoding.decode(FlowRecord.self, from: Array($0.utf8))
      }
      #expect(records.map(\.number) == [1, 2, 3, 4, 5])
      let none = await CommandLineResult.of("observe", "--source", "other/", "--run-dir", directory, "-o", "json")
      #expect(none.status == .yes && none.out.isEmpty)
    }
  }

  @Test("observe says how many records it was too slow for", .timeLimit(.minutes(1)))
  func observeFollow() async throws {
    let agent = FakeAgent()
    try await agent.serve { directory in
      let lines = Mutex(0)
      let errors = Mutex("")
      let console = Console(
        out: { _ in lines.withLock { $0 += 1 } }, error: { text in errors.withLock { $0 += text } })
      let follower = Task {
        await Console.$current.withValue(console) {
          await CommandLineRun.run(["observe", "--follow", "--run-dir", directory])
        }
      }
      while agent.flows.waitingReaders == 0 { await Task.yield() }
      agent.flows.publish(
        (0..<2000).map { _ in FlowRecord(time: Timestamp(microseconds: 0), kind: .closed) })
      while lines.withLock({ $0 }) < 1000 { await Task.yield() }
      follower.cancel()
      _ = await follower.value
      #expect(errors.withLock { $0 }.contains("1000 records missed here"))
      #expect(lines.withLock { $0 } == 1000)
    }
  }

  @Test("log-level sets it, or names the levels")
  func logLevel() async throws {
    let agent = FakeAgent()
    try await agent.serve { directory in
      #expect(await CommandLineResult.of("log-level", "debug", "--run-dir", directory).status == .yes)
      #expect(agent.level.withLock { $0 } == .debug)
      let wrong = await CommandLineResult.of("log-level", "loud", "--run-dir", directory)
      #expect(wrong.status == .usage && wrong.errors.contains("warning"))
    }
  }

  @Test("an error of the agent is shown as it stands")
  func agentError() async throws {
    try await FakeAgent().serve { directory in
      let result = await CommandLineResult.of("show", "connections", "--run-dir", directory)
      #expect(result.status == .no)
      #expect(result.errors == "martlet: connections: not gathered yet; ask again\n")
    }
  }

  @Test(
    "no agent is exit status 3, with the socket and the next step",
    arguments: [["status"], ["show", "maps"], ["observe"], ["explain", "a", "b:1"], ["log-level", "info"]])
  func unreachable(arguments: [String]) async {
    let result = await CommandLineResult.of(arguments + ["--run-dir", "/nonexistent/mt"])
    #expect(result.status == .unreachable)
    #expect(result.out.isEmpty)
    #expect(result.errors.contains("/nonexistent/mt/agent.sock") && result.errors.contains("systemctl status martletd"))
  }

  @Test("purge refuses while an agent answers")
  func purgeRefuses() async throws {
    try await FakeAgent().serve { directory in
      let result = await CommandLineResult.of("purge", "--run-dir", directory, "--pin-dir", directory + "/pins")
      #expect(result.status == .no)
      #expect(result.errors.contains("an agent answers, pid 42"))
    }
  }
}
