import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import MeshTelemetry
import Testing

/// What is counted of requests, by how they ended.
@Suite(.serialized) struct RequestAccountTests {
  private static let get = "GET /a HTTP/1.1\r\nHost: web\r\n\r\n"

  /// Counts until there are as many requests.
  private func counts(_ bench: HTTPBench, _ wanted: UInt64) async throws -> [RequestCount] {
    var counts: [RequestCount] = []
    for _ in 0..<3000 where counts.reduce(0, { $0 + $1.duration.count }) < wanted {
      counts += await bench.relay.takeRequests()
      try await Task.sleep(for: .milliseconds(1))
    }
    return counts
  }

  private func only(_ bench: HTTPBench) async throws -> RequestCount {
    let counts = try await self.counts(bench, 1)
    #expect(counts.count == 1 && counts.first?.duration.count == 1, "\(counts)")
    return try #require(counts.first)
  }

  @Test("answered whole: one count each, with the source, the Service, the status, and the bytes of both bodies")
  func answered() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("POST /a HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    let server = bench.accept()
    #expect(server.read(through: "0\r\n\r\n").contains("abc"))
    server.send("HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\nhello, world")
    #expect(client.read(through: "world").hasPrefix("HTTP/1.1 201"))
    client.send(Self.get)
    _ = server.readHead()
    server.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    _ = client.readHead()
    let counts = try await self.counts(bench, 2)
    let count = try #require(counts.first)
    #expect(counts.reduce(0) { $0 + $1.duration.count } == 2)
    #expect(count.series.source == 7 && count.series.status == 201 && count.series.flags.isEmpty)
    #expect(count.series.kind == .http && count.series.grpcStatus == nil)
    #expect(count.service?.description == "a/web-0" && count.destination == nil)
    #expect(counts.reduce(0) { $0 + $1.requestBytes.sum } == 5)
    #expect(counts.reduce(0) { $0 + $1.responseBytes.sum } == 12)
    await bench.end()
  }

  @Test(
    "how a call ended is read from an upstream of HTTP/1.1 as well: its trailers, or its head",
    arguments: [
      "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 5\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 5\r\nContent-Length: 0\r\n\r\n",
    ], [true, false])
  func call(answer: String, isHTTP2: Bool) async throws {
    let bench = try await HTTPBench()
    let first = bench.dial()
    if isHTTP2 {
      _ = HTTP2Peer(first, .client).open("POST", "/a.B/C", [("content-type", "application/grpc"), ("te", "trailers")])
    } else {
      first.send("POST /a.B/C HTTP/1.1\r\nHost: web\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
    }
    let server = bench.accept()
    #expect(server.readHead().hasPrefix("POST /a.B/C HTTP/1.1\r\n"))
    server.send(answer)
    let count = try await self.only(bench)
    #expect(count.series.kind == .grpc && count.series.status == 200 && count.series.grpcStatus == 5)
    withExtendedLifetime(first) {}
    await bench.end()
  }

  @Test("a rule's backend is the Service that is told; a head that nothing follows has no bytes")
  func backend() async throws {
    let bench = try await HTTPBench(backends: 2)
    try await bench.use([try bench.rule("/", to: [1])])
    let client = bench.dial()
    client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept(1)
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
    _ = client.readHead()
    let count = try await self.only(bench)
    #expect(count.service?.description == "a/web-1")
    #expect(count.responseBytes.sum == 0)
    await bench.end()
  }

  @Test("answered by the proxy: the flag says why", arguments: ["no_route", "head", "upstream_failed", "timeout"])
  func local(_ what: String) async throws {
    let bench = try await HTTPBench(backends: 1)
    var rule = try bench.rule("/a", to: [0])
    rule.backendTimeoutMilliseconds = 50
    try await bench.use([rule])
    let client = bench.dial()
    var (status, flags, text): (UInt16, ResponseFlags, String)
    switch what {
    case "no_route":
      (status, flags, text) = (404, .noRoute, "no_route")
      client.send("GET /b HTTP/1.1\r\nHost: web\r\n\r\n")
    case "head":
      (status, flags, text) = (400, .downstreamProtocolError, "")
      client.send("GET  / HTTP/1.1\r\n\r\n")
    case "upstream_failed":
      (status, flags, text) = (502, .upstreamConnectionTermination, "upstream_closed")
      client.send(Self.get)
      let server = bench.accept()
      _ = server.readHead()
    default:
      (status, flags, text) = (504, .upstreamRequestTimeout, "backend_timeout")
      client.send(Self.get)
    }
    let head = client.readHead()
    #expect(head.hasPrefix("HTTP/1.1 \(status) "))
    let count = try await self.only(bench)
    #expect(count.series.status == status && count.series.flags == flags, "\(count.series)")
    #expect(count.service?.description == "a/web-0")
    if !text.isEmpty { #expect(count.responseBytes.sum == UInt64(text.utf8.count) + 1) }
    await bench.end()
  }

  @Test(
    "cut in the middle of the answer: the status that the client saw, and who was the reason", arguments: [true, false])
  func cut(byUpstream: Bool) async throws {
    let bench = try await HTTPBench()
    var client: HTTPBench.Peer? = bench.dial()
    client?.send(Self.get)
    var server: HTTPBench.Peer? = bench.accept()
    _ = server?.readHead()
    server?.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello")
    _ = client?.read(through: "hello")
    if byUpstream { server = nil } else { client?.reset(); client = nil }
    let count = try await self.only(bench)
    #expect(count.series.status == 200 && count.responseBytes.sum == 5)
    #expect(
      count.series.flags == (byUpstream ? .upstreamConnectionTermination : .downstreamConnectionTermination),
      "\(count.series.flags.text)")
    await bench.end()
    withExtendedLifetime((client, server)) {}
  }

  @Test("a client that goes before anything is answered got no status")
  func gone() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    client.reset()
    let count = try await self.only(bench)
    #expect(count.series.status == 0 && count.series.flags == .downstreamConnectionTermination)
    await bench.end()
    withExtendedLifetime(server) {}
  }

  @Test("a tunnel's request ends with 101; a connection without a request counts nothing")
  func tunnel() async throws {
    let bench = try await HTTPBench()
    _ = bench.dial()
    let client = bench.dial()
    client.send(
      "GET /a HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    #expect(client.readHead().hasPrefix("HTTP/1.1 101"))
    client.reset()
    let count = try await self.only(bench)
    #expect(count.series.status == 101 && count.series.flags.isEmpty)
    await bench.end()
    #expect(await bench.relay.takeRequests().isEmpty)
    withExtendedLifetime(server) {}
  }
}
