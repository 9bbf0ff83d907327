import Glibc
import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import Testing

@Suite(.serialized) struct HTTPConnectionTests {
  private static let get = "GET /a?b=c HTTP/1.1\r\nHost: web\r\n\r\n"

  private func answer(_ text: String) -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)"
  }

  @Test("requests of one connection go to one upstream connection, one after another, in the order they came")
  func keepAlive() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(Self.get)
    let server = bench.accept()
    let head = server.readHead()
    #expect(head.hasPrefix("GET /a?b=c HTTP/1.1\r\nhost: web\r\n"))
    #expect(head.contains("x-request-id: ") && !head.contains("via:") && !head.contains("traceparent"))
    server.send(self.answer("one"))
    #expect(client.read(through: "one") == "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none")
    for number in 0..<50 {
      client.send("POST /\(number) HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
      #expect(server.read(through: "body").hasPrefix("POST /\(number) HTTP/1.1\r\n"))
      server.send(self.answer("<\(number)>"))
      #expect(client.read(through: ">").hasSuffix("<\(number)>"))
    }
    #expect(bench.isUndialled())
    let counters = try await bench.counters { $0.requests == 51 }
    #expect(counters.requests == 51 && counters.relayed == 1 && counters.active == 1 && counters.refused.isEmpty)
    await bench.end()
  }

  @Test("every message comes through wherever it is cut: byte by byte both ways, with chunks and trailers")
  func byteByByte() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    let request =
      "PUT /x HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3;q=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    for byte in request.utf8 { client.send([byte]) }
    let server = bench.accept()
    #expect(server.readHead().contains("transfer-encoding: chunked\r\n"))
    let body = server.read(through: "X-T: 1\r\n\r\n")
    #expect(Self.unchunked(body) == "abcde")
    for byte in "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-S: 2\r\n\r\n".utf8 {
      server.send([byte])
    }
    #expect(client.readHead() == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    #expect(Self.unchunked(client.read(through: "X-S: 2\r\n\r\n")) == "hi")
    client.send(Self.get)
    #expect(server.readHead().hasPrefix("GET /a"))
    await bench.end()
  }

  /// The data of chunks.
  private static func unchunked(_ text: String) -> String {
    var rest = Array(text.utf8)[...]
    var data: [UInt8] = []
    while let end = rest.firstIndex(of: 13), let size = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16),
      size > 0
    {
      rest = rest[(end + 2)...]
      data += rest.prefix(size)
      rest = rest.dropFirst(size + 2)
    }
    return String(decoding: data, as: UTF8.self)
  }

  @Test("pipelined requests are answered in order; the second is looked at by itself (H1-20)")
  func pipelining() async throws {
    let bench = try await HTTPBench(backends: 1)
    try await bench.use([try bench.rule("/a", to: [0])])
    let client = bench.dial()
    client.send(Self.get + "GET /nowhere HTTP/1.1\r\nHost: web\r\n\r\n" + Self.get)
    let server = bench.accept()
    #expect(server.readHead().hasPrefix("GET /a"))
    #expect(server.isSilent)
    server.send(self.answer("one"))
    #expect(client.read(through: "one").hasPrefix("HTTP/1.1 200"))
    #expect(client.read(through: "no_route\n").hasPrefix("HTTP/1.1 404 Not Found\r\n"))
    #expect(server.readHead().hasPrefix("GET /a"))
    server.send(self.answer("two"))
    #expect(client.read(through: "two").hasPrefix("HTTP/1.1 200"))
    #expect(try await bench.counters { _ in true }.refused == ["no_route": 1])
    await bench.end()
  }

  @Test("a hundred thousand requests that nobody reads the answers of: what is held stays small (H1-21)")
  func deepPipeline() async throws {
    let bench = try await HTTPBench()
    try await bench.use([try bench.rule("/elsewhere", to: [0])])
    let client = bench.dial()
    _ = fcntl(client.descriptor, F_SETFL, O_NONBLOCK)
    let burst = Array(String(repeating: Self.get, count: 1000).utf8)
    var taken = 0
    var stuck = 0
    while stuck < 30, taken < 3000 * burst.count {
      let count = RelayBench.send(client.descriptor, burst)
      if count > 0 {
        (taken, stuck) = (taken + count, 0)
      } else {
        stuck += 1; try await Task.sleep(for: .milliseconds(10))
      }
    }
    #expect(stuck == 30 && taken > burst.count, "\(taken)")
    let counters = try await bench.counters { $0.active == 1 }
    // What the kernel holds of the answers, and no more.
    #expect(counters.active == 1 && counters.requests < 500_000)
    await bench.end()
  }

  @Test("bodies of many megabytes arrive unchanged both ways, past readers that are slower")
  func bigBodies() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    let block = (0..<99_991).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let body = [[UInt8]](repeating: block, count: 80).flatMap { $0 }
    let size = body.count
    let sender = Task.detached {
      client.send("POST /up HTTP/1.1\r\nHost: web\r\nContent-Length: \(size)\r\n\r\n")
      client.send(body)
    }
    let server = bench.accept()
    _ = server.readHead()
    let received = server.read(size)
    // Not inside of #expect, which would look for the difference of two that are not equal.
    let isWhole = received == body
    #expect(isWhole, "\(received.count)")
    await sender.value
    let replier = Task.detached {
      server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(size, radix: 16))\r\n")
      server.send(body)
      server.send("\r\n0\r\n\r\n")
    }
    _ = client.readHead()
    let answered = Self.dechunk(client, size)
    let isAnswerWhole = answered == body
    #expect(isAnswerWhole, "\(answered.count)")
    await replier.value
    await bench.end()
  }

  private static func dechunk(_ peer: HTTPBench.Peer, _ size: Int) -> [UInt8] {
    var data: [UInt8] = []
    while data.count <= size {
      let line = peer.read(through: "\r\n")
      guard let count = Int(line.dropLast(), radix: 16), count > 0 else { break }
      data += peer.read(count)
      _ = peer.read(2)
    }
    return data
  }

  @Test("a client that does not read holds back its upstream: what the proxy holds stays bounded (RS-03)")
  func slowReader() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    var small: CInt = 65536
    setsockopt(client.descriptor, SOL_SOCKET, SO_RCVBUF, &small, socklen_t(MemoryLayout<CInt>.size))
    client.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    _ = fcntl(server.descriptor, F_SETFL, O_NONBLOCK)
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    var taken = 0
    var stuck = 0
    while stuck < 40, taken < 100 << 20 {
      let count = RelayBench.send(server.descriptor, bytes)
      if count > 0 {
        (taken, stuck) = (taken + count, 0)
      } else {
        stuck += 1; try await Task.sleep(for: .milliseconds(10))
      }
    }
    // Socket buffers, and at most 128 KiB here.
    #expect(taken < 32 << 20)
    let received = await bench.relay.counters().receivedBytes
    #expect(received < 16 << 20)
    await bench.end()
  }

  @Test("an upstream connection that ended between requests is no failure: a new one takes the next request")
  func diesBetween() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    for number in 0..<5 {
      client.send(number % 2 == 0 ? Self.get : "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\nx")
      let server = bench.accept()
      _ = server.readHead()
      server.send(self.answer("<\(number)>"))
      #expect(client.read(through: ">").hasSuffix("<\(number)>"))
    }
    await bench.end()
  }

  @Test("an upstream that dies with the request in hand: tried once more on a fresh connection if it may be said twice")
  func diesWithRequest() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(Self.get)
    var server: HTTPBench.Peer? = bench.accept()
    _ = server?.readHead()
    server?.send(self.answer("one"))
    _ = client.read(through: "one")
    client.send(Self.get)
    _ = server?.readHead()
    server = nil
    let second = bench.accept()
    #expect(second.readHead().hasPrefix("GET /a?b=c HTTP/1.1\r\n"))
    second.send(self.answer("two"))
    #expect(client.read(through: "two").hasPrefix("HTTP/1.1 200"))
    // A POST is not said twice.
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\n\r\nx")
    _ = second.read(through: "\r\n\r\nx")
    shutdown(second.descriptor, CInt(SHUT_RDWR))
    #expect(client.read(through: "upstream_closed\n").hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test(
    "an answer that is cut reaches the client as RST, however its end was to be told",
    arguments: ["Content-Length: 10", "Transfer-Encoding: chunked"])
  func cutAnswer(framing: String) async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(Self.get)
    var server: HTTPBench.Peer? = bench.accept()
    _ = server?.readHead()
    server?.send("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n" + (framing.hasPrefix("C") ? "abc" : "3\r\nabc\r\n"))
    _ = client.read(through: "abc")
    server = nil
    #expect(client.readAll().end == -Int(ECONNRESET))
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    await bench.end()
  }

  @Test("an answer until the end of the stream is chunked for HTTP/1.1, and ends with the connection for HTTP/1.0")
  func untilClose() async throws {
    let bench = try await HTTPBench()
    for version in ["1.1", "1.0"] {
      let client = bench.dial()
      client.send("GET / HTTP/\(version)\r\nHost: web\r\n\r\n")
      var server: HTTPBench.Peer? = bench.accept()
      #expect(server?.readHead().hasPrefix("GET / HTTP/1.1\r\n") == true)
      server?.send("HTTP/1.1 200 OK\r\n\r\nabc")
      server?.end()
      server = nil
      let head = client.readHead()
      if version == "1.1" {
        #expect(head.contains("transfer-encoding: chunked"))
        #expect(Self.unchunked(client.read(through: "0\r\n\r\n")) == "abc")
      } else {
        #expect(head.contains("connection: close"))
        #expect(client.readAll() == ("abc", 0))
      }
    }
    await bench.end()
  }

  @Test("a request of HTTP/1.0 without a host is for what was dialled: servers refuse an empty one")
  func hostless() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("GET / HTTP/1.0\r\n\r\n")
    let server = bench.accept()
    #expect(server.readHead().hasPrefix("GET / HTTP/1.1\r\nhost: \(bench.listen)\r\n"))
    server.send("HTTP/1.1 204 No Content\r\n\r\n")
    #expect(client.readHead().hasPrefix("HTTP/1.1 204"))
    await bench.end()
  }

  @Test("HEAD, 204 and 304 have no body, whatever they say of its length, and the connection goes on")
  func bodyless() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    #expect(client.readHead() == "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
    for status in [204, 304] {
      client.send(Self.get)
      _ = server.readHead()
      server.send("HTTP/1.1 \(status) X\r\n\r\n")
      #expect(client.readHead() == "HTTP/1.1 \(status) X\r\n\r\n")
    }
    client.send(Self.get)
    _ = server.readHead()
    server.send(self.answer("on"))
    #expect(client.read(through: "on").hasSuffix("on"))
    await bench.end()
  }

  @Test("100-continue goes to and fro, other interim answers pass, and a flood of them is a 502 (H1-18, H1-19)")
  func interim() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    let server = bench.accept()
    #expect(server.readHead().lowercased().contains("expect: 100-continue"))
    server.send("HTTP/1.1 100 Continue\r\n\r\n")
    #expect(client.readHead() == "HTTP/1.1 100 Continue\r\n\r\n")
    client.send("hi")
    #expect(server.read(2) == Array("hi".utf8))
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + self.answer("ok"))
    #expect(client.readHead() == "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    #expect(client.read(through: "ok").hasPrefix("HTTP/1.1 200 OK"))
    client.send(Self.get)
    _ = server.readHead()
    for _ in 0..<9 { server.send("HTTP/1.1 100 Continue\r\n\r\n") }
    #expect(client.read(through: "interim_responses\n").hasPrefix("HTTP/1.1 502"))
    client.send("GET / HTTP/1.1\r\nHost: web\r\nExpect: tea\r\n\r\n")
    #expect(client.read(through: "expectation\n").hasPrefix("HTTP/1.1 417"))
    await bench.end()
  }

  @Test(
    "after 101 bytes go both ways until both ends are done, those too that came early; without 101 they are nobody's (H1-22)"
  )
  func upgrade() async throws {
    let bench = try await HTTPBench()
    let ask =
      "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    let client = bench.dial()
    client.send(ask + "early")
    let server = bench.accept()
    #expect(server.readHead().contains("connection: upgrade\r\nupgrade: websocket\r\n"))
    #expect(server.isSilent)
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
    #expect(client.readHead().hasPrefix("HTTP/1.1 101"))
    #expect(client.read(5) == Array("hello".utf8))
    #expect(server.read(5) == Array("early".utf8))
    let big = [UInt8](repeating: 9, count: 1 << 20)
    let sender = Task.detached { client.send(big) }
    let passed = server.read(1 << 20) == big
    #expect(passed)
    await sender.value
    client.end()
    #expect(server.readAll().end == 0)
    server.send("bye")
    server.end()
    #expect(client.readAll() == ("bye", 0))
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    let other = bench.dial()
    other.send(ask + "GET /admin HTTP/1.1\r\nHost: web\r\n\r\n")
    let refuses = bench.accept()
    _ = refuses.readHead()
    refuses.send(self.answer("no"))
    #expect(other.readHead().contains("connection: close"))
    #expect(refuses.readAll().text == "")
    await bench.end()
  }

  @Test("a client that sends FIN behind its request gets the answer")
  func halfClose() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(Self.get)
    client.end()
    let server = bench.accept()
    _ = server.readHead()
    server.send(self.answer("late"))
    let (text, end) = client.readAll()
    #expect(text.hasSuffix("late") && end == 0)
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    await bench.end()
  }

  @Test("a client that goes in the middle of its body ends the upstream's connection, which serves nobody else (H1-15)")
  func clientGone() async throws {
    let bench = try await HTTPBench()
    for isReset in [true, false] {
      let client = bench.dial()
      client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nabc")
      let server = bench.accept()
      _ = server.read(through: "abc")
      if isReset {
        RelayBench.reset(dup(client.descriptor)); shutdown(client.descriptor, CInt(SHUT_RDWR))
      } else {
        client.end()
      }
      #expect(server.readAll().end == -Int(ECONNRESET))
    }
    await bench.end()
  }

  @Test("nothing ready is a 503 that says why; so is an endpoint that refuses; the connection goes on")
  func nothingReady() async throws {
    let bench = try await HTTPBench(backends: 2)
    close(bench.backends[1])
    try await bench.use([
      try bench.rule("/down", to: [1]), try bench.rule("/none", to: [9]), try bench.rule("/up", to: [0]),
    ])
    let client = bench.dial()
    client.send("GET /down HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "upstream_failed\n").hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
    client.send("GET /none HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "no_endpoint\n").hasPrefix("HTTP/1.1 503"))
    client.send("GET /up HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(self.answer("up"))
    #expect(client.read(through: "up").hasSuffix("up"))
    let counters = try await bench.counters { _ in true }
    #expect(counters.refused == ["upstream_failed": 1, "no_endpoint": 1])
    await bench.relay.stop()
    close(bench.backends[0])
  }
}
