import MeshBase
import MeshSnapshot
import Testing

@testable import MeshTelemetry

@Suite struct EdgeLedgerTests {
  private let key = EdgeKey(tier: .kernel)

  @Test("readings add up to what was counted")
  func differences() {
    var ledger = EdgeLedger()
    ledger.observe([(self.key, EdgeCounters(opened: 3, sentBytes: 10))])
    ledger.observe([(self.key, EdgeCounters(opened: 5, sentBytes: 30))])
    #expect(ledger.totals[self.key] == EdgeCounters(opened: 5, sentBytes: 30))
  }

  @Test("an entry that the kernel evicted goes on counting, and totals never go down")
  func eviction() {
    var ledger = EdgeLedger()
    ledger.observe([(self.key, EdgeCounters(opened: 5))])
    ledger.observe([])
    #expect(ledger.totals[self.key]?.opened == 5)
    ledger.observe([(self.key, EdgeCounters(opened: 2))])
    ledger.observe([(self.key, EdgeCounters(opened: 1, closed: 1))])
    #expect(ledger.totals[self.key] == EdgeCounters(opened: 8, closed: 1))
  }

  @Test("what the name server did is told by what it means; what did not happen is 0")
  func names() throws {
    let counts: [String: UInt64] = [
      "questions": 9, "mesh": 4, "answered": 3, "forwarded": 5, "exhausted": 1, "timeouts": 2, "truncated": 1,
    ]
    let metrics = AgentMetrics(
      status: AgentStatus(version: "0", node: "n", pid: 1, uptimeSeconds: 1, revision: 1, ready: true),
      nameCounts: counts)
    func values(_ name: String) throws -> [String] {
      let family = try #require(metrics.families.first { $0.name == name })
      return family.series.map { "\($0.labels.joined()) \($0.value)" }
    }
    #expect(try values("martlet_dns_questions").count == 1)
    let answers = try values("martlet_dns_answers")
    #expect(answers.count == 6)
    #expect(answers.contains { $0.hasPrefix("mesh ") && $0.contains("4") })
    #expect(answers.contains { $0.hasPrefix("forwarded ") && $0.contains("3") })
    #expect(answers.contains { $0.hasPrefix("overloaded ") && $0.contains("0") })
    #expect(try values("martlet_dns_upstream_events").contains { $0.hasPrefix("timeouts ") && $0.contains("2") })
  }

  @Test("two entries of one name are one edge")
  func sameName() {
    var ledger = EdgeLedger()
    ledger.observe([(self.key, EdgeCounters(opened: 1)), (self.key, EdgeCounters(opened: 2))])
    ledger.observe([(self.key, EdgeCounters(opened: 1)), (self.key, EdgeCounters(opened: 3))])
    #expect(ledger.totals[self.key]?.opened == 4)
  }

  @Test("counters stay at the largest value instead of overflowing")
  func saturation() {
    var counters = EdgeCounters(opened: .max)
    counters.add(EdgeCounters(opened: 1))
    #expect(counters.opened == .max)
  }

  @Test("a million edges cost the limit, and the sum stays true")
  func cardinality() {
    var ledger = EdgeLedger(limit: 50)
    for round in 0..<20 {
      ledger.observe(
        (0..<100).map { (EdgeKey(port: UInt16(round * 100 + $0), tier: .kernel), EdgeCounters(opened: 1)) })
    }
    #expect(ledger.totals.count == 50)
    #expect(ledger.overflow.opened == 1950)
    #expect(ledger.overflowed == 1950)
    let sum = ledger.totals.values.reduce(0) { $0 + $1.opened } + ledger.overflow.opened
    #expect(sum == 2000)
  }
}

@Suite struct OpenConnectionBytesTests {
  static let key = EdgeKey(port: 80, tier: .kernel)

  private func bytes(_ sent: UInt64, _ received: UInt64) -> [(EdgeKey, EdgeCounters)] {
    [(Self.key, EdgeCounters(sentBytes: sent, receivedBytes: received))]
  }

