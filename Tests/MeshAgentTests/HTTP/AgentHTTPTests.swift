import Glibc
import MeshBase
import MeshWire
import NIOPosix
import Testing

@testable import MeshAgent

@Suite struct AgentHTTPTests {
  private func configuration() -> AgentHTTP.Configuration {
    var configuration = AgentHTTP.Configuration(
      socketPath: "/tmp/mt-agent-http-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock")
    configuration.metrics = SocketEndpoint(.loopbackV4, 0)
    configuration.health = SocketEndpoint(.loopbackV4, 0)
    return configuration
  }

  @Test("the three servers answer each its own paths only")
  func three() async throws {
    let configuration = self.configuration()
    defer { unlink(configuration.socketPath) }
    let servers = try await AgentHTTP(
      configuration, agent: FakeAgent(), group: MultiThreadedEventLoopGroup.singleton
    ).start()
    #expect(servers.count == 3)
    let path = configuration.socketPath
    let (metrics, health) = (servers[1].port, servers[2].port)
    #expect(try await RawClient.get("/v1/status", port: nil, path: path).hasPrefix("HTTP/1.1 200"))
    #expect(try await RawClient.get("/metrics", port: metrics).hasPrefix("HTTP/1.1 200"))
    #expect(try await RawClient.get("/readyz", port: health).hasPrefix("HTTP/1.1 200"))
    #expect(try await RawClient.get("/v1/status", port: metrics).hasPrefix("HTTP/1.1 404"))
    #expect(try await RawClient.get("/v1/status", port: health).hasPrefix("HTTP/1.1 404"))
    for server in servers { await server.stop() }
  }

  @Test("a port that is taken is an error, and leaves no server behind")
  func taken() async throws {
    let configuration = self.configuration()
    defer { unlink(configuration.socketPath) }
    let first = try await AgentHTTP(
      configuration, agent: FakeAgent(), group: MultiThreadedEventLoopGroup.singleton
    ).start()
    var second = self.configuration()
    second.health = SocketEndpoint(.loopbackV4, first[2].port ?? 0)
    let wanted = second
    let error = await #expect(throws: MeshError.self) {
      _ = try await AgentHTTP(
        wanted, agent: FakeAgent(), group: MultiThreadedEventLoopGroup.singleton
      ).start()
    }
    #expect(error?.code == .unavailable)
    await #expect(throws: (any Error).self) {
      _ = try await RawClient.connect(port: nil, path: wanted.socketPath)
    }
    unlink(wanted.socketPath)
    for server in first { await server.stop() }
  }
}
