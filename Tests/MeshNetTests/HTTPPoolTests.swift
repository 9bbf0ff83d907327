import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshRouting
import MeshSnapshot
import Testing

/// How long connections to endpoints are used, end to end.
@Suite(.serialized) struct HTTPPoolTests {
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  private func traffic(_ pool: PoolSettings) throws -> TrafficSettings {
    TrafficSettings(origin: try #require(ResourceName("a/policy")), pool: pool)
  }

  private func ask(_ client: HTTPBench.Peer, _ server: HTTPBench.Peer) {
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(server.readHead().hasPrefix("GET / "))
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
  }

  @Test("a connection serves as many requests as the policy says")
  func requests() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic(PoolSettings(requestsPerConnection: 2)))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let first = bench.accept()
    #expect(first.readHead().hasPrefix("GET / "))
    first.send(Self.well)
    _ = client.read(through: "\r\n\r\nok")
    self.ask(client, first)
    #expect(first.readAll().text.isEmpty)
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let second = bench.accept()
    #expect(second.readHead().hasPrefix("GET / "))
    second.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test(
    "one that waits for a request ends when it has waited for as long as the policy says", arguments: [false, true])
  func idle(byLifetime: Bool) async throws {
    let settings =
      byLifetime ? PoolSettings(lifetimeMilliseconds: 80) : PoolSettings(idleMilliseconds: 80)
    let bench = try await HTTPBench(traffic: try self.traffic(settings))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.well)
    _ = client.read(through: "\r\n\r\nok")
    #expect(server.readAll().text.isEmpty)
    let record = try #require(bench.record)
    _ = try await bench.counters { _ in record.open(.connections) == 0 }
    #expect(record.open(.connections) == 0)
    await bench.end()
  }

  @Test("a request that is under way when the lifetime ends is the last one")
  func lifetime() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic(PoolSettings(lifetimeMilliseconds: 20)))
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    #expect(client.isSilent)
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(server.readAll().text.isEmpty)
    await bench.end()
  }

  @Test("a connection that waits ends when nothing leads to its endpoint any more, one that is used with its request")
  func orphans() async throws {
    let bench = try await HTTPBench(backends: 2)
    try await bench.use([try bench.rule("/", to: [0])])
    let (idle, busy) = (bench.dial(), bench.dial())
    busy.send("GET /busy HTTP/1.1\r\nHost: web\r\n\r\n")
    let used = bench.accept()
    _ = used.readHead()
    idle.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let rests = bench.accept()
    _ = rests.readHead()
    rests.send(Self.well)
    _ = idle.read(through: "\r\n\r\nok")
    // Another endpoint goes: nothing happens here.
    try await bench.use([try bench.rule("/", to: [0])], without: [1])
    #expect(rests.isSilent)
    try await bench.use([try bench.rule("/", to: [1])], without: [0])
    #expect(rests.readAll().text.isEmpty)
    used.send(Self.well)
    #expect(busy.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(used.readAll().text.isEmpty)
    busy.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let other = bench.accept(1)
    #expect(other.readHead().hasPrefix("GET / "))
    await bench.end()
  }

  // MARK: HTTP/2

  @Test("streams beyond those that a connection of HTTP/2 may have at once go on another one")
  func streams() async throws {
    let bench = try await HTTPBench(
      appProtocol: .http2, traffic: try self.traffic(PoolSettings(streamsPerConnection: 1)))
    let client = HTTP2Peer(bench.dial(), .client)
    let ids = (0..<2).map { _ in client.open("GET", "/", ends: true) }
    let servers = (0..<2).map { _ in HTTP2Peer(bench.accept(), .server) }
    for server in servers { server.answer(server.request()) }
    for id in ids { #expect(client.message(id).text == "ok") }
    #expect(servers.allSatisfy { $0.streams.count == 1 })
    await bench.end()
  }

  @Test("a connection of HTTP/2 serves as many requests as the policy says, and ends with the last")
  func requestsHTTP2() async throws {
    let bench = try await HTTPBench(
      appProtocol: .http2, traffic: try self.traffic(PoolSettings(requestsPerConnection: 2)))
    let client = HTTP2Peer(bench.dial(), .client)
    let ids = (0..<2).map { _ in client.open("GET", "/", ends: true) }
    let server = HTTP2Peer(bench.accept(), .server)
    for number in 1...2 { server.answer(server.request(number)) }
    for id in ids { #expect(client.message(id).text == "ok") }
    #expect(server.wait { $0.hasEnded })
    let next = client.open("GET", "/", ends: true)
    let other = HTTP2Peer(bench.accept(), .server)
    other.answer(other.request())
    #expect(client.message(next).text == "ok")
    await bench.end()
  }

  @Test("a connection of HTTP/2 is not used beyond its time", arguments: [false, true])
  func idleHTTP2(byLifetime: Bool) async throws {
    let settings =
      byLifetime ? PoolSettings(lifetimeMilliseconds: 80) : PoolSettings(idleMilliseconds: 80)
    let bench = try await HTTPBench(appProtocol: .http2, traffic: try self.traffic(settings))
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("GET", "/", ends: true)
    let server = HTTP2Peer(bench.accept(), .server)
    server.answer(server.request())
    #expect(client.message(id).text == "ok")
    #expect(server.wait { $0.hasEnded })
    await bench.end()
  }

  @Test("nor when nothing leads to its endpoint any more: what is under way is the last")
  func orphanHTTP2() async throws {
    let bench = try await HTTPBench(backends: 2, appProtocol: .http2)
    try await bench.use([try bench.rule("/", to: [0])])
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("GET", "/", ends: true)
    let server = HTTP2Peer(bench.accept(), .server)
    let asked = server.request()
    try await bench.use([try bench.rule("/", to: [1])], without: [0])
    server.answer(asked)
    #expect(client.message(id).text == "ok")
    #expect(server.wait { $0.hasEnded })
    let next = client.open("GET", "/", ends: true)
    let other = HTTP2Peer(bench.accept(1), .server)
    other.answer(other.request())
    #expect(client.message(next).text == "ok")
    await bench.end()
  }
}
