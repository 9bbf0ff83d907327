import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// TLS connections through a whole mesh, led by the name that the client asks for; openssl speaks at both ends, so what passes
/// was not changed by a bit.
@Suite("TLSRoutes", .serialized)
struct TLSRouteRootTests {
  private static let vip = "240.0.0.60"

  private static func service(_ name: String, ip: String?) -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: demo}
    spec:
      selector: {app: \(name)}
    \(ip.map { "  clusterIP: \($0)\n" } ?? "")  ports: [{name: tls, port: 443, targetPort: 9443, appProtocol: tls}]

    """
  }

  private static func route(_ name: String, _ hostname: String, _ backends: String) -> String {
    """
    ---
    apiVersion: gateway.networking.k8s.io/v1alpha3
    kind: TLSRoute
    metadata: {name: \(name), namespace: demo}
    spec:
      parentRefs: [{group: "", kind: Service, name: web, port: 443}]
      hostnames: ["\(hostname)"]
      rules: [{backendRefs: [\(backends)]}]

    """
  }

  @Test(
    "openssl reaches the server that its server name leads to; other names are closed and counted, policy holds, and all of it is told"
  )
  func passthrough() throws {
    let world = try World("tlsroute")
    defer { try? world.close() }
    let node = try world.node("a")
    let client = try node.pod("client", v4: "10.77.0.2")
    let intruder = try node.pod("intruder", v4: "10.77.0.5")
    let servers = try ["one", "two"].enumerated().map { try node.pod($1, v4: "10.77.0.\($0 + 3)") }
    let mesh = try Mesh(world, node: node)
    for pod in servers {
      let files = world.directory + "/" + pod.name
      let made = try node.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=\(pod.name)", "-keyout", files + ".key", "-out", files + ".pem",
      ])
      #expect(made.isSuccess, "\(made)")
      let server = try pod.start([
        "openssl", "s_server", "-accept", "9443", "-cert", files + ".pem", "-key", files + ".key", "-www", "-quiet",
      ])
      try pod.waitForListener(port: 9443, process: server)
    }
    func apply(_ second: String) throws {
      try mesh.apply(
        (servers + [client, intruder]).map { Manifest.workload($0.name, $0) }.joined()
          + Self.service("web", ip: Self.vip) + Self.service("one", ip: nil) + Self.service("two", ip: nil)
          + Manifest.allow("client", to: "one") + Self.route("exact", "a.example.com", "{name: one, port: 443}")
          + Self.route("wild", "*.example.com", second))
    }
    try apply("{name: two, port: 443}")
    do {
      try mesh.start()
      /// The name in the certificate, or what openssl says of its failure.
      func ask(_ pod: WorldPod, _ name: [String]) throws -> String {
        let said = try pod.run(
          ["openssl", "s_client", "-connect", "\(Self.vip):443"] + name, timeout: .seconds(20))
        let all = said.stdout + said.stderr
        for server in ["one", "two"] where all.contains("CN = \(server)") { return server }
        return all
      }
      let isThere = try eventually(within: .seconds(20)) { try ask(client, ["-servername", "a.example.com"]) == "one" }
      #expect(isThere, "\(mesh.agent?.stderr ?? "")")
      #expect(try ask(client, ["-servername", "b.example.com"]) == "two")
      #expect(try ask(client, ["-servername", "x.y.example.com"]) == "two")
      #expect(try ask(client, ["-servername", "example.org"]).contains("unrecognized name"))
      #expect(try ask(client, ["-noservername"]).contains("unrecognized name"))
      // The policy of `one` admits the client only; nobody protects `two`.
      #expect(try !["one", "two"].contains(ask(intruder, ["-servername", "a.example.com"])))
      #expect(try ask(intruder, ["-servername", "b.example.com"]) == "two")
      // All of it arrives: a page over TLS 1.3 and 1.2.
      for version in ["--tlsv1.3", "--tls-max"] {
        let page = try client.run(
          ["curl", "-sk", "-m", "5", version] + (version == "--tls-max" ? ["1.2"] : []) + [
            "--resolve", "a.example.com:443:\(Self.vip)", "https://a.example.com/",
          ])
        #expect(page.stdout.contains("</HTML>") || page.stdout.contains("</html>"), "\(page)")
      }
      #expect(try mesh.martlet(["show", "routes"]).stdout.contains("server name *.example.com"))
      #expect(try mesh.martlet(["explain", "demo/client", "\(Self.vip):443"]).stdout.contains("TLSRoute demo/exact"))
      for (name, answer, status) in [
        ("a.example.com", "TLSRoute demo/exact (a.example.com)", 0), ("x.y.example.com", "TLSRoute demo/wild", 0),
        ("example.org", "closed by the node proxy: tls_no_route", 1),
      ] {
        let explained = try mesh.martlet(["explain", "demo/client", "\(Self.vip):443", "--sni", name])
        #expect(
          explained.status == .code(Int32(status)) && explained.stdout.contains("server name \(name): ")
            && explained.stdout.contains(answer), "\(explained)")
      }
      let isCounted = try eventually(within: .seconds(20)) {
        let metrics = try mesh.metrics()
        return ["tls_no_route", "tls_no_name"].allSatisfy { reason in
          metrics.split(separator: "\n").contains { $0.contains("reason=\"\(reason)\"") && $0.hasSuffix(" 1") }
        }
      }
      #expect(isCounted)

      // What the wildcard leads to changes while it runs; a backend that is not there refuses its share.
      try apply("{name: one, port: 443}")
      #expect(try eventually(within: .seconds(20)) { try ask(client, ["-servername", "b.example.com"]) == "one" })
      try apply("{name: gone, port: 443}")
      #expect(
        try eventually(within: .seconds(20)) {
          try !["one", "two"].contains(ask(client, ["-servername", "b.example.com"]))
        })
      #expect(try ask(client, ["-servername", "a.example.com"]) == "one")
    } catch {
      Issue.record("agent: \(mesh.agent?.stderr ?? "")")
      throw error
    }
  }
}
