import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// Rules with `retry`, end to end.
@Suite(.serialized) struct HTTPRetryTests {
  private func bench(
    _ retry: HTTPRetry, backends: Int = 1, appProtocol: AppProtocol = .http, _ edit: (inout HTTPRule) -> Void = { _ in }
  ) async throws -> HTTPBench {
    let bench = try await HTTPBench(backends: backends, appProtocol: appProtocol)
    var rule = try bench.rule("/", to: Array(0..<backends))
    rule.retry = retry
    edit(&rule)
    try await bench.use([rule])
    return bench
  }

  private static let unwell = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick"
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  private func retry(_ codes: [UInt16], attempts: UInt32 = 3, backoff: UInt32 = 5) -> HTTPRetry {
    HTTPRetry(codes: codes, attempts: attempts, backoffMilliseconds: backoff)
  }

  // MARK: HTTP/1.1 to HTTP/1.1

  @Test("a 503 is tried again until it is none, with all of the request; the client sees the last answer only")
  func codes() async throws {
    let bench = try await self.bench(self.retry([503]))
    let client = bench.dial()
    client.send("POST /x?q HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello")
    for _ in 0..<3 {
      let server = bench.accept()
      let head = server.readHead()
      #expect(head.hasPrefix("POST /x?q HTTP/1.1\r\n") && head.contains("X-A: 1\r\n"))
      #expect(server.read(5) == Array("hello".utf8))
      server.send(Self.unwell)
      _ = server.readAll()
    }
    let last = bench.accept()
    _ = last.readHead()
    #expect(last.read(5) == Array("hello".utf8))
    last.send(Self.well)
    let answer = client.read(through: "\r\n\r\nok")
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && !answer.contains("sick"))
    let counters = try await bench.counters { $0.retries == 3 }
    #expect(counters.requests == 1 && counters.retries == 3 && counters.refused.isEmpty)
    // The connection goes on, and so does the one to the upstream.
    client.send("GET /next HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(last.readHead().hasPrefix("GET /next"))
    last.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("the answer to the last attempt passes whatever it is, and a code that is not listed at once")
  func exhausted() async throws {
    let bench = try await self.bench(self.retry([503], attempts: 1))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    for _ in 0..<2 {
      let server = bench.accept()
      _ = server.readHead()
      server.send(Self.unwell)
    }
    #expect(client.read(through: "\r\n\r\nsick").hasPrefix("HTTP/1.1 503"))
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
    #expect(client.read(through: "\r\n\r\nno").hasPrefix("HTTP/1.1 500"))
    #expect(try await bench.counters { _ in true }.retries == 1)
    await bench.end()
  }

  @Test("a connection that is refused is tried again after the wait, also for what may not be said twice")
  func refused() async throws {
    let bench = try await self.bench(self.retry([], backoff: 400))
    let endpoint = RelayBench.endpoint(of: bench.backends[0])
    close(bench.backends[0])
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc")
    _ = try await bench.counters { $0.requests == 1 }
    let again = try LocalListener.open(endpoint)
    _ = fcntl(again, F_SETFL, 0)
    RelayBench.limit(again)
    let server = HTTPBench.Peer(Glibc.accept(again, nil, nil))
    _ = server.readHead()
    #expect(server.read(3) == Array("abc".utf8))
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(try await bench.counters { _ in true }.retries == 1)
    close(again)
    await bench.relay.stop()
  }

  @Test("a connection that ends unheard is tried again for GET, and not for POST, unless 502 is listed")
  func lost() async throws {
    let bench = try await self.bench(self.retry([]))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let first = bench.accept()
    _ = first.readHead()
    first.reset()
    let second = bench.accept()
    _ = second.readHead()
    second.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n")
    let third = bench.accept()
    _ = third.readHead()
    third.reset()
    #expect(client.read(through: "upstream_closed\n").hasPrefix("HTTP/1.1 502"))
    var rule = try bench.rule("/", to: [0])
    rule.retry = self.retry([502])
    try await bench.use([rule])
    client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    for isLast in [false, true] {
      let server = bench.accept()
      _ = server.readHead()
      #expect(server.read(through: "0\r\nX-T: 1\r\n\r\n") == "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
      if isLast { server.send(Self.well) } else { server.reset() }
    }
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("a body that is still coming when the attempt fails goes on to the next one")
  func halfBody() async throws {
    let bench = try await self.bench(self.retry([503]))
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 6\r\n\r\nabc")
    let first = bench.accept()
    _ = first.readHead()
    #expect(first.read(3) == Array("abc".utf8))
    first.send(Self.unwell)
    let second = bench.accept()
    _ = second.readHead()
    #expect(second.read(3) == Array("abc".utf8))
    client.send("def")
    #expect(second.read(3) == Array("def".utf8))
    second.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("a body of which more is gone than is kept is sent once")
  func bigBody() async throws {
    let bench = try await self.bench(self.retry([503]))
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 70000\r\n\r\n")
    client.send([UInt8](repeating: 0x61, count: 70_000))
    let server = bench.accept()
    _ = server.readHead()
    #expect(server.read(70_000).count == 70_000)
    server.send(Self.unwell)
    #expect(client.read(through: "\r\n\r\nsick").hasPrefix("HTTP/1.1 503"))
    #expect(try await bench.counters { _ in true }.retries == 0)
    await bench.end()
  }

  @Test("an attempt that takes too long is dropped and tried again; the request's own time ends it all")
  func timeouts() async throws {
    let bench = try await self.bench(self.retry([])) { $0.backendTimeoutMilliseconds = 100 }
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let slow = bench.accept()
    _ = slow.readHead()
    let server = bench.accept()
    _ = server.readHead()
    #expect(slow.readAll().end != 0)
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    var rule = try bench.rule("/", to: [0])
    (rule.retry, rule.requestTimeoutMilliseconds) = (self.retry([503], attempts: 100, backoff: 40), 300)
    try await bench.use([rule])
    let other = bench.dial()
    other.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    // The pooled one first.
    _ = server.readHead()
    server.send(Self.unwell)
    #expect(other.read(through: "request_timeout\n").hasPrefix("HTTP/1.1 504"))
    await bench.end()
  }

  @Test("a client that goes while its request rests takes it along")
  func clientGoes() async throws {
    let bench = try await self.bench(self.retry([503], backoff: 60_000))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.unwell)
    _ = server.readAll()
    client.reset()
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("an endpoint that was taken away meanwhile is not asked again")
  func changed() async throws {
    let bench = try await self.bench(self.retry([503], backoff: 300))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.unwell)
    _ = server.readAll()
    try await bench.use([try bench.rule("/", to: [])])
    #expect(client.read(through: "no_endpoint\n").hasPrefix("HTTP/1.1 503"))
    #expect(bench.isUndialled())
    await bench.end()
  }

  // MARK: HTTP/2

  @Test("a client of HTTP/2 and an upstream of HTTP/1.1: body and trailers are said again")
  func bridgeDown() async throws {
    let bench = try await self.bench(self.retry([503]))
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("POST", "/x", ends: false)
    client.data(id, Array("hello".utf8), ends: false)
    client.head(id, [("x-t", "1")], ends: true)
    for isLast in [false, false, true] {
      let server = bench.accept()
      #expect(server.readHead().hasPrefix("POST /x HTTP/1.1\r\n"))
      #expect(server.read(through: "0\r\nx-t: 1\r\n\r\n") == "5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n")
      server.send(isLast ? Self.well : Self.unwell)
    }
    let answer = client.message(id)
    #expect(answer.status == 200 && answer.text == "ok" && answer.heads.count == 1)
    #expect(try await bench.counters { _ in true }.retries == 2)
    await bench.end()
  }

  @Test("HTTP/2 on both sides: streams are answered, reset and cut, and said again; windows stay whole")
  func streams() async throws {
    let bench = try await self.bench(self.retry([502, 503]), appProtocol: .http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let body = [UInt8](repeating: 0x62, count: 50_000)
    let id = client.open("POST", "/x", ends: false)
    client.data(id, body, ends: true)
    let server = HTTP2Peer(bench.accept(), .server)
    let first = server.request()
    #expect(server.message(first).body.count == body.count)
    server.head(first, [(":status", "503")], ends: true)
    let second = server.request(2)
    #expect(server.message(second).body.count == body.count)
    server.reset(second, .internalError)
    let third = server.request(3)
    let isSame = server.message(third).body == body
    #expect(isSame)
    server.answer(third)
    let answer = client.message(id)
    #expect(answer.status == 200 && answer.text == "ok" && answer.heads.count == 1)
    // Another one of the same size finds all of its windows.
    let next = client.open("POST", "/y", ends: false)
    client.data(next, body + body, ends: true)
    let fourth = server.request(4)
    #expect(server.message(fourth).body.count == 2 * body.count)
    server.answer(fourth)
    #expect(client.message(next).status == 200)
    #expect(try await bench.counters { _ in true }.retries == 2)
    await bench.end()
  }

  @Test("windows are told once of a body that was said twice to an upstream that takes it slowly")
  func slowStreams() async throws {
    let bench = try await self.bench(self.retry([503]), appProtocol: .http2)
    let client = HTTP2Peer(bench.dial(), .client)
    // One byte more than the window of a stream, and all that is kept.
    let body = [UInt8](repeating: 0x63, count: 65_536)
    let id = client.open("POST", "/x", ends: false)
    let server = HTTP2Peer(bench.accept(), .server)
    server.consumes = false
    let sender = Task.detached { client.data(id, body, ends: true) }
    let first = server.request()
    #expect(server.wait { $0.streams[first]?.body.count == 65_535 })
    server.head(first, [(":status", "503")], ends: true)
    server.consumes = true
    let second = server.request(2)
    #expect(server.message(second).body.count == body.count)
    await sender.value
    server.answer(second)
    #expect(client.message(id).status == 200 && client.failure == nil)
    await bench.end()
  }

  @Test("a client of HTTP/1.1 and an upstream of HTTP/2: body and trailers are said again")
  func bridgeUp() async throws {
    let bench = try await self.bench(self.retry([503]), appProtocol: .http2)
    let client = bench.dial()
    client.send("POST /x HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    let server = HTTP2Peer(bench.accept(), .server)
    for number in 1...2 {
      let id = server.request(number)
      let message = server.message(id)
      #expect(message.text == "abc" && message["x-t"] == "1")
      if number == 1 { server.head(id, [(":status", "503")], ends: true) } else { server.answer(id) }
    }
    #expect(client.read(through: "ok\r\n0\r\n\r\n").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }
}
