import MeshBase
import MeshTelemetry
import MeshWire
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MeshAgent

/// Whoever reaches the ports may send what they like: the answer is an error or a closed connection, in bounded time and
/// memory, and the next honest client is served.
@Suite struct HostileHTTPTests {
  private func serve(
    limits: ReportServer.Limits = .defaults, _ body: (ReportServer, FakeAgent) async throws -> Void
  ) async throws {
    let agent = FakeAgent()
    let server = try await ReportServer.start(
      .tcp(SocketEndpoint(.loopbackV4, 0)), on: MultiThreadedEventLoopGroup.singleton, limits: limits,
      route: AgentEndpoints.commands(agent))
    do {
      try await body(server, agent)
      #expect(try await RawClient.get("/v1/status", port: server.port).hasPrefix("HTTP/1.1 200"))
    } catch {
      await server.stop()
      throw error
    }
    await server.stop()
  }

  @Test(
    "nonsense is answered with 400 or closed",
    arguments: [
      "\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
      "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET /v1/status HTTP/1.1\r\nHost: x\r\nBad\u{0}Name: y\r\n\r\n",
      "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET http://x/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
    ])
  func nonsense(text: String) async throws {
    var limits = ReportServer.Limits()
    limits.requestDeadline = .seconds(3)
    try await self.serve(limits: limits) { server, _ in
      let client = try await RawClient.connect(port: server.port)
      try? await client.send(text)
      let answer = try await client.finish()
      #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.0 4"), "\(answer)")
    }
  }

  @Test("a head without end is cut at the limit")
  func hugeHead() async throws {
    try await self.serve { server, _ in
      let client = try await RawClient.connect(port: server.port)
      try await client.send("GET /v1/status HTTP/1.1\r\nX: ")
      for _ in 0..<64 { try? await client.send(String(repeating: "a", count: 1024)) }
      #expect(try await client.finish().hasPrefix("HTTP/1.1 431"))
      let many = try await RawClient.connect(port: server.port)
      try? await many.send("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 10_000))
      let answer = try await many.finish()
      #expect(answer.hasPrefix("HTTP/1.1 431") || answer.hasPrefix("HTTP/1.1 400"), "\(answer)")
    }
  }

  @Test("what is pipelined behind a request is not another request")
  func pipelining() async throws {
    try await self.serve { server, agent in
      let client = try await RawClient.connect(port: server.port)
      try await client.send(
        "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/log-level?level=trace HTTP/1.1\r\nHost: x\r\n\r\n")
      let answer = try await client.finish()
      #expect(answer.split(separator: "HTTP/1.1 200").count == 1)
      #expect(agent.level.withLock { $0 } == nil)
    }
  }

  @Test("a body that comes with a large request does not spoil the answer to it")
  func pipelinedFlood() async throws {
    try await self.serve { server, _ in
      let client = try await RawClient.connect(port: server.port)
      let requests = String(repeating: "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", count: 2000)
      try? await client.send(requests)
      let answer = try await client.finish()
      #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 200") || answer.hasPrefix("HTTP/1.1 431"))
    }
  }

  @Test("a request that does not end in time is closed", .timeLimit(.minutes(1)))
  func slowRequest() async throws {
    var limits = ReportServer.Limits()
    limits.requestDeadline = .seconds(2)
    try await self.serve(limits: limits) { server, _ in
      let client = try await RawClient.connect(port: server.port)
      try await client.send("GET /v1/status HTTP/1.1\r\n")
      let silent = try await RawClient.connect(port: server.port)
      #expect(try await client.finish().isEmpty)
      #expect(try await silent.finish().isEmpty)
      while await server.openConnections() > 0 { await Task.yield() }
    }
  }

  @Test("a client that reads nothing of a large answer is closed", .timeLimit(.minutes(1)))
  func slowReader() async throws {
    var limits = ReportServer.Limits()
    limits.stallDeadline = .seconds(1)
    try await self.serve(limits: limits) { server, _ in
      let client = try await RawClient.connect(port: server.port, reading: false)
      try await client.send("GET /v1/maps HTTP/1.1\r\nHost: x\r\n\r\n")
      while await server.openConnections() == 0 { await Task.yield() }
      while await server.openConnections() > 0 { try await Task.sleep(for: .milliseconds(5)) }
      try await client.channel.close().get()
    }
  }

  @Test("more connections than the limit are closed as they come, and places come back", .timeLimit(.minutes(1)))
  func connectionLimit() async throws {
    try await self.serve { server, _ in
      var clients: [RawClient] = []
      for _ in 0..<64 { clients.append(try await RawClient.connect(port: server.port)) }
      while await server.openConnections() < 64 { await Task.yield() }
      let one = try await RawClient.connect(port: server.port)
      #expect(try await one.finish().isEmpty)
      for client in clients { try await client.channel.close().get() }
      while await server.openConnections() > 0 { await Task.yield() }
    }
  }
}
