import Glibc
import MeshBase
import MeshTelemetry
import MeshWire
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MeshAgent

@Suite struct AgentEndpointsTests {
  private let loopback = ReportServer.Address.tcp(SocketEndpoint(.loopbackV4, 0))

  private func serve(
    _ route: @escaping ReportServer.Route, limits: ReportServer.Limits = .defaults,
    _ body: (ReportServer) async throws -> Void
  ) async throws {
    let server = try await ReportServer.start(
      self.loopback, on: MultiThreadedEventLoopGroup.singleton, limits: limits, route: route)
    do {
      try await body(server)
    } catch {
      await server.stop()
      throw error
    }
    await server.stop()
  }

  @Test("metrics come in the format that the scraper asks for")
  func metrics() async throws {
    try await self.serve(AgentEndpoints.metrics(FakeAgent())) { server in
      let plain = try await RawClient.get("/metrics", port: server.port)
      #expect(plain.hasPrefix("HTTP/1.1 200 OK\r\n"))
      #expect(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"))
      #expect(plain.contains("\nmartlet_build_info{version=\"0.1.0\",node=\"n1\"} 1\n"))
      let open = try await RawClient.get(
        "/metrics", port: server.port, headers: "Accept: application/openmetrics-text;version=1.0.0\r\n")
      #expect(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"))
      #expect(open.hasSuffix("# EOF\n"))
      let head = try await RawClient.connect(port: server.port)
      try await head.send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
      let answer = try await head.finish()
      #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("\r\n\r\n"))
    }
  }

  @Test("health and readiness follow the status")
  func health() async throws {
    let agent = FakeAgent()
    try await self.serve(AgentEndpoints.health(agent)) { server in
      #expect(try await RawClient.get("/healthz", port: server.port).hasPrefix("HTTP/1.1 200"))
      #expect(try await RawClient.get("/readyz", port: server.port).contains("[+] datapath: attached\n[+] ready\nok\n"))
      agent.current.withLock { $0.ready = false }
      #expect(try await RawClient.get("/healthz", port: server.port).hasPrefix("HTTP/1.1 200"))
      #expect(try await RawClient.get("/readyz", port: server.port).hasPrefix("HTTP/1.1 503"))
      agent.current.withLock { $0.health = [HealthCheck("datapath", .fail, "detached", next: "restart")] }
      let failed = try await RawClient.get("/healthz", port: server.port)
      #expect(failed.hasPrefix("HTTP/1.1 503") && failed.contains("[-] datapath: detached; restart\nfailed\n"))
    }
  }

  @Test("the command line's reports are JSON; errors keep their shape")
  func reports() async throws {
    let agent = FakeAgent()
    try await self.serve(AgentEndpoints.commands(agent)) { server in
      let status = try await RawClient.get("/v1/status", port: server.port)
      #expect(status.contains("content-type: application/json\r\n") && status.contains("\"node\":\"n1\""))
      #expect(try await RawClient.get("/v1/workloads", port: server.port).contains("\"enrolled\":true"))
      #expect(try await RawClient.get("/v1/policies", port: server.port).hasSuffix("\r\n\r\n[]\n"))
      let failed = try await RawClient.get("/v1/connections", port: server.port)
      #expect(failed.hasPrefix("HTTP/1.1 503") && failed.contains("\"next\":\"ask again\""))
      let explain = try await RawClient.get("/v1/explain?source=a&destination=web.shop:80", port: server.port)
      #expect(explain.contains("\"verdict\":\"deny\""))
      #expect(try await RawClient.get("/v1/endpoints", port: server.port).contains("\"state\":\"ejected\""))
      #expect(try await RawClient.get("/v1/routes", port: server.port).contains("\"route\":\"default/canary\""))
      let asked = "/v1/explain?source=a&destination=web.shop:80"
      #expect(try await RawClient.get(asked + "&path=/cart", port: server.port).contains("\"rule\":\"/cart\""))
      #expect(try await RawClient.get(asked + "&path=cart", port: server.port).hasPrefix("HTTP/1.1 400"))
      #expect(try await RawClient.get("/v1/explain?source=a", port: server.port).hasPrefix("HTTP/1.1 400"))
      #expect(
        try await RawClient.get("/v1/explain?source=a&destination=b", port: server.port).hasPrefix("HTTP/1.1 400"))
      #expect(try await RawClient.get("/v1/nothing", port: server.port).hasPrefix("HTTP/1.1 404"))
      let wrong = try await RawClient.get("/v1/log-level?level=debug", port: server.port)
      #expect(wrong.hasPrefix("HTTP/1.1 405") && wrong.contains("allow: POST\r\n"))
      let post = try await RawClient.connect(port: server.port)
      try await post.send("POST /v1/log-level?level=debug HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
      #expect(try await post.finish().hasPrefix("HTTP/1.1 200"))
      #expect(agent.level.withLock { $0 } == .debug)
      let bad = try await RawClient.connect(port: server.port)
      try await bad.send("POST /v1/log-level?level=loud HTTP/1.1\r\nHost: x\r\n\r\n")
      #expect(try await bad.finish().hasPrefix("HTTP/1.1 400"))
    }
  }

