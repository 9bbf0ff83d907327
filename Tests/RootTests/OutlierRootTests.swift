import MeshTestSupport
import Testing

/// A TrafficPolicy through a whole mesh: which endpoints fail, who may say so, and what is told of it.
@Suite("Endpoints that fail", .serialized)
struct OutlierRootTests {
  private static let policy = """
    ---
    apiVersion: martlet.dev/v1alpha1
    kind: TrafficPolicy
    metadata: {name: web, namespace: demo}
    spec:
      targetRefs: [{group: "", kind: Service, name: web}]
      loadBalancing: {policy: RoundRobin}
      outlierDetection: {consecutiveErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}
      retries: {attempts: 2, codes: [503], backoff: 5ms}

    """

  private func states(_ mesh: Mesh) throws -> [Substring] {
    try mesh.martlet(["show", "endpoints"]).stdout.split(separator: "\n").filter { $0.contains("demo/web") }
  }

  @Test("a caller that policy refuses ejects nobody; an endpoint that is gone is ejected, told, and no caller notices")
  func ejected() throws {
    try HTTPRootTests().with("outliers", servers: ["one", "two"]) { shop in
      let intruder = try shop.mesh.node.pod("intruder", v4: "10.77.0.9")
      try shop.apply(
        { _ in "web" },
        Manifest.workload("intruder", intruder) + Manifest.allow("client", to: "web")
          + HTTPRootTests.service("web", ip: HTTPRootTests.vip, app: "web") + Self.policy)
      try shop.mesh.start()
      let url = "http://\(HTTPRootTests.vip)/"
      let isThere = try eventually(within: .seconds(20)) { try shop.get(url).hasPrefix("200 ") }
      #expect(isThere)

      for _ in 0..<12 {
        let answer = try intruder.run(["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url]).stdout
        #expect(answer == "503")
      }
      let before = try self.states(shop.mesh)
      #expect(before.count == 4 && !before.contains { $0.contains("ejected") }, "\(before)")

      _ = try shop.servers[0].kill()
      var seen: [Substring] = []
      var answers: Set<String> = []
      let isEjected = try eventually(within: .seconds(20)) {
        answers.insert(try shop.get(url))
        seen = try self.states(shop.mesh)
        return seen.contains { $0.contains("ejected") && $0.contains("consecutive") }
      }
      #expect(isEjected, "\(seen)")
      #expect(answers.isSubset(of: ["200 one", "200 two"]))
      for _ in 0..<5 { #expect(try shop.get(url) == "200 two") }
      let isCounted = try eventually(within: .seconds(20)) {
        try shop.mesh.metrics().contains("martlet_endpoint_ejections_total{reason=\"consecutive_errors\"} 1")
      }
      #expect(isCounted)
    }
  }
}
