import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// RS-06, F-26: new work is refused before memory ends.
@Suite("Memory that runs out")
struct StrainTests {
  @Test("each step comes at its share of the limit, and goes five percent below it")
  func steps() {
    var gauge = StrainGauge()
    var seen: [Strain] = []
    for percent in [10, 79, 80, 84, 85, 81, 80, 79, 76, 74, 94, 95, 91, 90, 89, 10, 100, 200, 0] {
      _ = gauge.measure(used: UInt64(percent), limit: 100)
      seen.append(gauge.strain)
    }
    #expect(
      seen == [
        .none, .none, .trim, .trim, .shed, .shed, .shed, .trim, .trim, .none, .shed, .full, .full, .full, .shed, .none,
        .full, .full, .none,
      ])
    let changes = [(1, 0), (UInt64.max, 0), (UInt64.max, UInt64.max)].map { gauge.measure(used: $0, limit: $1) }
    #expect(changes == [false, false, true])
  }

  @Test("looked at seldom while there is room, and often when there is little")
  func pauses() {
    #expect(StrainGauge.pause(used: 100 << 20, limit: 1 << 30) == .seconds(1))
    #expect(StrainGauge.pause(used: 40 << 20, limit: 64 << 20) == .milliseconds(45))
    #expect(StrainGauge.pause(used: 70, limit: 100) == .milliseconds(25))
    #expect(StrainGauge.pause(used: UInt64.max, limit: 1) == .milliseconds(25))
  }

  @Test("requests are answered with 503 and say why, what is under way is finished, and all is well again afterwards")
  func requests() async throws {
    let strain = SharedStrain()
    let bench = try await HTTPBench(strain: strain)
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    strain.now = .shed
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    client.send("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n")
    let refused = client.readHead()
    #expect(refused.hasPrefix("HTTP/1.1 503") && refused.contains("x-martlet-overloaded: true\r\n"))
    #expect(try await bench.counters { $0.refused["overloaded"] == 1 }.refused == ["overloaded": 1])
    strain.now = .full
    let other = bench.dial()
    #expect(other.readAll().end != 0)
    #expect(try await bench.counters { $0.refused["overloaded"] == 2 }.active == 1)
    // Connections at rest go, those of clients stay.
    #expect(server.readAll().text.isEmpty)
    strain.now = .none
    let third = bench.dial()
    third.send("GET /3 HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(bench.accept().readHead().hasPrefix("GET /3"))
    await bench.end()
  }

  @Test("a head that is not whole is new work: it is answered at once, and one that comes too")
  func heads() async throws {
    let strain = SharedStrain()
    let bench = try await HTTPBench(strain: strain)
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: web\r\n")
    _ = try await bench.counters { $0.active == 1 }
    #expect(client.isSilent)
    strain.now = .shed
    bench.relay.relieve()
    let (text, end) = client.readAll()
    #expect(text.hasPrefix("HTTP/1.1 503") && text.contains("x-martlet-overloaded: true\r\n") && end == 0)
    let late = bench.dial()
    late.send("GET /1 HTTP/1.1\r\nHost: w")
    #expect(late.readAll().text.hasPrefix("HTTP/1.1 503"))
    await bench.end()
  }

  @Test("when nothing else helps, a client that takes nothing of its answer is cut, and one that takes it is not")
  func slowReaders() async throws {
    let strain = SharedStrain()
    let bench = try await HTTPBench(strain: strain)
    let clients = [bench.dial(), bench.dial()]
    let servers = clients.map { client in
      client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n")
      let server = bench.accept()
      _ = server.readHead()
      return server
    }
    let size = 64 << 20
    for server in servers {
      server.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
      _ = fcntl(server.descriptor, F_SETFL, O_NONBLOCK)
      // As much as all between the two takes.
      while RelayBench.send(server.descriptor, [UInt8](repeating: 0x61, count: 1 << 20)) > 0 {}
    }
    try await Task.sleep(for: .milliseconds(1100))
    _ = clients[1].read(2 << 20)
    try await Task.sleep(for: .milliseconds(100))
    strain.now = .full
    bench.relay.relieve()
    let counters = try await bench.counters { $0.refused["overloaded"] == 1 }
    #expect(counters.refused == ["overloaded": 1] && counters.active == 1)
    #expect(clients[0].readAll().end != 0)
    #expect(clients[1].read(64 << 10).count == 64 << 10)
    await bench.end()
  }

  @Test("HTTP/2: a stream is answered with 503, a call of gRPC with its status, and the connection stays")
  func streams() async throws {
    let strain = SharedStrain()
    let bench = try await HTTPBench(appProtocol: .http2, strain: strain)
    strain.now = .shed
    let client = HTTP2Peer(bench.dial(), .client)
    let message = client.message(client.open())
    #expect(message.status == 503 && message["x-martlet-overloaded"] == "true")
    let call = client.message(
      client.open("POST", "/a.B/C", [("content-type", "application/grpc"), ("te", "trailers")]))
    #expect(call["grpc-status"] == "14")
    strain.now = .trim
    let id = client.open()
    let server = HTTP2Peer(bench.accept(), .server)
    server.answer(server.request())
    #expect(client.message(id).status == 200)
    await bench.end()
  }
}