  @Test("bytes of open connections are told before they end, and once only")
  func once() {
    var ledger = EdgeLedger()
    ledger.observe([(Self.key, EdgeCounters(opened: 2, closed: 1, sentBytes: 10, receivedBytes: 1))])
    ledger.observe(open: self.bytes(100, 5) + self.bytes(7, 0), base: ledger)
    #expect(ledger.told(Self.key) == EdgeCounters(opened: 2, closed: 1, sentBytes: 117, receivedBytes: 6))
    // Closed: the kernel has them now.
    ledger.observe([(Self.key, EdgeCounters(opened: 2, closed: 3, sentBytes: 130, receivedBytes: 6))])
    #expect(ledger.told(Self.key).sentBytes == 130)
    ledger.observe(open: [], base: ledger)
    #expect(ledger.told(Self.key) == ledger.totals[Self.key])
  }

  @Test("what ended between the two readings is missing for a while, and nothing goes down")
  func race() {
    var ledger = EdgeLedger()
    ledger.observe([(Self.key, EdgeCounters(opened: 1))])
    ledger.observe(open: self.bytes(100, 0), base: ledger)
    // It ends after the map was read and before sockets are: neither has it.
    ledger.observe([(Self.key, EdgeCounters(opened: 1))])
    ledger.observe(open: [], base: ledger)
    #expect(ledger.told(Self.key).sentBytes == 100)
    // Another reading of the map came in between: the look belongs to the older one.
    let base = ledger
    ledger.observe([(Self.key, EdgeCounters(opened: 1, closed: 1, sentBytes: 150))])
    ledger.observe(open: self.bytes(140, 0), base: base)
    #expect(ledger.told(Self.key).sentBytes == 150)
  }

  @Test("an edge without room or without a count is left out")
  func unknown() {
    var ledger = EdgeLedger(limit: 1)
    ledger.observe([(EdgeKey(port: 1, tier: .kernel), EdgeCounters(opened: 1))])
    ledger.observe(open: self.bytes(100, 0), base: ledger)
    #expect(ledger.told(Self.key) == EdgeCounters())
  }
}

@Suite struct AgentMetricsTests {
  static let client = ResourceName(namespace: "default", name: "client")
  static let web = ResourceName(namespace: "shop", name: "web")

