import MeshBase
import MeshNet
import MeshSnapshot
import Testing

@Suite(.serialized) struct HTTPRoutingTests {
  private func serve(_ server: HTTPBench.Peer, _ text: String, _ fields: String = "") -> String {
    let head = server.readHead()
    server.send("HTTP/1.1 200 OK\r\n\(fields)Content-Length: \(text.utf8.count)\r\n\r\n\(text)")
    return head
  }

  @Test("a rule's path leads to its backend, in the one form that was matched; the rest of the target stays")
  func paths() async throws {
    let bench = try await HTTPBench(backends: 2)
    try await bench.use([try bench.rule("/a", to: [0]), try bench.rule("/b", to: [1])])
    let client = bench.dial()
    client.send("GET /b/../%61/x?q=/b HTTP/1.1\r\nHost: web\r\n\r\n")
    let first = bench.accept(0)
    #expect(self.serve(first, "A").hasPrefix("GET /a/x?q=/b HTTP/1.1\r\n"))
    #expect(client.read(through: "\r\n\r\nA").hasPrefix("HTTP/1.1 200"))
    client.send("GET /b HTTP/1.1\r\nHost: web\r\n\r\n")
    let second = bench.accept(1)
    #expect(self.serve(second, "B").hasPrefix("GET /b HTTP/1.1\r\n"))
    #expect(client.read(through: "\r\n\r\nB").hasPrefix("HTTP/1.1 200"))
    client.send("GET /a%2fb HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "path_escaped_slash\n").hasPrefix("HTTP/1.1 400"))
    await bench.end()
  }

  @Test("fields are edited both ways, host and path rewritten")
  func filters() async throws {
    let bench = try await HTTPBench()
    try await bench.use([
      try bench.rule(
        "/old", to: [0],
        filters: [
          .requestHeaders(
            HeaderEdit(
              set: [HeaderField(name: "x-set", value: "1")], add: [HeaderField(name: "x-add", value: "2")],
              remove: ["x-gone"])),
          .responseHeaders(
            HeaderEdit(set: [HeaderField(name: "server", value: "m")], add: [], remove: ["x-secret"])),
          .rewrite(HTTPRewrite(hostname: "other.test", path: .prefix("/new"))),
        ])
    ])
    let client = bench.dial()
    client.send("GET /old/y?z HTTP/1.1\r\nHost: web\r\nX-Set: 0\r\nX-Gone: 1\r\nX-Stays: 3\r\n\r\n")
    let server = bench.accept()
    let head = self.serve(server, "ok", "Server: s\r\nX-Secret: 1\r\nX-Open: 2\r\n")
    #expect(head.hasPrefix("GET /new/y?z HTTP/1.1\r\nhost: other.test\r\n"))
    #expect(head.contains("x-set: 1\r\n") && head.contains("x-add: 2\r\n") && head.contains("X-Stays: 3\r\n"))
    #expect(!head.contains("X-Set") && !head.contains("X-Gone"))
    let answer = client.read(through: "\r\n\r\nok")
    #expect(answer.contains("server: m\r\n") && answer.contains("X-Open: 2\r\n"))
    #expect(!answer.contains("Server: s") && !answer.contains("X-Secret"))
    await bench.end()
  }

  @Test("redirects and preflights are answered here, and no backend is dialled")
  func local() async throws {
    let bench = try await HTTPBench()
    let cors = CORSPolicy(
      origins: ["https://a.test"], allowsCredentials: false, methods: ["GET"], exposedHeaders: ["x-e"], maxAgeSeconds: 5
    )
    try await bench.use([
      try bench.rule("/r", to: [], filters: [.redirect(HTTPRedirect(hostname: "b.test", port: 8443, status: 307))]),
      try bench.rule("/c", to: [0], filters: [.cors(cors)]),
    ])
    let client = bench.dial()
    client.send("POST /r?x HTTP/1.1\r\nHost: web:99\r\nContent-Length: 3\r\n\r\nabc")
    let redirect = client.readHead()
    #expect(redirect.hasPrefix("HTTP/1.1 307 Temporary Redirect\r\n"))
    #expect(redirect.contains("location: http://b.test:8443/r?x\r\n"))
    client.send(
      "OPTIONS /c HTTP/1.1\r\nHost: web\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: GET\r\n\r\n")
    let preflight = client.readHead()
    #expect(preflight.hasPrefix("HTTP/1.1 204 No Content\r\n"))
    #expect(preflight.contains("access-control-allow-origin: https://a.test\r\n"))
    #expect(bench.isUndialled())
    client.send("GET /c HTTP/1.1\r\nHost: web\r\nOrigin: https://a.test\r\n\r\n")
    _ = self.serve(bench.accept(), "ok", "Access-Control-Allow-Origin: *\r\n")
    let answer = client.read(through: "\r\n\r\nok")
    #expect(answer.contains("access-control-allow-origin: https://a.test\r\n") && !answer.contains("Origin: *"))
    #expect(answer.contains("access-control-expose-headers: x-e\r\n"))
    #expect(try await bench.counters { _ in true }.refused.isEmpty)
    await bench.end()
  }

  @Test("a backend that redirects does so with its share of the requests, whether it has endpoints or not")
  func backendRedirect() async throws {
    let bench = try await HTTPBench()
    var rule = try bench.rule("/old", to: [0, 9])
    let redirect = HTTPRedirect(path: .prefix("/new"), status: 301)
    rule.backends[0].weight = 0
    rule.backends[1].filters = [
      .redirect(redirect), .responseHeaders(HeaderEdit(set: [HeaderField(name: "x-a", value: "1")])),
    ]
    try await bench.use([rule])
    let client = bench.dial()
    client.send("GET /old/a?b HTTP/1.1\r\nHost: web\r\n\r\n")
    let head = client.readHead()
    #expect(head.hasPrefix("HTTP/1.1 301 Moved Permanently\r\n") && head.contains("x-a: 1\r\n"))
    #expect(head.contains("location: http://web:\(bench.listen.port)/new/a?b\r\n"))
    #expect(bench.isUndialled())
    (rule.backends[0].weight, rule.backends[1].weight) = (1, 0)
    try await bench.use([rule])
    client.send("GET /old/a HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = self.serve(bench.accept(), "A")
    #expect(client.read(through: "\r\n\r\nA").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("weights share the requests of one connection, not its connections")
  func weights() async throws {
    let bench = try await HTTPBench(backends: 2)
    var rule = try bench.rule("/", to: [0, 1])
    rule.backends[1].weight = 0
    try await bench.use([rule])
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = self.serve(bench.accept(0), "A")
    _ = client.read(through: "\r\n\r\nA")
    (rule.backends[0].weight, rule.backends[1].weight) = (0, 1)
    try await bench.use([rule])
    client.send("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = self.serve(bench.accept(1), "B")
    #expect(client.read(through: "\r\n\r\nB").hasPrefix("HTTP/1.1 200"))
    rule.backends[1].isValid = false
    try await bench.use([rule])
    client.send("GET /3 HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "invalid_backend\n").hasPrefix("HTTP/1.1 500"))
    await bench.end()
  }

  /// A producer rule to the first backend, a consumer rule of namespace `b` to the second.
  private func consumerBench() async throws -> HTTPBench {
    let bench = try await HTTPBench(backends: 2)
    var consumer = try bench.rule("/", to: [1])
    consumer.consumerNamespace = "b"
    try await bench.use([try bench.rule("/", to: [0]), consumer])
    return bench
  }

  private func request(_ client: HTTPBench.Peer, reaches backend: Int, of bench: HTTPBench) {
    client.send("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    _ = self.serve(bench.accept(backend), "B\(backend)")
    #expect(client.read(through: "\r\n\r\nB\(backend)").hasPrefix("HTTP/1.1 200"))
  }

  @Test("a consumer route is for clients of its namespace; all others go by the producer's")
  func consumers() async throws {
    let bench = try await self.consumerBench()
    bench.relay.name(workload: 7, try #require(ResourceName("b/client")))
    self.request(bench.dial(), reaches: 1, of: bench)
    bench.relay.name(workload: 7, try #require(ResourceName("a/client")))
    self.request(bench.dial(), reaches: 0, of: bench)
    await bench.end()
  }

  @Test("where only consumers have routes and the port says nothing, bytes of all others pass as they are")
  func consumersOfBytes() async throws {
    let bench = try await HTTPBench(backends: 2, appProtocol: .tcp)
    var consumer = try bench.rule("/", to: [1])
    consumer.consumerNamespace = "b"
    try await bench.use([consumer])
    bench.relay.name(workload: 7, try #require(ResourceName("a/client")))
    let client = bench.dial()
    let server = bench.accept(0)
    server.send("220 hello\r\n")
    #expect(client.read(through: "\r\n") == "220 hello\r\n")
    client.send("\0 no request\n")
    #expect(server.read(through: "\n") == "\0 no request\n")
    bench.relay.name(workload: 7, try #require(ResourceName("b/client")))
    self.request(bench.dial(), reaches: 1, of: bench)
    await bench.end()
  }

  @Test("a connection that is faster than its caller's name waits for it, so that no request goes by the wrong route")
  func consumerBeforeName() async throws {
    let bench = try await self.consumerBench()
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(try await bench.counters { $0.accepted == 1 }.active == 1)
    #expect(bench.isUndialled(0))
    bench.relay.name(workload: 7, try #require(ResourceName("b/client")))
    _ = self.serve(bench.accept(1), "B")
    #expect(client.read(through: "\r\n\r\nB").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("a caller whose name never comes goes by producer routes, and only its first connection waits")
  func consumerWithoutName() async throws {
    let bench = try await self.consumerBench()
    self.request(bench.dial(), reaches: 0, of: bench)
    let begin = ContinuousClock.now
    self.request(bench.dial(), reaches: 0, of: bench)
    #expect(ContinuousClock.now - begin < .milliseconds(900))
    // Its number is another workload's now.
    bench.relay.withdraw(workload: 7)
    bench.relay.name(workload: 7, try #require(ResourceName("b/client")))
    self.request(bench.dial(), reaches: 1, of: bench)
    await bench.end()
  }

  @Test("what waits for a name ends with its workload")
  func consumerWithdrawn() async throws {
    let bench = try await self.consumerBench()
    let client = bench.dial()
    #expect(try await bench.counters { $0.accepted == 1 }.active == 1)
    bench.relay.withdraw(workload: 7)
    #expect(client.readAll().end != 0)
    #expect(try await bench.counters { $0.active == 0 }.accepted == 1)
    await bench.end()
  }

  @Test("timeouts of a rule are a 504, and a cut when the answer has begun; the next request is its own")
  func timeouts() async throws {
    let bench = try await HTTPBench()
    var rule = try bench.rule("/", to: [0])
    rule.requestTimeoutMilliseconds = 150
    try await bench.use([rule])
    let client = bench.dial()
    client.send("GET /slow HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    #expect(client.read(through: "request_timeout\n").hasPrefix("HTTP/1.1 504 Gateway Timeout\r\n"))
    #expect(server.readAll().end != 0)
    client.send("GET /slower HTTP/1.1\r\nHost: web\r\n\r\n")
    let next = bench.accept()
    _ = next.readHead()
    next.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    _ = client.read(through: "abc")
    #expect(client.readAll().end != 0)
    (rule.requestTimeoutMilliseconds, rule.backendTimeoutMilliseconds) = (nil, 100)
    try await bench.use([rule])
    let other = bench.dial()
    other.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let silent = bench.accept()
    _ = silent.readHead()
    #expect(other.read(through: "backend_timeout\n").hasPrefix("HTTP/1.1 504"))
    await bench.end()
  }

  @Test(
    "a head that does not end in time is a 408 and the end, and a silent connection is not; nor may a body stand still (RS-01, RS-02, H1-33)"
  )
  func headTimeout() async throws {
    var configuration = HTTPConfiguration.defaults
    configuration.headTimeout = 200
    configuration.stallTimeout = 300
    let bench = try await HTTPBench(configuration)
    let silent = bench.dial()
    let slow = bench.dial()
    slow.send("GET / HTTP/1.1\r\nHo")
    let (text, end) = slow.readAll()
    #expect(text.hasPrefix("HTTP/1.1 408 Request Timeout\r\n") && text.hasSuffix("head_timeout\n") && end == 0)
    silent.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = self.serve(bench.accept(), "ok")
    #expect(silent.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    let body = bench.dial()
    body.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nab")
    #expect(body.read(through: "body_timeout\n").hasPrefix("HTTP/1.1 408"))
    await bench.end()
  }
}