  @Test("flows: the last that match, and an end")
  func lastFlows() async throws {
    let agent = FakeAgent()
    agent.flows.publish((0..<600).map { FakeAgent.record($0 % 2 == 0 ? "a/even" : "a/odd") })
    try await self.serve(AgentEndpoints.commands(agent)) { server in
      let answer = try await RawClient.get("/v1/flows?source=a/even&last=2", port: server.port)
      #expect(answer.contains("\"number\":597") && answer.contains("\"number\":599"))
      #expect(!answer.contains("\"number\":598") && !answer.contains("\"number\":595"))
      #expect(answer.hasSuffix("0\r\n\r\n"))
      #expect(try await RawClient.get("/v1/flows?verdict=perhaps", port: server.port).hasPrefix("HTTP/1.1 400"))
    }
  }

  @Test("flows: a follower gets what happens, and its going away frees its place", .timeLimit(.minutes(1)))
  func follow() async throws {
    let agent = FakeAgent()
    agent.flows.publish([FakeAgent.record("a/before")])
    try await self.serve(AgentEndpoints.commands(agent)) { server in
      let client = try await RawClient.connect(port: server.port)
      try await client.send("GET /v1/flows?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
      while agent.flows.waitingReaders == 0 { await Task.yield() }
      agent.flows.publish([FakeAgent.record("a/after")])
      #expect(try await client.until { $0.contains("a/after") })
      #expect(!client.text.contains("a/before"))
      try await client.channel.close().get()
      while agent.flows.waitingReaders > 0 { await Task.yield() }
      while await server.openConnections() > 0 { await Task.yield() }
    }
  }

  @Test("flows: a slow follower holds nobody up and learns how many it missed", .timeLimit(.minutes(1)))
  func slowFollower() async throws {
    let agent = FakeAgent()
    try await self.serve(AgentEndpoints.commands(agent)) { server in
      let client = try await RawClient.connect(port: server.port, reading: false)
      try await client.send("GET /v1/flows?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
      while agent.flows.waitingReaders == 0 { await Task.yield() }
      // Far more than ring, socket buffers and one batch hold together.
      for _ in 0..<1000 { agent.flows.publish((0..<100).map { _ in FakeAgent.record("a/b") }) }
      try await client.resume()
      #expect(try await client.until { $0.contains("{\"missed\":") && $0.contains("\"number\":100000,") })
      try await client.channel.close().get()
    }
  }

  @Test("a Unix socket belongs to its owner alone, replaces a stale one, and refuses to replace a file")
  func unixSocket() async throws {
    let path = "/tmp/mt-endpoints-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    defer { unlink(path) }
    let route = AgentEndpoints.commands(FakeAgent())
    for _ in 0..<2 {
      let server = try await ReportServer.start(
        .unix(path: path), on: MultiThreadedEventLoopGroup.singleton, route: route)
      var info = stat()
      #expect(stat(path, &info) == 0)
      #expect(info.st_mode & 0o7777 == 0o600)
      #expect(try await RawClient.get("/v1/status", port: nil, path: path).hasPrefix("HTTP/1.1 200"))
      await server.stop()
    }
    unlink(path)
    let file = open(path, O_CREAT | O_WRONLY, 0o600)
    close(file)
    let error = await #expect(throws: MeshError.self) {
      _ = try await ReportServer.start(.unix(path: path), on: MultiThreadedEventLoopGroup.singleton, route: route)
    }
    #expect(error?.code == .conflict)
  }
}
