import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// HTTP/2 on one side of the proxy or on both.
@Suite(.serialized) struct HTTP2ProxyTests {
  private func bench(
    _ appProtocol: AppProtocol, backends: Int = 1, _ configuration: HTTPConfiguration = .defaults
  ) async throws -> HTTPBench {
    try await HTTPBench(backends: backends, configuration, appProtocol: appProtocol)
  }

  // MARK: HTTP/2 to HTTP/2

  @Test("requests of one client share one upstream connection, in any order, with bodies, fields and trailers")
  func shared() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let ids = (0..<20).map { client.open("POST", "/\($0)?q", [("x-n", "\($0)"), ("te", "trailers")], ends: false) }
    let server = HTTP2Peer(bench.accept(), .server)
    for id in ids { client.data(id, Array("body \(id)".utf8), ends: true) }
    #expect(server.wait { $0.streams.count == 20 && $0.streams.values.allSatisfy { $0.ended } })
    for (id, message) in server.streams.sorted(by: { $0.key > $1.key }) {
      #expect(message.request.hasPrefix("POST web /") && message.request.hasSuffix("?q"))
      #expect(message["x-request-id"] != nil && message["te"] == "trailers" && message["via"] == nil)
      server.answer(id, "answer to " + message.text, [("x-path", message.request)], trailers: [("x-sum", "1")])
    }
    for (number, id) in ids.enumerated() {
      let answer = client.message(id)
      #expect(answer.status == 200 && answer.text == "answer to body \(id)" && answer["x-sum"] == "1")
      #expect(answer["x-path"] == "POST web /\(number)?q")
    }
    #expect(bench.isUndialled())
    let counters = try await bench.counters { $0.requests == 20 }
    #expect(counters.requests == 20 && counters.relayed == 1 && counters.active == 1 && counters.refused.isEmpty)
    await bench.end()
  }

  @Test("more streams than an upstream takes find another connection to it")
  func manyConnections() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let ids = (0..<5).map { client.open("GET", "/\($0)") }
    var limits = HTTP2Limits.defaults
    limits.concurrentStreams = 2
    let servers = (0..<3).map { _ in
      let server = HTTP2Peer(bench.accept(), .server, limits: limits)
      server.wait { $0.streams.count == 2 }
      return server
    }
    #expect(servers.map { $0.streams.count }.sorted() == [1, 2, 2])
    for server in servers { for id in server.streams.keys { server.answer(id) } }
    for id in ids { #expect(client.message(id).status == 200) }
    await bench.end()
  }

  @Test("bodies of many megabytes arrive unchanged both ways, and streams beside them go on")
  func bigBodies() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let block = (0..<99_991).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let body = [[UInt8]](repeating: block, count: 40).flatMap { $0 }
    let up = client.open("POST", "/up", ends: false)
    let server = HTTP2Peer(bench.accept(), .server)
    let sender = Task.detached { client.data(up, body, ends: true) }
    let received = server.message(server.request()).body == body
    #expect(received)
    await sender.value
    let id = server.request()
    let replier = Task.detached {
      server.head(id, [(":status", "200")])
      server.data(id, body, ends: true)
    }
    let answered = client.message(up).body == body
    #expect(answered)
    await replier.value
    let next = client.open()
    server.answer(server.request(2))
    #expect(client.message(next).text == "ok")
    await bench.end()
  }

  @Test("a client that does not read a stream holds back that stream alone, and what is held is bounded (H2-08)")
  func slowReader() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    client.consumes = false
    let slow = client.open("GET", "/slow")
    let server = HTTP2Peer(bench.accept(), .server)
    let first = server.request()
    server.head(first, [(":status", "200")])
    let chunk = [UInt8](repeating: 7, count: 1 << 20)
    var sent = 0
    for _ in 0..<5 {
      sent += server.dataNow(first, chunk)
      client.settle()
      server.settle()
    }
    // The client's window, and as much in the proxy.
    #expect(sent <= 2 * 65_535 && sent >= 65_535, "\(sent)")
    #expect(client.streams[slow]?.body.count == 65_535)
    let other = client.open("GET", "/other")
    server.answer(server.request(2))
    #expect(client.message(other).text == "ok")
    client.consumes = true
    client.consume(65_535, of: slow)
    server.data(first, [], ends: true)
    #expect(client.message(slow).body.count == sent)
    await bench.end()
  }

  @Test("an upstream that does not read holds back the client's stream: what is held is bounded")
  func slowUpstream() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let up = client.open("POST", "/up", ends: false)
    let server = HTTP2Peer(bench.accept(), .server)
    server.consumes = false
    let id = server.request()
    let chunk = [UInt8](repeating: 7, count: 1 << 20)
    var sent = 0
    for _ in 0..<5 {
      sent += client.dataNow(up, chunk)
      server.settle()
      client.settle()
    }
    #expect(sent <= 2 * 65_535 && sent >= 65_535, "\(sent)")
    server.consumes = true
    server.consume(65_535, of: id)
    client.data(up, [], ends: true)
    #expect(server.message(id).body.count == sent)
    server.answer(id)
    #expect(client.message(up).status == 200)
    await bench.end()
  }

  @Test(
    "a stream that the upstream refused, or left out of its GOAWAY, is asked again elsewhere; others end where they are"
  )
  func refused() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let kept = client.open("GET", "/kept")
    let server = HTTP2Peer(bench.accept(), .server)
    _ = server.request()
    let refused = client.open("POST", "/refused", [("content-length", "0")])
    server.reset(server.request(2), .refusedStream)
    server.wait { $0.streams.count == 3 }
    let again = server.request(3)
    #expect(server.streams[again]?.request == "POST web /refused")
    server.answer(again, "again")
    #expect(client.message(refused).text == "again")
    server.drain()
    server.settle()
    let next = client.open("GET", "/next")
    let second = HTTP2Peer(bench.accept(), .server)
    second.answer(second.request(), "second")
    #expect(client.message(next).text == "second")
    server.answer(server.request(), "kept")
    #expect(client.message(kept).text == "kept")
    server.wait { $0.hasEnded }
    #expect(server.hasEnded)
    await bench.end()
  }

  @Test("RST_STREAM passes both ways, and the connections stay")
  func resets() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let given = client.open("GET", "/given")
    let server = HTTP2Peer(bench.accept(), .server)
    let first = server.request()
    client.reset(given, .cancel)
    #expect(server.reset(of: first) == .cancel)
    let cut = client.open("GET", "/cut")
    let second = server.request(2)
    server.head(second, [(":status", "200")])
    server.data(second, Array("half".utf8), ends: false)
    client.wait { $0.streams[cut]?.text == "half" }
    server.reset(second, .internalError)
    #expect(client.message(cut).reset == .internalError)
    let broken = client.open("GET", "/broken")
    server.reset(server.request(3), .internalError)
    let answer = client.message(broken)
    #expect(answer.status == 502 && answer.text == "upstream_reset\n")
    let last = client.open()
    server.answer(server.request(4))
    #expect(client.message(last).text == "ok")
    await bench.end()
  }

  @Test(
    "an upstream connection that ends with requests: those that had begun are cut, others are a 502, the next one is new"
  )
  func upstreamEnds() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let (one, two) = (client.open("GET", "/1"), client.open("POST", "/2"))
    var server: HTTP2Peer? = HTTP2Peer(bench.accept(), .server)
    server?.wait { $0.streams.count == 2 }
    let first = server?.request() ?? 0
    server?.head(first, [(":status", "200")])
    client.wait { $0.streams[one] != nil }
    server = nil
    #expect(client.message(one).reset == .internalError && client.message(two).status == 502)
    let next = client.open()
    let second = HTTP2Peer(bench.accept(), .server)
    second.answer(second.request())
    #expect(client.message(next).text == "ok")
    await bench.end()
  }

  @Test("a connection that was quiet for longer than a peer may stall serves as before")
  func quiet() async throws {
    var configuration = HTTPConfiguration.defaults
    configuration.stallTimeout = 30
    let bench = try await self.bench(.http2, configuration)
    let client = HTTP2Peer(bench.dial(), .client)
    var server: HTTP2Peer?
    for number in 1...20 {
      let id = client.open()
      let peer = server ?? HTTP2Peer(bench.accept(), .server)
      server = peer
      peer.answer(peer.request(number))
      #expect(client.message(id).text == "ok")
      // A moment of nothing.
      client.settle(milliseconds: 40)
    }
    await bench.end()
  }

  @Test("every frame comes through wherever it is cut")
  func byteByByte() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    client.isSlow = true
    let id = client.open("POST", "/x", ends: false)
    client.data(id, Array("abc".utf8), ends: true)
    let server = HTTP2Peer(bench.accept(), .server)
    server.isSlow = true
    let message = server.message(server.request())
    #expect(message.text == "abc" && message.request == "POST web /x")
    server.answer(server.request(), "def", trailers: [("x-t", "1")])
    let answer = client.message(id)
    #expect(answer.text == "def" && answer["x-t"] == "1")
    await bench.end()
  }

  @Test("a proxy that drains says so in two steps, and what is under way ends")
  func drain() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open()
    let server = HTTP2Peer(bench.accept(), .server)
    _ = server.request()
    bench.relay.drain()
    client.wait { $0.goAways.count == 2 }
    #expect(client.goAways == [.noError, .noError])
    server.answer(server.request())
    #expect(client.message(id).text == "ok")
    client.wait { $0.hasEnded }
    #expect(client.hasEnded)
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    await bench.end()
  }

  @Test("a client whose workload is withdrawn hears GOAWAY, its streams are reset, and both connections end")
  func withdrawn() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open()
    let server = HTTP2Peer(bench.accept(), .server)
    _ = server.request()
    bench.relay.withdraw(workload: 7)
    #expect(client.reset(of: id) == .cancel)
    client.wait { $0.hasEnded }
    #expect(client.goAways == [.noError] && client.hasEnded)
    server.wait { $0.hasEnded }
    #expect(server.hasEnded)
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    await bench.end()
  }

  // MARK: routes

  @Test("rules lead streams of one connection to their backends, edit both heads, rewrite and redirect")
  func routes() async throws {
    let bench = try await self.bench(.http2, backends: 2)
    var edited = try bench.rule(
      "/old", to: [1],
      filters: [
        .requestHeaders(HeaderEdit(set: [HeaderField(name: "x-set", value: "1")], add: [], remove: ["x-gone"])),
        .responseHeaders(HeaderEdit(set: [HeaderField(name: "server", value: "m")], add: [], remove: [])),
        .rewrite(HTTPRewrite(hostname: "other.test", path: .prefix("/new"))),
      ])
    edited.requestTimeoutMilliseconds = 200
    try await bench.use([
      try bench.rule("/a", to: [0]), edited,
      try bench.rule("/r", to: [], filters: [.redirect(HTTPRedirect(hostname: "b.test", status: 307))]),
    ])
    let client = HTTP2Peer(bench.dial(), .client)
    let plain = client.open("GET", "/b/../a/x")
    let server = HTTP2Peer(bench.accept(0), .server)
    #expect(server.message(server.request()).request == "GET web /a/x")
    server.answer(server.request(), "A")
    #expect(client.message(plain).text == "A")
    let old = client.open("GET", "/old/y?z", [("x-gone", "1")])
    let other = HTTP2Peer(bench.accept(1), .server)
    let seen = other.message(other.request())
    #expect(seen.request == "GET other.test /new/y?z" && seen["x-set"] == "1" && seen["x-gone"] == nil)
    other.answer(other.request(), "B", [("server", "s")])
    #expect(client.message(old).text == "B" && client.message(old)["server"] == "m")
    let redirect = client.message(client.open("GET", "/r"))
    #expect(redirect.status == 307 && redirect["location"]?.hasPrefix("http://b.test") == true)
    let nowhere = client.message(client.open("GET", "/nowhere"))
    #expect(nowhere.status == 404 && nowhere.text == "no_route\n" && nowhere["content-type"] == "text/plain")
    let late = client.message(client.open("GET", "/old/late"))
    #expect(late.status == 504 && late.text == "request_timeout\n")
    #expect(other.reset(of: other.request(2)) == .cancel)
    await bench.end()
  }

  @Test("calls of gRPC are answered in their own terms: a status and nothing else, and their own deadline holds")
  func calls() async throws {
    let bench = try await self.bench(.grpc)
    var rule = try bench.rule("/a", to: [0])
    rule.origin.kind = .grpc
    rule.matches = [HTTPMatch(path: .grpc(service: .exact("a.B"), method: nil))]
    try await bench.use([rule])
    let call = [("content-type", "application/grpc"), ("te", "trailers")]
    let client = HTTP2Peer(bench.dial(), .client)
    let unknown = client.message(client.open("POST", "/a.C/D", call, ends: false))
    #expect(unknown.status == 200 && unknown["grpc-status"] == "12" && unknown["grpc-message"] == "no_route")
    #expect(unknown["content-type"] == "application/grpc" && unknown.body.isEmpty)
    let id = client.open("POST", "/a.B/D", call, ends: false)
    let server = HTTP2Peer(bench.accept(), .server)
    client.data(id, [0, 0, 0, 0, 1, 9], ends: true)
    let request = server.message(server.request())
    #expect(request.body == [0, 0, 0, 0, 1, 9] && request["te"] == "trailers")
    server.answer(server.request(), "x", [("content-type", "application/grpc")], trailers: [("grpc-status", "0")])
    let answer = client.message(id)
    #expect(answer.text == "x" && answer["grpc-status"] == "0" && answer.trailers != nil)
    let late = client.message(client.open("POST", "/a.B/D", call + [("grpc-timeout", "100m")]))
    #expect(late["grpc-status"] == "4" && late["grpc-message"] == "request_timeout")
    #expect(server.reset(of: server.request(2)) == .cancel)
    for garbage in ["1", "x", "123456789S", "-1S"] {
      #expect(client.message(client.open("POST", "/a.B/D", call + [("grpc-timeout", garbage)]))["grpc-status"] == "13")
    }
    rule.backends[0].isValid = false
    try await bench.use([rule])
    #expect(client.message(client.open("POST", "/a.B/D", call))["grpc-status"] == "2")
    await bench.end()
  }

  @Test("an endpoint that is not there, or speaks no HTTP/2, is a 503")
  func unreachable() async throws {
    let bench = try await self.bench(.http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open()
    let server = bench.accept()
    _ = server.read(through: "SM\r\n\r\n")
    server.send("HTTP/1.1 400 Bad Request\r\n\r\n")
    #expect(client.message(id).text == "upstream_failed\n" && client.message(id).status == 503)
    for backend in bench.backends { close(backend) }
    let call = client.message(client.open("POST", "/", [("content-type", "application/grpc+proto")]))
    #expect(call["grpc-status"] == "14" && call["grpc-message"] == "upstream_failed")
    await bench.relay.stop()
  }

  // MARK: from one version into the other

  @Test("a client of HTTP/2 and an upstream of HTTP/1.1: bodies, trailers, HEAD, 204, interim heads")
  func downward() async throws {
    let bench = try await self.bench(.http)
    let client = HTTP2Peer(bench.dial(), .client)
    let get = client.open("GET", "/a?b", [("cookie", "a=1"), ("cookie", "b=2")])
    let server = bench.accept()
    let head = server.readHead()
    #expect(head.hasPrefix("GET /a?b HTTP/1.1\r\nhost: web\r\n") && head.contains("cookie: a=1; b=2\r\n"))
    server.send(
      "HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\nKeep-Alive: x\r\n\r\nabc")
    let answer = client.message(get)
    #expect(answer.text == "abc" && answer["content-length"] == "3" && answer["keep-alive"] == nil)
    #expect(answer.heads.count == 2 && answer.heads.first?.start == .response(status: 103))
    let post = client.open("POST", "/p", ends: false)
    client.data(post, Array("hello".utf8), ends: true)
    #expect(server.readHead().contains("transfer-encoding: chunked\r\n"))
    #expect(server.read(through: "0\r\n\r\n").contains("hello"))
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n")
    #expect(client.message(post).text == "hi" && client.message(post)["x-t"] == "1")
    let sized = client.open("PUT", "/q", [("content-length", "2")], ends: false)
    client.data(sized, Array("ab".utf8), ends: true)
    #expect(server.read(through: "\r\n\r\nab").contains("content-length: 2\r\n"))
    server.send("HTTP/1.1 204 No Content\r\n\r\n")
    #expect(client.message(sized).status == 204 && client.message(sized).ended)
    let asked = client.open("HEAD", "/h")
    #expect(server.readHead().hasPrefix("HEAD /h"))
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    #expect(client.message(asked)["content-length"] == "5" && client.message(asked).body.isEmpty)
    let cut = client.open("GET", "/cut")
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    client.wait { $0.streams[cut]?.text == "half" }
    shutdown(server.descriptor, CInt(SHUT_RDWR))
    #expect(client.message(cut).reset == .internalError)
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("what a client of HTTP/2 does not read is not read of an upstream of HTTP/1.1")
  func downwardSlow() async throws {
    let bench = try await self.bench(.http)
    let client = HTTP2Peer(bench.dial(), .client)
    client.consumes = false
    let id = client.open()
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    _ = fcntl(server.descriptor, F_SETFL, O_NONBLOCK)
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    var stuck = 0
    var taken = 0
    while stuck < 20, taken < 100 << 20 {
      let count = RelayBench.send(server.descriptor, bytes)
      if count > 0 {
        (taken, stuck) = (taken + count, 0)
      } else {
        stuck += 1
        client.settle()
      }
    }
    #expect(taken < 16 << 20)
    let received = await bench.relay.counters().receivedBytes
    #expect(received < 512 << 10, "\(received)")
    #expect(client.streams[id]?.body.count == 65_535)
    await bench.end()
  }

  @Test("a client of HTTP/1.1 and an upstream of HTTP/2: bodies, trailers, HEAD, interim heads, the next request")
  func upward() async throws {
    let bench = try await self.bench(.http2)
    let client = bench.dial()
    client.send("GET /a?b HTTP/1.1\r\nHost: web\r\nTE: trailers\r\nConnection: te\r\n\r\n")
    let server = HTTP2Peer(bench.accept(), .server)
    let first = server.request()
    #expect(server.message(first).request == "GET web /a?b" && server.message(first).ended)
    server.head(first, [(":status", "103"), ("x", "1")])
    server.answer(first, "abc", trailers: [("x-t", "1")])
    #expect(client.readHead().hasPrefix("HTTP/1.1 103 "))
    #expect(client.readHead().contains("transfer-encoding: chunked\r\n"))
    #expect(client.read(through: "x-t: 1\r\n\r\n") == "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")
    client.send("POST /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-S: 2\r\n\r\n")
    let second = server.request(2)
    let message = server.message(second)
    #expect(message.text == "abc" && message["x-s"] == "2" && message["content-length"] == nil)
    server.answer(second, "de", [("content-length", "2")])
    #expect(client.read(through: "\r\n\r\nde").contains("content-length: 2\r\n"))
    client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\nPOST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nxy")
    let third = server.request(3)
    server.head(third, [(":status", "200"), ("content-length", "7")], ends: true)
    #expect(client.readHead().contains("content-length: 7\r\n"))
    let fourth = server.request(4)
    #expect(server.message(fourth).text == "xy" && server.message(fourth)["content-length"] == "2")
    server.head(fourth, [(":status", "200")])
    server.data(fourth, Array("half".utf8), ends: false)
    _ = client.read(through: "half")
    server.reset(fourth, .internalError)
    #expect(client.readAll().end == -Int(ECONNRESET))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("bodies of many megabytes from one version into the other, past readers that are slower")
  func bigBodiesAcross() async throws {
    let bench = try await self.bench(.http2)
    let client = bench.dial()
    let block = (0..<99_991).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let body = [[UInt8]](repeating: block, count: 40).flatMap { $0 }
    let size = body.count
    let sender = Task.detached {
      client.send("POST /up HTTP/1.1\r\nHost: web\r\nContent-Length: \(size)\r\n\r\n")
      client.send(body)
    }
    let server = HTTP2Peer(bench.accept(), .server)
    let id = server.request()
    let isWhole = server.message(id).body == body
    #expect(isWhole)
    await sender.value
    let replier = Task.detached {
      server.head(id, [(":status", "200"), ("content-length", "\(size)")])
      server.data(id, body, ends: true)
    }
    _ = client.readHead()
    let isAnswerWhole = client.read(size) == body
    #expect(isAnswerWhole)
    await replier.value
    await bench.end()
  }

  @Test(
    "the first bytes tell the version: a part of a preface waits, and what only begins like one is HTTP/1.1 (H1-33)")
  func greetings() async throws {
    let bench = try await self.bench(.http)
    let slow = bench.dial()
    slow.send("PR")
    let client = bench.dial()
    client.send("P")
    #expect(client.isSilent && slow.isSilent)
    client.send("OST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n")
    let server = bench.accept()
    #expect(server.readHead().hasPrefix("POST / HTTP/1.1\r\n"))
    slow.send("I * HTTP/2.0\r\n\r\nSX")
    #expect(slow.readAll().text.hasPrefix("HTTP/1.1 505 ") || slow.isSilent)
    await bench.end()
  }
}
