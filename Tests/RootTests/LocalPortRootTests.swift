import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// No local port is left toward an endpoint (RS-05).
@Suite("Local ports", .serialized)
struct LocalPortRootTests {
  private static let vip = SpineRootTests.vip

  @Test(
    "RS-05: a request whose upstream cannot be dialled for want of a local port is a 503 that says so, and others go on"
  )
  func usedUp() throws {
    try SpineRootTests.Trio.with("localports", prepare: { $0.parsesHTTP = true }) { trio in
      let web = try trio.server.start(["python3", "-c", Programs.httpServer, "9001", "server"])
      try trio.server.waitForListener(port: 9001, process: web)
      // Port 8080 leads to 9000, 8081 to 9001.
      try trio.mesh.apply(
        trio.resources(Manifest.allow("client", to: "server")).replacing(
          "targetPort: 9000, appProtocol: http}",
          with:
            "targetPort: 9000, appProtocol: http}\n    - {name: web, port: 8081, targetPort: 9001, appProtocol: http}"))
      func get(_ port: UInt16) throws -> String {
        let said = try trio.client.run([
          "curl", "-s", "-m", "5", "-w", " %{http_code}", "http://\(Self.vip):\(port)/",
        ])
        return said.stdout
      }
      #expect(try eventually(within: .seconds(20)) { try get(8081).hasSuffix(" 200") })
      func range(_ text: String) throws {
        let set = try trio.client.run(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=\(text)"])
        #expect(set.isSuccess, "\(set)")
      }
      try range("40000 40001")
      // Both ports are used toward 10.77.0.3:9000, and toward nothing else.
      let held = try (0..<2).map { _ in
        try trio.client.start(["python3", "-c", Programs.heldConnection, "10.77.0.3", "9000"])
      }
      #expect(eventually { held.allSatisfy { $0.stdout.contains("open") } }, "\(held.map(\.stderr))")
      let refused = try get(8080)
      #expect(refused.hasPrefix("no_local_port") && refused.hasSuffix(" 503"), "\(refused)")
      #expect(try get(8081).hasSuffix(" 200"))
      let isCounted = try eventually(within: .seconds(20)) {
        let metrics = try trio.mesh.metrics()
        return metrics.split(separator: "\n").contains {
          $0.hasPrefix("martlet_proxy_refused_connections_total{") && $0.contains("reason=\"no_local_port\"")
        }
          && metrics.split(separator: "\n").contains {
            $0.hasPrefix("istio_requests_total{") && $0.contains("response_flags=\"UF,UO\"")
          }
      }
      #expect(isCounted)
      #expect(
        eventually { trio.mesh.agent?.stderr.contains("no local port is left toward an upstream") == true },
        "\(trio.mesh.agent?.stderr ?? "")")
      // The server at 9000 echoes: what it says is no answer, so it was reached.
      try range("40000 40999")
      #expect(try get(8080).hasSuffix(" 502"))
    }
  }
}
