import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Requests through a whole mesh whose proxy parses HTTP: what the agent tells of them.
@Suite("Requests", .serialized)
struct RequestRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  /// The sum of all series of a metric whose labels are these.
  private func metric(_ mesh: Mesh, _ name: String, _ labels: [String: String]) throws -> Double {
    try mesh.metrics().split(separator: "\n").reduce(0) { sum, line in
      guard line.hasPrefix(name + "{"), labels.allSatisfy({ line.contains("\($0)=\"\($1)\"") }),
        let value = line.split(separator: " ").last.flatMap({ Double($0) })
      else { return sum }
      return sum + value
    }
  }

  /// Answers with the fields of the request.
  private static let mirror = """
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    class Mirror(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            body = "".join(f"{k.lower()}: {v}\\n" for k, v in self.headers.items()).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    ThreadingHTTPServer(("0.0.0.0", 9001), Mirror).serve_forever()
    """

  /// A trio with a web server behind port 8080, and nobody behind port 8081. `WORLD` in options is its directory. `mirrors`: the
  /// server answers with the request's fields.
  private func with(
    _ name: String, options: [String], mirrors: Bool = false, _ body: (Trio) throws -> Void
  ) throws {
    try Trio.with(
      name,
      prepare: { mesh in
        mesh.agentOptions = options.map { $0.replacingOccurrences(of: "WORLD", with: mesh.world.directory) }
        mesh.parsesHTTP = true
        let directory = mesh.world.directory + "/www"
        try DiskFile.makeDirectory(directory, mode: 0o755)
        try DiskFile.write([UInt8](repeating: 0x61, count: 1000), to: directory + "/page", mode: 0o644)
        try DiskFile.write(Array(Self.mirror.utf8), to: mesh.world.directory + "/mirror.py", mode: 0o644)
      }
    ) { trio in
      let web = try trio.server.start(
        mirrors
          ? ["python3", trio.mesh.world.directory + "/mirror.py"]
          : ["python3", "-m", "http.server", "9001", "--directory", trio.mesh.world.directory + "/www"])
      try trio.server.waitForListener(port: 9001, process: web)
      try trio.mesh.apply(
        trio.resources(Manifest.allow("client", to: "server")).replacingOccurrences(
          of: "targetPort: 9000, appProtocol: http}",
          with:
            "targetPort: 9001, appProtocol: http}\n    - {name: nobody, port: 8081, targetPort: 9099, appProtocol: http}"
        ))
      let isThere = try eventually(within: .seconds(20)) {
        try trio.mesh.martlet(["show", "services", "-o", "yaml"]).stdout.contains("8081:9099")
          && trio.get(8080, "/page").hasPrefix("200 ")
      }
      #expect(isThere)
      try body(trio)
    }
  }

  @Test("who called is told to the server, and written to the access log with what came of it; the file is the proxy's")
  func callerIsTold() throws {
    let options = [
      "--access-log", "WORLD/access.log", "--http-field", "forwarded=replace", "--http-field", "via=mesh",
    ]
    try self.with("requestlog", options: options, mirrors: true) { trio in
      let path = trio.mesh.world.directory + "/access.log"
      #expect(try DiskFile.status(path)?.owner != 0)
      let fields = try trio.client.run([
        "curl", "-s", "-m", "5", "-A", "probe", "-H", "X-Forwarded-For: 9.9.9.9", "-H", "Forwarded: for=evil",
        "http://\(Self.vip):8080/who?a=b",
      ]).stdout
      for field in [
        "x-forwarded-for: 9.9.9.9, 10.77.0.2\n", "x-forwarded-proto: http\n", "forwarded: for=10.77.0.2;proto=http\n",
        "via: 1.1 mesh\n", "x-request-id: ",
      ] { #expect(fields.contains(field), "\(field): \(fields)") }
      #expect(!fields.contains("evil"))
      #expect(try trio.get(8081, "/refused").hasPrefix("503 "))

      var lines: [[String: Any]] = []
      let isWritten = try eventually(within: .seconds(20)) {
        lines = try DiskFile.read(path, limit: 1 << 20).split(separator: 0x0a).compactMap {
          try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any]
        }
        return lines.contains { $0["path"] as? String == "/refused" }
      }
      #expect(isWritten)
      let line = try #require(lines.first { $0["path"] as? String == "/who?a=b" }, "\(lines)")
      for (name, value) in [
        ("method", "GET"), ("user_agent", "probe"), ("source_workload", "demo/client"), ("service", "demo/server"),
        ("source_principal", "spiffe://cluster.local/ns/demo/sa/client"), ("destination_workload", "demo/server"),
        ("destination_principal", "spiffe://cluster.local/ns/demo/sa/server"), ("upstream_host", "10.77.0.3:9001"),
        ("downstream_remote_address", "10.77.0.2"), ("response_flags", "-"),
      ] { #expect(line[name] as? String == value, "\(name): \(line)") }
      let id = try #require(line["request_id"] as? String)
      #expect(fields.contains("x-request-id: \(id)\n"))
      let refused = try #require(lines.first { $0["path"] as? String == "/refused" })
      #expect(refused["response_code"] as? Int == 503 && refused["response_flags"] as? String == "UF")
      let isCounted = try eventually(within: .seconds(20)) {
        try self.metric(trio.mesh, "martlet_access_log_entries_total", ["result": "written"]) == Double(lines.count)
      }
      #expect(isCounted)
    }
  }

  @Test(
    "the access log is switched on and off, and fields are changed, by the mesh's configuration while everything runs")
  func switchedLive() throws {
    try self.with("requestswitch", options: ["--http-field", "via=host"], mirrors: true) { trio in
      let mesh = trio.mesh
      let pids = try mesh.proxies()
      func apply(_ spec: String) throws {
        try mesh.apply(
          "apiVersion: martlet.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: \(spec)\n",
          file: "config.yaml")
      }
      func fields(_ path: String) throws -> String {
        try trio.client.run(["curl", "-s", "-m", "5", "http://\(Self.vip):8080\(path)"]).stdout
      }
      func logged(_ path: String) -> Bool {
        mesh.agent?.stdout.split(separator: "\n").contains { $0.contains("\"path\":\"\(path)\"") } == true
      }
      let before = try fields("/before")
      #expect(before.contains("x-request-id: ") && before.contains("via: 1.1 host\n"))
      try apply("{accessLog: {enabled: true}, forwarding: {x-request-id: remove, via: mesh}}")
      // The host's option wins over the mesh's setting, and the proxy says so.
      let isChanged = try eventually(within: .seconds(20)) { try !fields("/asked").contains("x-request-id: ") }
      #expect(isChanged)
      #expect(try fields("/on").contains("via: 1.1 host\n"))
      #expect(eventually { logged("/on") }, "\(mesh.agent?.stdout ?? "")")
      #expect(!logged("/before"))
      #expect(eventually { mesh.agent?.stderr.contains("options of this host go before") == true })
      try apply("{}")
      #expect(try eventually(within: .seconds(20)) { try fields("/asked").contains("x-request-id: ") })
      _ = try fields("/off")
      try apply("{accessLog: {enabled: true, filter: errors=400}}")
      let isRefused = try eventually(within: .seconds(20)) {
        _ = try trio.get(8081, "/error")
        return logged("/error")
      }
      #expect(isRefused, "\(mesh.agent?.stdout ?? "")")
      _ = try fields("/good")
      _ = try trio.get(8081, "/last")
      #expect(eventually { logged("/last") } && !logged("/good") && !logged("/off"))
      #expect(try mesh.proxies() == pids)
    }
  }

  @Test("requests and refused ones are in the agent's metrics, with Istio's labels")
  func metrics() throws {
    try self.with("requestmetrics", options: []) { trio in
      let edge = [
        "reporter": "source", "source_workload": "client", "destination_workload": "server",
        "destination_service": "server.demo.svc.cluster.local", "request_protocol": "http",
        "source_principal": "spiffe://cluster.local/ns/demo/sa/client",
        "destination_principal": "spiffe://cluster.local/ns/demo/sa/server",
      ]
      let good = edge.merging(["response_code": "200", "response_flags": "-"]) { $1 }
      var before = -1.0
      // Whatever asked until the server stood is told by now, if nothing is told any more.
      let isQuiet = try eventually(within: .seconds(20)) {
        let now = try self.metric(trio.mesh, "istio_requests_total", edge)
        defer { before = now }
        return now > 0 && now == before
      }
      #expect(isQuiet)
      before = try self.metric(trio.mesh, "istio_requests_total", good)
      let bytes = try self.metric(trio.mesh, "istio_response_bytes_sum", good)
      for _ in 0..<2 { #expect(try trio.get(8080, "/page") == "200 1000") }
      #expect(try trio.get(8080, "/absent").hasPrefix("404 "))
      #expect(try trio.get(8081, "/page").hasPrefix("503 "))
      let isTold = try eventually(within: .seconds(20)) {
        try self.metric(trio.mesh, "istio_requests_total", ["response_code": "503"]) > 0
      }
      let told = try trio.mesh.metrics().split(separator: "\n").filter { $0.hasPrefix("istio_requests_total{") }
      #expect(isTold, "\(told)")
      #expect(try self.metric(trio.mesh, "istio_requests_total", good) == before + 2)
      #expect(try self.metric(trio.mesh, "istio_request_duration_milliseconds_count", good) == before + 2)
      #expect(try self.metric(trio.mesh, "istio_response_bytes_sum", good) == bytes + 2000)
      #expect(
        try self.metric(
          trio.mesh, "istio_requests_total", edge.merging(["response_code": "404", "response_flags": "-"]) { $1 }) == 1)
      #expect(
        try self.metric(
          trio.mesh, "istio_requests_total", edge.merging(["response_code": "503", "response_flags": "UF"]) { $1 }) == 1
      )
      let bill = ["workload": "client", "namespace": "demo"]
      let isBilled = try eventually(within: .seconds(20)) {
        try self.metric(trio.mesh, "martlet_workload_proxy_cpu_seconds_total", bill) > 0
      }
      #expect(isBilled)
      let top = try trio.mesh.martlet(["top", "--interval", "1"]).stdout
      #expect(top.split(separator: "\n").contains { $0.hasPrefix("demo/client ") }, "\(top)")
    }
  }
}

extension SpineRootTests.Trio {
  /// Status and bytes of an answer, as the client's curl saw them.
  func get(_ port: UInt16, _ path: String, _ options: [String] = []) throws -> String {
    try self.client.run(
      ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"] + options
        + ["http://\(SpineRootTests.vip):\(port)\(path)"]
    ).stdout
  }
}
