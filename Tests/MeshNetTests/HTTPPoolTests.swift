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

  // MARK: opened ahead

  @Test("a connection waits for the request that comes beside another one")
  func warm() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic(PoolSettings(warmConnections: 1)))
    let record = try #require(bench.record)
    let (one, two) = (bench.dial(), bench.dial())
    one.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let first = bench.accept()
    #expect(first.readHead().hasPrefix("GET / "))
    let second = bench.accept()
    _ = try await bench.counters { _ in record.hasResting }
    #expect(second.isSilent && bench.isUndialled() && record.open(.connections) == 2)
    self.ask(two, second)
    // It waits again: no other one is opened.
    #expect(bench.isUndialled())
    first.send(Self.well)
    #expect(one.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test(
    "an endpoint that comes is dialled with the next request, wherever that goes; one that ends meanwhile harms nobody")
  func warmNewcomer() async throws {
    let bench = try await HTTPBench(
      backends: 2, traffic: try self.traffic(PoolSettings(warmConnections: 1)), isOne: true)
    try await bench.use(nil, without: [1])
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let first = bench.accept()
    #expect(first.readHead().hasPrefix("GET / "))
    first.send(Self.well)
    _ = client.read(through: "\r\n\r\nok")
    #expect(bench.isUndialled(1))
    try await bench.use(nil, without: [])
    let warm = bench.accept()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let newcomer = bench.accept(1)
    withExtendedLifetime((warm, newcomer)) {}
    await bench.end()
  }

  @Test("nothing is opened ahead beyond the limit")
  func warmLimit() async throws {
    var traffic = try self.traffic(PoolSettings(warmConnections: 4))
    traffic.limits.connections = 2
    let bench = try await HTTPBench(traffic: traffic)
    let record = try #require(bench.record)
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let (first, second) = (bench.accept(), bench.accept())
    #expect(first.readHead().hasPrefix("GET / "))
    #expect(bench.isUndialled() && record.open(.connections) == 2 && record.overflows(.connections) == 0)
    first.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    withExtendedLifetime(second) {}
    await bench.end()
  }

  @Test("of HTTP/2 one connection is there for each endpoint")
  func warmStreams() async throws {
    let bench = try await HTTPBench(
      backends: 2, appProtocol: .http2, traffic: try self.traffic(PoolSettings(warmConnections: 3)), isOne: true)
    let record = try #require(bench.record)
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let servers = [HTTP2Peer(bench.accept(0), .server), HTTP2Peer(bench.accept(1), .server)]
    for server in servers { server.settle() }
    #expect(bench.isUndialled(0) && bench.isUndialled(1) && record.open(.connections) == 2)
    let asked = try #require(servers.first { !$0.streams.isEmpty })
    asked.answer(asked.request(), "two")
    #expect(client.read(through: "two").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }
}