  static func directory() throws -> NameDirectory {
    let client = try #require(SPIFFEID("spiffe://cluster.local/ns/default/sa/client"))
    let web = try #require(SPIFFEID("spiffe://cluster.local/ns/shop/sa/web"))
    let workloads = [
      WorkloadEntry(name: try #require(self.client), node: "n1", identity: client, app: "caller", appVersion: "v1"),
      WorkloadEntry(name: try #require(self.web), node: "n1", identity: web, app: "web", appVersion: "v2"),
    ]
    return NameDirectory(Snapshot(workloads.map { VersionedEntry(.workload($0), version: ContentVersion(value: 1)) }))
  }

  static func metrics() throws -> AgentMetrics {
    var edges = EdgeLedger(limit: 100)
    edges.observe([
      (
        EdgeKey(source: self.client, destination: self.web, service: self.web, port: 80, tier: .kernel),
        EdgeCounters(opened: 3, closed: 2, sentBytes: 100, receivedBytes: 2000)
      ),
      // The same connection pair dialled on another port: one series, as ports are no label.
      (
        EdgeKey(source: self.client, destination: self.web, service: self.web, port: 81, tier: .relay),
        EdgeCounters(opened: 1)
      ),
      (EdgeKey(destination: self.web, port: 8080, tier: .outside), EdgeCounters(opened: 7, closed: 7)),
      (
        EdgeKey(source: self.client, destination: self.web, port: 8080, tier: .kernel, reason: .policyDenied),
        EdgeCounters(refused: 4)
      ),
    ])
    var status = AgentStatus(version: "0.1.0", node: "n1", uptimeSeconds: 12, revision: 5, ready: true)
    status.controlPlane.state = .connected
    status.proxy = ProxyStatus(state: .running, pid: 9, restarts: 2, appliedRevision: 5)
    status.datapath = DatapathStatus(
      layout: 1, generation: 6, enrolledWorkloads: 2, lostEvents: 1, attachmentsRepaired: 3)
    status.health = [HealthCheck("datapath", .ok, "attached"), HealthCheck("proxy", .fail, "gone")]
    return AgentMetrics(
      status: status,
      programs: [
        ProgramReport(name: "mesh_connect4", id: 1, attached: "/cg", runs: 10, runNanoseconds: 4000),
        ProgramReport(name: "mesh_lookup", id: 2, attached: "a"),
        ProgramReport(name: "mesh_lookup", id: 3, attached: "b"),
      ],
      maps: [MapReport(name: "mesh_pods_v1", type: "hash", entries: 2, capacity: 1024)], edges: edges,
      names: try self.directory(),
      decisions: [.init(hook: .connect, reason: .none, count: 9), .init(hook: .lookup, reason: .mapError, count: 1)])
  }

  @Test("a page of everything is legal in both formats", arguments: TextExposition.allCases)
  func legal(format: TextExposition) throws {
    let families = try Self.metrics().families
    let page = try ExpositionParser(format.text(families), openMetrics: format == .openMetrics)
    #expect(page.types.count == families.count)
    #expect(page.helps.count == families.count)
    #expect(page.samples.count == families.reduce(0) { $0 + $1.series.count })
    #expect(page.value("martlet_proxy_restarts_total") == 2)
    #expect(page.value("martlet_attachments_repaired_total") == 3)
    #expect(page.value("martlet_bpf_program_run_seconds_total", ["program": "mesh_connect4"]) == 4e-6)
    #expect(page.value("martlet_health", ["check": "proxy"]) == 0)
    #expect(page.value("martlet_hook_decisions_total", ["hook": "lookup", "reason": "map_error"]) == 1)
    #expect(page.value("martlet_bpf_map_capacity", ["map": "mesh_pods_v1"]) == 1024)
  }

  @Test("what the proof of effect found is told, each by its reason")
  func proof() throws {
    var metrics = try Self.metrics()
    metrics.status.datapath.quarantinedWorkloads = 1
    metrics.proof = ProofCounters(
      dials: 5, answers: 4, lost: ["unsteered": 2, "edge_lost": 1], quarantines: 1, foreignListeners: ["mesh_port": 3])
    let page = try ExpositionParser(TextExposition.prometheus.text(metrics.families), openMetrics: false)
    #expect(page.value("martlet_canary_dials_total") == 5 && page.value("martlet_canary_answers_total") == 4)
    #expect(page.value("martlet_redirections_lost_total", ["reason": "unsteered"]) == 2)
    #expect(page.value("martlet_redirections_lost_total", ["reason": "edge_lost"]) == 1)
    #expect(page.value("martlet_quarantines_total") == 1 && page.value("martlet_workloads_quarantined") == 1)
    #expect(page.value("martlet_foreign_listeners", ["place": "mesh_port"]) == 3)
  }

  @Test("a connection bears Istio's labels")
  func istioLabels() throws {
    let page = try ExpositionParser(TextExposition.prometheus.text(try Self.metrics().families), openMetrics: false)
    let sample = try #require(
      page.samples.first {
        $0.name == "istio_tcp_connections_opened_total" && $0.labels["source_workload"] == "client"
      })
    #expect(sample.value == 4)
    #expect(
      sample.labels == [
        "reporter": "source", "source_workload": "client", "source_workload_namespace": "default",
        "source_principal": "spiffe://cluster.local/ns/default/sa/client", "source_app": "caller",
        "source_version": "v1", "source_canonical_service": "caller", "source_canonical_revision": "v1",
        "destination_workload": "web", "destination_workload_namespace": "shop",
        "destination_principal": "spiffe://cluster.local/ns/shop/sa/web", "destination_app": "web",
        "destination_version": "v2", "destination_service": "web.shop.svc.cluster.local",
        "destination_service_name": "web", "destination_service_namespace": "shop",
        "destination_canonical_service": "web", "destination_canonical_revision": "v2", "request_protocol": "tcp",
        "response_flags": "-", "connection_security_policy": "none",
      ])
    #expect(page.value("istio_tcp_sent_bytes_total", ["source_workload": "client"]) == 100)
    #expect(page.value("istio_tcp_received_bytes_total", ["source_workload": "client"]) == 2000)
    #expect(page.value("istio_tcp_connections_closed_total", ["reporter": "destination"]) == 7)
  }

