import MeshTestSupport
import Testing

/// What the proxy does for routes beside leading requests on: copies and repetitions, through policy, and counted.
@Suite("Copies and repetitions of requests", .serialized)
struct RouteWorkRootTests {
  /// `PORT NAME`: answers every second request with 503.
  private static let moodyServer = """
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        asked = 0
        def do_GET(self):
            Handler.asked += 1
            print(self.path, flush=True)
            body = sys.argv[2].encode()
            self.send_response(503 if self.path == "/moody" and Handler.asked % 2 else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
    """

  private static let route = """
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: web, namespace: demo}
    spec:
      parentRefs: [{group: "", kind: Service, name: web, port: 80}]
      rules:
        - matches: [{path: {type: Exact, value: /moody}}]
          retry: {codes: [503], attempts: 2, backoff: 10ms}
          backendRefs: [{name: web, port: 80}]
        - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}]
          backendRefs: [{name: web, port: 80}]

    """

  private func metric(_ mesh: Mesh, _ line: String) throws -> Int {
    try mesh.metrics().split(separator: "\n").filter { $0.hasPrefix(line) }
      .compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
  }

  @Test("a copy goes where policy lets its caller; one that is refused is counted, and the client hears of neither")
  func work() throws {
    try HTTPRootTests().with("routework", servers: ["web", "shadow"], program: ["python3", "-c", Self.moodyServer]) {
      shop in
      let rest =
        HTTPRootTests.service("web", ip: HTTPRootTests.vip, app: "web")
        + HTTPRootTests.service("shadow", ip: nil, app: "shadow") + Self.route
      try shop.apply({ $0 }, rest + Manifest.allow("somebody", to: "shadow"))
      try shop.mesh.start()
      let url = "http://\(HTTPRootTests.vip)"
      let isThere = try eventually(within: .seconds(20)) { try shop.get("\(url)/first") == "200 web" }
      #expect(isThere)
      let refused = "martlet_proxy_refused_connections_total{reason=\"mirror_unreachable\"}"
      let isRefused = try eventually(within: .seconds(20)) { try self.metric(shop.mesh, refused) > 0 }
      #expect(isRefused)
      #expect(!shop.servers[1].stdout.contains("/first"))
      let copies = "martlet_mirrored_requests_total "
      let before = try self.metric(shop.mesh, copies)

      try shop.apply({ $0 }, rest + Manifest.allow("client", to: "shadow"))
      let isCopied = try eventually(within: .seconds(20)) {
        let answer = try shop.get("\(url)/second")
        return answer == "200 web" && shop.servers[1].stdout.contains("/second")
      }
      #expect(isCopied)
      let isCounted = try eventually(within: .seconds(20)) { try self.metric(shop.mesh, copies) > before }
      #expect(isCounted)

      // The answers of 503 are not seen: one of two in a row, if not both, is asked for again.
      for _ in 0..<2 { #expect(try shop.get("\(url)/moody") == "200 web") }
      let isRepeated = try eventually(within: .seconds(20)) {
        try self.metric(shop.mesh, "martlet_request_retries_total ") > 0
      }
      #expect(isRepeated)
    }
  }
}
