import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("TrafficPolicies")
struct TrafficPolicyTests {
  private static let service = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec:
      selector: {app: web}
      ports:
        - {name: http, port: 80, targetPort: http, appProtocol: http}
        - {name: admin, port: 81, targetPort: 8081, appProtocol: http}
    """

  private static func policy(
    _ name: String = "p", _ spec: String = "{}", targets: String = "{kind: Service, name: web}", created: String? = nil
  ) -> String {
    """
    apiVersion: martlet.dev/v1alpha1
    kind: TrafficPolicy
    metadata: {name: \(name), namespace: shop\(created.map { ", creationTimestamp: \"\($0)\"" } ?? "")}
    spec:
      targetRefs: [\(targets)]
      \(spec == "{}" ? "" : spec)
    """
  }

  private func traffic(_ result: CompileResult, port: UInt16 = 80) -> TrafficSettings? {
    result.snapshot.services[Samples.name("shop/web")]?.value.ports.first { $0.port == port }?.traffic
  }

  private func settings(_ spec: String) -> TrafficSettings? {
    let result = Samples.compile(Self.service, Self.policy("p", spec))
    #expect(result.problems.isEmpty, "\(result.problems)")
    return self.traffic(result)
  }

  private var plain: TrafficSettings { TrafficSettings(origin: Samples.name("shop/p")) }

  private func conditions(_ result: CompileResult) -> [String] {
    result.routes.flatMap { route in
      route.parents.flatMap { parent in
        parent.conditions.map { "\(route.key.name) \($0.type) \($0.isTrue) \($0.reason)" }
      }
    }
  }

  @Test("without a word it says the defaults, which are in force on every port of its Services")
  func defaults() {
    let result = Samples.compile(Self.service, Self.policy())
    #expect(result.problems.isEmpty, "\(result.problems)")
    #expect(self.traffic(result) == self.plain && self.traffic(result, port: 81) == self.plain)
    #expect(self.conditions(result) == ["p Accepted true Accepted"])
  }

  @Test("loadBalancing: every policy, keys of a hash, slow start, panic and place")
  func loadBalancing() {
    let balancers: [(String, Balancer)] = [
      ("RoundRobin", .roundRobin), ("Random", .random), ("LeastRequest", .leastRequest),
      ("RingHash, hashOn: [{source: {}}]", .ringHash([.source])),
      (
        "Maglev, hashOn: [{header: X-User}, {cookie: Sid}, {query: q}]",
        .maglev([.header("x-user"), .cookie("Sid"), .query("q")])
      ),
    ]
    for (text, balancer) in balancers {
      var expected = self.plain
      expected.balancer = balancer
      #expect(self.settings("loadBalancing: {policy: \(text)}") == expected)
    }
    var expected = self.plain
    expected.slowStart = SlowStart(windowMilliseconds: 30_000, minimum: 10)
    expected.locality = LocalityPreference(minimum: 70)
    expected.panicThreshold = 0
    #expect(
      self.settings("loadBalancing: {slowStart: {window: 30s}, panicThresholdPercent: 0, locality: {}}") == expected)
    expected.slowStart?.minimum = 1
    expected.locality = LocalityPreference(minimum: 100, failover: ["eu-1", "us"])
    expected.panicThreshold = 50
    #expect(
      self.settings(
        "loadBalancing: {slowStart: {window: 30s, minimumPercent: 1}, locality: {minimumPercent: 100, failover: [eu-1, us]}}"
      ) == expected)
  }

  @Test("outlierDetection, limits and connectionPool")
  func health() {
    var expected = self.plain
    expected.outliers = OutlierDetection()
    #expect(self.settings("outlierDetection: {}") == expected)
    expected.outliers = OutlierDetection(
      consecutiveErrors: 0, consecutiveGatewayErrors: 3,
      successRate: .init(endpoints: 3, requests: 10, deviations: 1250), intervalMilliseconds: 500,
      baseEjectionMilliseconds: 600_000, maximumEjectionMilliseconds: 600_000, maximumEjectionPercent: 100)
    #expect(
      self.settings(
        """
        outlierDetection: {consecutiveErrors: 0, consecutiveGatewayErrors: 3, interval: 500ms, baseEjectionTime: 10m,
            successRate: {endpoints: 3, requests: 10, deviations: 1.25}, maxEjectionPercent: 100}
        """) == expected)
    expected = self.plain
    expected.limits = ConnectionLimits(connections: 1, pendingRequests: 0, requests: 1024, retries: 0)
    expected.pool = PoolSettings(
      idleMilliseconds: 90_000, lifetimeMilliseconds: 3_600_000, requestsPerConnection: 1, streamsPerConnection: 100,
      warmConnections: 2)
    #expect(
      self.settings(
        """
        limits: {connections: 1, pendingRequests: 0, requests: 1024, retries: 0}
          connectionPool: {idleTimeout: 1m30s, lifetime: 1h, requestsPerConnection: 1, streamsPerConnection: 100, warmConnections: 2}
        """) == expected)
  }

  @Test("retries: what one field says needs no other; faults: percent with two decimals")
  func retriesAndFaults() {
    var expected = self.plain
    #expect(self.settings("retries: {}") == expected)
    expected.retries.rule = HTTPRetry(codes: [], attempts: 3, backoffMilliseconds: 25)
    #expect(self.settings("retries: {attempts: 3}") == expected)
    expected.retries = RetrySettings(
      budget: .init(percent: 0, perSecond: 1), rule: HTTPRetry(codes: [502, 503], attempts: 2, backoffMilliseconds: 5),
      repeatsAll: true, perTryMilliseconds: 250, bodyBytes: 0)
    #expect(
      self.settings(
        """
        retries: {budget: {percent: 0, perSecond: 1}, codes: [502, 503], backoff: 5ms, nonIdempotent: true,
            perTryTimeout: 250ms, bodyBytes: 0}
        """) == expected)
    expected = self.plain
    expected.faults = [
      Fault(.delay(milliseconds: 100), share: 125, headers: [FieldMatch(name: "x-f", value: .regex("a+"))]),
      Fault(.abort(status: 503), share: 10_000), Fault(.abort(status: 429), share: 1),
      Fault(.abort(status: 500), share: 50),
    ]
    #expect(
      self.settings(
        """
        faults:
            - {delay: {percent: 1.25, duration: 100ms}, headers: [{name: X-F, type: RegularExpression, value: a+}]}
            - {abort: {percent: 100, status: 503}}
            - {abort: {percent: 0.01, status: 429}}
            - {abort: {percent: 0.5, status: 500}}
        """) == expected)
  }

  @Test(
    "what is wrong is named with its path, and the policy is not in force",
    arguments: [
      ("loadBalancing: {policy: roundRobin}", "loadBalancing.policy", "did you mean RoundRobin"),
      ("loadBalancing: {policy: Maglev}", "loadBalancing", "hashOn"),
      ("loadBalancing: {policy: Maglev, hashOn: []}", "loadBalancing.hashOn", "empty list"),
      ("loadBalancing: {policy: Maglev, hashOn: [{}]}", "loadBalancing.hashOn[0]", "one thing"),
      ("loadBalancing: {policy: Maglev, hashOn: [{header: a, cookie: b}]}", "loadBalancing.hashOn[0]", "one thing"),
      ("loadBalancing: {policy: Maglev, hashOn: [{header: a b}]}", "loadBalancing.hashOn[0].header", "no name"),
      ("loadBalancing: {policy: Maglev, hashOn: [{source: {a: 1}}]}", "loadBalancing.hashOn[0].source.a", "unknown"),
      ("loadBalancing: {policy: Random, hashOn: [{source: {}}]}", "loadBalancing.hashOn", "only RingHash"),
      ("loadBalancing: {slowStart: {}}", "loadBalancing.slowStart", "window is missing"),
      ("loadBalancing: {slowStart: {window: 0s}}", "loadBalancing.slowStart.window", "1ms to 1h"),
      ("loadBalancing: {panicThresholdPercent: 101}", "loadBalancing.panicThresholdPercent", "0 to 100"),
      ("loadBalancing: {locality: {minimumPercent: 0}}", "loadBalancing.locality.minimumPercent", "1 to 100"),
      ("loadBalancing: {locality: {failover: [a, a]}}", "loadBalancing.locality.failover[1]", "stands twice"),
      ("loadBalancing: {locality: {failover: [a/b]}}", "loadBalancing.locality.failover[0]", "no name of a region"),
      ("outlierDetection: {interval: 5}", "outlierDetection.interval", "the number 5"),
      (
        "outlierDetection: {successRate: {deviations: 1.2345}}", "outlierDetection.successRate.deviations", "3 decimals"
      ),
      ("outlierDetection: {successRate: {deviations: 0}}", "outlierDetection.successRate.deviations", "0.001 to 100"),
      ("outlierDetection: {maxEjectionTime: 10s}", "outlierDetection.maxEjectionTime", "shorter"),
      ("outlierDetection: {consecutive5xxErrors: 1}", "outlierDetection.consecutive5xxErrors", "unknown field"),
      ("limits: {connections: 0}", "limits.connections", "1 to"), ("limits: []", "limits", "a map"),
      ("connectionPool: {idleTimeout: 25h}", "connectionPool.idleTimeout", "1ms to 24h"),
      ("retries: {codes: [200]}", "retries.codes[0]", "400 to 599"),
      ("retries: {attempts: 0}", "retries.attempts", "1 to 100"),
      ("retries: {budget: {percent: 101}}", "retries.budget.percent", "0 to 100"),
      ("retries: {bodyBytes: 1048577}", "retries.bodyBytes", "0 to 1048576"),
      ("hedging: {delay: 10ms}", "hedging", "adds load"), ("timeouts: {request: 1s}", "timeouts", "route"),
      ("faults: [{delay: {percent: 1, duration: 1s}, abort: {percent: 1, status: 500}}]", "faults[0]", "one thing"),
      ("faults: [{headers: [{name: a, value: b}]}]", "faults[0]", "one thing"),
      ("faults: [{abort: {status: 500}}]", "faults[0].abort", "percent is missing"),
      ("faults: [{abort: {percent: 0.001, status: 500}}]", "faults[0].abort.percent", "2 decimals"),
      ("faults: [{abort: {percent: 100.01, status: 500}}]", "faults[0].abort.percent", "0 to 100"),
      ("faults: [{abort: {percent: 1., status: 500}}]", "faults[0].abort.percent", "2 decimals"),
      ("faults: [{abort: {percent: -1, status: 500}}]", "faults[0].abort.percent", "2 decimals"),
      ("faults: [{abort: {percent: 99999999999999999999, status: 500}}]", "faults[0].abort.percent", "2 decimals"),
      ("faults: [{abort: {percent: 1, status: 200}}]", "faults[0].abort.status", "400 to 599"),
      ("healthCheck: {}", "healthCheck", "one thing"), ("healthCheck: {tcp: {}, http: {}}", "healthCheck", "one thing"),
      ("healthCheck: {tcp: {port: 1}}", "healthCheck.tcp.port", "unknown field"),
      ("healthCheck: {http: {expectedStatuses: [\"300-200\"]}}", "healthCheck.http.expectedStatuses[0]", "no status"),
      ("healthCheck: {http: {expectedStatuses: [\"200-\"]}}", "healthCheck.http.expectedStatuses[0]", "no status"),
      ("healthCheck: {http: {expectedStatuses: [99]}}", "healthCheck.http.expectedStatuses[0]", "no status"),
      ("healthCheck: {tcp: {}, interval: 50ms}", "healthCheck.interval", "100ms to 1h"),
      ("healthCheck: {tcp: {}, timeout: 2m}", "healthCheck.timeout", "1ms to 1m"),
      ("healthCheck: {tcp: {}, jitterPercent: 51}", "healthCheck.jitterPercent", "0 to 50"),
      ("nonsense: 1", "nonsense", "unknown field"),
    ])
  func wrong(_ spec: String, _ path: String, _ words: String) {
    let result = Samples.compile(Self.service, Self.policy("p", spec))
    #expect(self.traffic(result) == nil)
    #expect(
      result.errors.contains { $0.position.path == "spec.\(path)" && $0.description.contains(words) },
      "\(result.problems.map(\.description))")
  }

  @Test("all problems are told at once, and the last good version stays")
  func allAtOnce() {
    var compiler = Compiler()
    func compile(_ spec: String) -> CompileResult {
      compiler.update(file: "a.yaml", bytes: Samples.stream([Self.service, Self.policy("p", spec)]))
      return compiler.compile(now: 1000)
    }
    _ = compile("limits: {requests: 7}")
    let result = compile("limits: {requests: 0}\n  retries: {attempts: 0}\n  faults: [{}]")
    #expect(
      Set(result.errors.map(\.position.path)) == ["spec.limits.requests", "spec.retries.attempts", "spec.faults[0]"])
    #expect(self.traffic(result)?.limits.requests == 7)
    #expect(result.routes.first?.problem?.contains("last good version") == true)
  }

  @Test("targets: Services of its namespace, each once, that exist")
  func targets() {
    for (target, path, words) in [
      ("{kind: Service, name: web, namespace: other}", "spec.targetRefs[0].namespace", "own namespace"),
      ("{group: apps, kind: Service, name: web}", "spec.targetRefs[0].group", "nothing that is called"),
      ("{kind: Workload, name: web}", "spec.targetRefs[0].kind", "nothing that is called"),
      ("{name: web}, {name: web}", "spec.targetRefs[1]", "stands twice"),
      ("{kind: Service}", "spec.targetRefs[0]", "name is missing"), ("", "spec.targetRefs", "an empty list"),
    ] {
      let result = Samples.compile(Self.service, Self.policy(targets: target))
      #expect(self.traffic(result) == nil)
      let isTold = result.errors.contains { $0.position.path == path && $0.message.contains(words) }
      #expect(isTold, "\(target): \(result.errors)")
    }
    for target in ["{name: gone}", "{name: web, sectionName: gone}"] {
      let result = Samples.compile(Self.service, Self.policy(targets: target))
      #expect(self.conditions(result) == ["p Accepted false TargetNotFound"])
      #expect(result.errors.map(\.position.path) == ["spec.targetRefs[0]"] || result.errors.count == 1)
    }
  }

  @Test("two for one Service: the older, then the first by name, has it; one for a port goes before one for all")
  func conflicts() {
    let byName = Samples.compile(Self.service, Self.policy("b"), Self.policy("a"))
    #expect(self.traffic(byName)?.origin.name == "a")
    #expect(self.conditions(byName) == ["a Accepted true Accepted", "b Accepted false Conflicted"])
    #expect(byName.errors.map(\.object) == ["TrafficPolicy shop/b"])
    let byAge = Samples.compile(
      Self.service, Self.policy("b", created: "2026-01-01T00:00:00Z"),
      Self.policy("a", created: "2026-01-02T00:00:00Z"),
      Self.policy("port", targets: "{name: web, sectionName: admin}"))
    #expect(self.traffic(byAge)?.origin.name == "b")
    #expect(self.traffic(byAge, port: 81)?.origin.name == "port")
    #expect(
      self.conditions(byAge) == [
        "a Accepted false Conflicted", "b Accepted true Accepted", "port Accepted true Accepted",
      ])
  }

  @Test("a port that the kernel decides is told what does not hold there")
  func kernelPorts() {
    let tcp = Self.service.replacing(", appProtocol: http", with: "")
    #expect(Samples.compile(tcp, Self.policy("p", "healthCheck: {tcp: {}}")).problems.isEmpty)
    let result = Samples.compile(tcp, Self.policy("p", "limits: {connections: 5}"))
    #expect(result.errors.isEmpty && result.problems.count == 1)
    #expect(result.problems.first?.message.contains("decided in the kernel") == true)
  }
}

@Suite("Health checks of a TrafficPolicy")
struct TrafficHealthTests {
  private static func workload(_ name: String, _ more: String = "", location: String = "networkNamespace: /run/netns/a")
    -> String
  {
    """
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata: {name: \(name), namespace: shop, labels: {app: web}}
    spec: {node: one, \(location), ports: [{name: http, port: 8080}]\(more)}
    """
  }

  private static func service(_ name: String, port: UInt16 = 80, selector: String = "\n  selector: {app: web}")
    -> String
  {
    """
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: shop}
    spec:\(selector)
      ports: [{name: http, port: \(port), targetPort: http, appProtocol: http}]
    """
  }

  private static func policy(_ name: String, service: String, _ check: String) -> String {
    """
    apiVersion: martlet.dev/v1alpha1
    kind: TrafficPolicy
    metadata: {name: \(name), namespace: shop}
    spec: {targetRefs: [{kind: Service, name: \(service)}], healthCheck: \(check)}
    """
  }

  private func check(_ result: CompileResult, _ workload: String = "a") -> ReadinessCheck? {
    result.snapshot.workloads[Samples.name("shop/\(workload)")]?.value.readiness
  }

  @Test("it becomes the check of each workload behind the Service, at the port that serves it")
  func compiled() {
    for (text, probe) in [
      ("tcp: {}", .tcp), ("http: {}", .http(.init())), ("grpc: {}", .grpc(service: "")),
      ("grpc: {service: a.B}", .grpc(service: "a.B")),
      (
        "http: {path: /up, host: web.example, expectedStatuses: [200, \"300-304\"]}",
        .http(.init(path: "/up", host: "web.example", expected: [200...200, 300...304]))
      ),
    ] as [(String, ReadinessCheck.Probe)] {
      let result = Samples.compile(
        Self.workload("a"), Self.service("web"), Self.policy("p", service: "web", "{\(text)}"))
      #expect(result.problems.isEmpty, "\(result.problems)")
      #expect(self.check(result) == ReadinessCheck(port: 8080, probe: probe))
    }
    let full = Samples.compile(
      Self.workload("a"), Self.service("web"),
      Self.policy(
        "p", service: "web",
        "{tcp: {}, interval: 500ms, timeout: 200ms, unhealthyThreshold: 2, healthyThreshold: 4, jitterPercent: 0}"))
    #expect(
      self.check(full)
        == ReadinessCheck(
          port: 8080, periodMilliseconds: 500, timeoutMilliseconds: 200, failureThreshold: 2, successThreshold: 4,
          jitterPercent: 0))
  }

  @Test("what the Workload says itself goes first; of two policies the first, and the other is told")
  func order() {
    let own = Samples.compile(
      Self.workload("a", ", readiness: {tcp: {port: 9}}"), Self.service("web"),
      Self.policy("p", service: "web", "{http: {}}"))
    #expect(self.check(own) == ReadinessCheck(port: 9) && own.problems.isEmpty)
    let two = Samples.compile(
      Self.workload("a"), Self.service("web"), Self.service("also"), Self.policy("q", service: "web", "{http: {}}"),
      Self.policy("p", service: "also", "{tcp: {}}"))
    #expect(self.check(two) == ReadinessCheck(port: 8080))
    #expect(two.problems.map(\.object) == ["TrafficPolicy shop/q"] && two.errors.isEmpty)
    let same = Samples.compile(
      Self.workload("a"), Self.service("web"), Self.service("also"), Self.policy("q", service: "web", "{http: {}}"),
      Self.policy("p", service: "also", "{http: {}}"))
    #expect(same.problems.isEmpty)
  }

  @Test(
    "who cannot be checked is told: known by address only, port not listed in the host's namespace, outside of the mesh"
  )
  func unchecked() {
    for (location, words) in [
      ("addresses: [10.0.0.1]", "known by its addresses only")
    ] {
      let result = Samples.compile(
        Self.workload("a", location: location), Self.service("web"), Self.policy("p", service: "web", "{tcp: {}}"))
      #expect(self.check(result) == nil && result.errors.isEmpty)
      #expect(result.problems.contains { $0.message.contains(words) }, "\(result.problems)")
    }
    let host = Samples.compile(
      Self.workload("a", location: "systemdUnit: a.service"),
      Self.service("web").replacing("targetPort: http", with: "targetPort: 9"),
      Self.policy("p", service: "web", "{tcp: {}}"))
    #expect(self.check(host) == nil && host.problems.contains { $0.message.contains("does not list port 9") })
    let slice = """
      apiVersion: discovery.k8s.io/v1
      kind: EndpointSlice
      metadata: {name: s, namespace: shop, labels: {kubernetes.io/service-name: web}}
      addressType: IPv4
      ports: [{name: http, port: 8080}]
      endpoints:
        - {addresses: [192.0.2.7], zone: eu-b}
        - {addresses: [192.0.2.8], zone: eu-b}
        - {addresses: [10.1.0.2], targetRef: {kind: Workload, name: a}}
        - {addresses: [10.1.0.2], zone: eu-c, targetRef: {kind: Workload, name: a}}
      """
    let manual = Samples.compile(
      Self.workload("a", ", locality: eu/eu-a/r1"), Self.service("web", selector: ""), slice,
      Self.policy("p", service: "web", "{tcp: {}}"))
    #expect(self.check(manual) == ReadinessCheck(port: 8080))
    #expect(manual.problems.count == 1 && manual.problems[0].message.contains("outside of the mesh"))
    #expect(
      manual.snapshot.endpoints[Samples.name("shop/web")]?.value.endpoints.map(\.locality.description) == [
        "/eu-b", "/eu-b", "eu/eu-a/r1", "eu/eu-c",
      ])
  }

  @Test("a Workload says where it is, and its endpoints are there")
  func locality() {
    for (text, isRight) in [
      ("eu", true), ("eu/a", true), ("eu/a/r.1", true), ("/a", false), ("\"\"", false), ("eu/", false),
      ("a/b/c/d", false),
    ] {
      let result = Samples.compile(Self.workload("a", ", locality: \(text)"), Self.service("web"))
      let endpoints = result.snapshot.endpoints[Samples.name("shop/web")]?.value.endpoints ?? []
      #expect(endpoints.map(\.locality.description) == (isRight ? [text] : []))
      #expect(result.errors.map(\.position.path) == (isRight ? [] : ["spec.locality"]))
    }
  }
}