  @Test("a relayed connection is counted once")
  func relayOnce() throws {
    let page = try ExpositionParser(TextExposition.prometheus.text(try Self.metrics().families), openMetrics: false)
    let opened = page.samples.filter { $0.name == "istio_tcp_connections_opened_total" }.reduce(0) { $0 + $1.value }
    #expect(opened == 11)
    #expect(page.value("martlet_connections_opened_total", ["tier": "relay"]) == 1)
  }

  @Test("a refusal is counted with its reason and is no opened connection")
  func refusals() throws {
    let page = try ExpositionParser(TextExposition.prometheus.text(try Self.metrics().families), openMetrics: false)
    #expect(
      page.value(
        "martlet_connections_refused_total", ["reason": "policy_denied", "destination_workload": "web"]) == 4)
  }

  @Test("what exceeds the limit is one series labelled overflow")
  func overflow() throws {
    var metrics = try Self.metrics()
    metrics.edges = EdgeLedger(limit: 10)
    metrics.edges.observe(
      (0..<1000).map {
        (
          EdgeKey(source: ResourceName("default/w\($0)"), tier: .kernel),
          EdgeCounters(opened: 1, refused: 1)
        )
      })
    let page = try ExpositionParser(TextExposition.prometheus.text(metrics.families), openMetrics: false)
    let opened = page.samples.filter { $0.name == "istio_tcp_connections_opened_total" }
    #expect(opened.count == 11)
    #expect(opened.reduce(0) { $0 + $1.value } == 1000)
    #expect(page.value("istio_tcp_connections_opened_total", ["reporter": "overflow"]) == 990)
    #expect(page.value("martlet_connections_refused_total", ["reason": "overflow"]) == 990)
    #expect(page.value("martlet_metric_series_overflow_total") == 990)
  }

  @Test("equal counters are equal text")
  func deterministic() throws {
    #expect(
      TextExposition.openMetrics.text(try Self.metrics().families)
        == TextExposition.openMetrics.text(try Self.metrics().families))
  }

  @Test("names come from the snapshot")
  func directory() throws {
    let name = try #require(Self.web)
    let identity = try #require(SPIFFEID("spiffe://cluster.local/ns/shop/sa/web"))
    let entry = WorkloadEntry(name: name, node: "n1", identity: identity, app: "shopfront", appVersion: "v9")
    let snapshot = Snapshot([VersionedEntry(.workload(entry), version: ContentVersion(value: 1))])
    let peer = NameDirectory(snapshot).peer(name, address: SocketEndpoint(IPAddress(v4: 0x0a00_0001), 80))
    #expect(
      peer
        == FlowPeer(
          workload: "shop/web", namespace: "shop", identity: identity.description, app: "shopfront", version: "v9",
          address: "10.0.0.1:80"))
    #expect(NameDirectory().peer(nil) == FlowPeer())
  }
}

@Suite struct ExplainQuestionTests {
  @Test("source and destination are understood in every documented form")
  func forms() throws {
    let web = try #require(ResourceName("shop/web"))
    let client = try #require(ResourceName("default/client"))
    for text in ["shop/web:80", "web.shop:80", "web.shop.svc:80", "web.shop.svc.cluster.local:80"] {
      let question = try ExplainQuestion(source: "client", destination: text)
      #expect(question == ExplainQuestion(source: .workload(client), target: .name(web), port: 80))
    }
    let question = try ExplainQuestion(source: "10.0.0.1", destination: "[::1]:443")
    #expect(
      question
        == ExplainQuestion(source: .address(IPAddress(v4: 0x0a00_0001)), target: .address(.loopbackV6), port: 443))
  }

  @Test(
    "what is no destination is refused",
    arguments: ["web", "web:", "web:0", "web:65536", "web:+1", "a.b.c:1", "10.0.0.1:0", "::1:80", ":80", "A:80"])
  func refused(text: String) {
    #expect(throws: MeshError.self) { try ExplainQuestion(source: "client", destination: text) }
  }
}
