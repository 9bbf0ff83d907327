import Foundation
import MeshBase
import MeshLink
import MeshProxy
import Testing

@Suite(.serialized) struct ProxyTests {
  @Test("a listener that was handed over is accepted on, and its connections are dialled with sockets of the stock")
  func wholeLife() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0009)
    _ = try await bench.event { $0 == .listenerAccepted(ProxyBench.key) ? true : nil }
    let client = bench.dial()
    let server = bench.accept()
    #expect(server >= 0)
    #expect(ProxyBench.peer(of: server) == 0x7f00_0009)
    #expect(ProxyBench.send(client, 5))
    #expect(ProxyBench.receive(server) == 5)
    #expect(ProxyBench.send(server, 6))
    #expect(ProxyBench.receive(client) == 6)
    close(client)
    #expect(ProxyBench.receive(server) == 0)
    close(server)
    let stats = try await bench.event { event -> ProxyStats? in
      if case .stats(let stats) = event, stats.relayed == 1, stats.active == 0 { stats } else { nil }
    }
    #expect(stats.accepted == 1 && stats.sentBytes == 1 && stats.receivedBytes == 1 && stats.refused.isEmpty)
    try await bench.end()
  }

  @Test("the agent's death changes nothing for a connection; the next agent's stock is used, never the old one's")
  func agentRestart() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0009)
    let client = bench.dial()
    let server = bench.accept()
    #expect(ProxyBench.peer(of: server) == 0x7f00_0009)
    await bench.stopAgent()
    #expect(ProxyBench.send(client, 1))
    #expect(ProxyBench.receive(server) == 1)
    try await bench.startAgent(stockAddress: 0x7f00_000a)
    _ = try await bench.event { $0 == .listenerAccepted(ProxyBench.key) ? true : nil }
    #expect(ProxyBench.send(server, 2))
    #expect(ProxyBench.receive(client) == 2)
    for _ in 0..<8 {
      let second = bench.dial()
      let accepted = bench.accept()
      #expect(ProxyBench.peer(of: accepted) == 0x7f00_000a)
      close(second)
      close(accepted)
    }
    close(client)
    #expect(ProxyBench.receive(server) == 0)
    close(server)
    try await bench.end()
  }

  @Test(
    "without an agent connections wait in the listener, beyond the time to connect; the next agent's sockets serve them"
  )
  func waitsInListener() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0009)
    let first = (bench.dial(), bench.accept())
    await bench.stopAgent()
    // Until the proxy knows it.
    try await Task.sleep(for: .milliseconds(300))
    // More than are in stock: 32, or 64 if the first connection came before they did.
    let clients = (0..<100).map { _ in bench.dial() }
    var servers: [CInt] = []
    // Those that find no socket wait for longer than they have to connect.
    try await Task.sleep(for: .seconds(3))
    try await bench.startAgent(stockAddress: 0x7f00_000a)
    while servers.count < clients.count {
      let server = bench.accept()
      guard server >= 0 else { break }
      servers.append(server)
    }
    #expect(servers.count == clients.count)
    #expect(servers.contains { ProxyBench.peer(of: $0) == 0x7f00_000a })
    for server in servers { #expect(ProxyBench.send(server, 1)) }
    #expect(clients.allSatisfy { ProxyBench.receive($0) == 1 })
    for descriptor in clients + servers + [first.0, first.1] { close(descriptor) }
    try await bench.end()
  }

  @Test("a proxy that another process supersedes accepts no more, finishes what is open, and ends")
  func superseded() async throws {
    let bench = try ProxyBench()
    let first = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0009)
    let client = bench.dial()
    let server = bench.accept()
    #expect(ProxyBench.send(client, 1))
    #expect(ProxyBench.receive(server) == 1)
    let second = try ProxyBench.startProgram("exec \"$0\" --log-level error --run-dir \"$1\"", bench.directory)
    defer {
      second.terminate()
      second.waitUntilExit()
    }
    let process = second.processIdentifier
    _ = try await bench.event { if case .connected(process, _) = $0 { true } else { nil } }
    _ = try await bench.event { if case .aside(_, .draining) = $0 { true } else { nil } }
    // From then on nobody accepts, and what is dialled waits in the listener.
    #expect(bench.nobodyAccepts())
    #expect(ProxyBench.send(server, 2))
    #expect(ProxyBench.receive(client) == 2)
    close(client)
    #expect(ProxyBench.receive(server) == 0)
    close(server)
    try await first.value
    try await bench.end()
  }

  @Test("withdrawing a workload closes its connections with RST and its listeners for good")
  func withdraw() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0009)
    let client = bench.dial()
    let server = bench.accept()
    #expect(ProxyBench.send(client, 1))
    #expect(ProxyBench.receive(server) == 1)
    bench.withdraw()
    #expect(ProxyBench.receive(client) == -Int(ECONNRESET))
    #expect(ProxyBench.receive(server) == -Int(ECONNRESET))
    close(client)
    close(server)
    // The listener may be on another loop than the connection.
    #expect(bench.nobodyAccepts())
    try await bench.end()
  }
}
