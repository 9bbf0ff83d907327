import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// Rules with `RequestMirror`, end to end. The first backend answers, the others are mirrors.
@Suite(.serialized) struct HTTPMirrorTests {
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  private func bench(
    mirrors: [(backend: Int, of: UInt32)] = [(1, 1)], backends: Int = 2, appProtocol: AppProtocol = .http,
    filters: [HTTPFilter] = [], isValid: Bool = true
  ) async throws -> HTTPBench {
    let bench = try await HTTPBench(backends: backends, appProtocol: appProtocol)
    let copies = try mirrors.map { number, of in
      let name = try #require(ResourceName("a/web-\(number)"))
      return HTTPFilter.mirror(
        HTTPMirror(
          backend: HTTPBackend(service: name, port: bench.listen.port, isValid: isValid), numerator: 1, denominator: of)
      )
    }
    try await bench.use([try bench.rule("/", to: [0], filters: filters + copies)])
    return bench
  }

  private func answer(_ server: HTTPBench.Peer, _ client: HTTPBench.Peer) {
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
  }

  @Test("each mirror gets the request as the backend does, with its body and trailers; the client hears of none")
  func copies() async throws {
    let edit = HTTPFilter.requestHeaders(
      HeaderEdit(set: [HeaderField(name: "x-set", value: "1")], add: [], remove: ["x-gone"]))
    let bench = try await self.bench(
      mirrors: [(1, 1), (2, 1)], backends: 3, filters: [edit, .rewrite(HTTPRewrite(hostname: "other.test"))])
    let client = bench.dial()
    client.send("POST /x?q HTTP/1.1\r\nHost: web\r\nX-Gone: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    let servers = (0..<3).map { bench.accept($0) }
    let heads = servers.map { $0.readHead() }
    for head in heads {
      #expect(head.hasPrefix("POST /x?q HTTP/1.1\r\nhost: other.test\r\n") && head.contains("x-set: 1\r\n"))
      #expect(head == heads[0])
    }
    client.send("2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
    for server in servers {
      #expect(server.read(through: "X-T: 1\r\n\r\n") == "3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
    }
    servers[1].send("HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")
    self.answer(servers[0], client)
    // Connections to mirrors are kept as any other.
    client.send("GET /next HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(servers[0].readHead().hasPrefix("GET /next") && servers[1].readHead().hasPrefix("GET /next"))
    self.answer(servers[0], client)
    let third = bench.accept(2)
    #expect(third.readHead().hasPrefix("GET /next"))
    let counters = try await bench.counters { $0.mirrored == 4 }
    #expect(counters.mirrored == 4 && counters.requests == 2 && counters.refused.isEmpty)
    await bench.end()
  }

  @Test("a mirror that is not there, resets, says nonsense or never answers changes nothing for the client")
  func failures() async throws {
    let bench = try await self.bench()
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    let mirror = bench.accept(1)
    _ = mirror.readHead()
    mirror.reset()
    self.answer(server, client)
    client.send("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n")
    let other = bench.accept(1)
    _ = other.readHead()
    other.send("nonsense\r\n\r\n")
    _ = server.readHead()
    self.answer(server, client)
    var counters = try await bench.counters { $0.refused["mirror_lost"] == 2 }
    #expect(counters.refused == ["mirror_lost": 2])
    close(bench.backends[1])
    client.send("GET /3 HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = server.readHead()
    self.answer(server, client)
    counters = try await bench.counters { $0.refused["mirror_unreachable"] == 1 }
    #expect(counters.refused == ["mirror_lost": 2, "mirror_unreachable": 1] && counters.active == 1)
    close(bench.backends[0])
    await bench.relay.stop()
  }

  @Test("a mirror that takes nothing is given up, and the body arrives at the backend whole")
  func tooSlow() async throws {
    let bench = try await self.bench()
    let client = bench.dial()
    // More than the sockets of a mirror hold.
    let block = (0..<99_991).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 4) }
    let body = [[UInt8]](repeating: block, count: 130).flatMap { $0 }
    let sender = Task.detached {
      client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: \(body.count)\r\n\r\n")
      client.send(body)
    }
    let server = bench.accept()
    let mirror = bench.accept(1)
    _ = server.readHead()
    let isWhole = server.read(body.count) == body
    #expect(isWhole)
    await sender.value
    self.answer(server, client)
    #expect(try await bench.counters { $0.refused["mirror_too_slow"] == 1 }.refused == ["mirror_too_slow": 1])
    // Cut, so that it does not look whole.
    #expect(mirror.readAll().end != 0)
    await bench.end()
  }

  @Test("what is left of a request that its client or its backend gave up is cut for the mirror too")
  func cut() async throws {
    let bench = try await self.bench()
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nabc")
    let server = bench.accept()
    let mirror = bench.accept(1)
    _ = server.readHead()
    #expect(mirror.read(through: "\r\n\r\nabc").hasPrefix("POST /"))
    client.reset()
    #expect(mirror.readAll().end != 0 && server.readAll().end != 0)
    await bench.end()
  }

  @Test("a share of the requests is copied; what does not resolve, or has no endpoint, is counted")
  func shares() async throws {
    let bench = try await self.bench(mirrors: [(1, 4)])
    let client = bench.dial()
    var server: HTTPBench.Peer?
    for _ in 0..<200 {
      client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      let backend = server ?? bench.accept()
      server = backend
      _ = backend.readHead()
      self.answer(backend, client)
    }
    let counters = try await bench.counters { _ in true }
    #expect((20...90).contains(counters.mirrored), "\(counters.mirrored)")
    await bench.end()
    let other = try await self.bench(isValid: false)
    let asker = other.dial()
    asker.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let backend = other.accept()
    _ = backend.readHead()
    self.answer(backend, asker)
    #expect(try await other.counters { _ in true }.refused == ["mirror_no_backend": 1])
    await other.end()
  }

  @Test("HTTP/2 on both sides: the copy goes on a stream of its own")
  func streams() async throws {
    let bench = try await self.bench(appProtocol: .http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("POST", "/x", ends: false)
    client.data(id, Array("hello".utf8), ends: false)
    client.head(id, [("x-t", "1")], ends: true)
    let servers = (0..<2).map { HTTP2Peer(bench.accept($0), .server) }
    for server in servers {
      let message = server.message(server.request())
      #expect(message.request == "POST web /x" && message.text == "hello" && message["x-t"] == "1")
    }
    servers[1].reset(servers[1].request(), .internalError)
    servers[0].answer(servers[0].request())
    #expect(client.message(id).text == "ok")
    #expect(try await bench.counters { $0.refused["mirror_lost"] == 1 }.mirrored == 1)
    await bench.end()
  }

  @Test("a stream of a mirror whose window stays shut is given up, and the body arrives at the backend whole")
  func slowStream() async throws {
    let bench = try await self.bench(appProtocol: .http2)
    let client = HTTP2Peer(bench.dial(), .client)
    let body = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 4) }
    let id = client.open("POST", "/x", ends: false)
    let sender = Task.detached { client.data(id, body, ends: true) }
    let servers = (0..<2).map { HTTP2Peer(bench.accept($0), .server) }
    servers[1].consumes = false
    let copy = servers[1].request()
    let isWhole = servers[0].message(servers[0].request()).body == body
    #expect(isWhole)
    await sender.value
    #expect(servers[1].reset(of: copy) != nil)
    servers[0].answer(servers[0].request())
    #expect(client.message(id).text == "ok")
    #expect(try await bench.counters { $0.refused["mirror_too_slow"] == 1 }.refused == ["mirror_too_slow": 1])
    await bench.end()
  }

  @Test("a client of HTTP/2 whose backend and mirror speak HTTP/1.1, and the other way round")
  func bridges() async throws {
    let bench = try await self.bench()
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("POST", "/x", ends: false)
    client.data(id, Array("hello".utf8), ends: true)
    let servers = (0..<2).map { bench.accept($0) }
    for server in servers {
      #expect(server.readHead().hasPrefix("POST /x HTTP/1.1\r\n"))
      #expect(server.read(through: "0\r\n\r\n") == "5\r\nhello\r\n0\r\n\r\n")
    }
    servers[0].send(Self.well)
    #expect(client.message(id).text == "ok")
    await bench.end()
    let other = try await self.bench(appProtocol: .http2)
    let asker = other.dial()
    asker.send("POST /y HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello")
    let peers = (0..<2).map { HTTP2Peer(other.accept($0), .server) }
    for peer in peers { #expect(peer.message(peer.request()).text == "hello") }
    peers[0].answer(peers[0].request())
    #expect(asker.read(through: "ok\r\n0\r\n\r\n").hasPrefix("HTTP/1.1 200"))
    await other.end()
  }
}
