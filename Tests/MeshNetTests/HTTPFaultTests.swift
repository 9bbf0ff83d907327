import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import MeshTelemetry
import Testing

/// Failures on purpose, end to end.
@Suite(.serialized) struct HTTPFaultTests {
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  private static let all: UInt16 = 10_000

  private func bench(
    _ faults: [Fault], appProtocol: AppProtocol = .http, _ edit: (inout HTTPRule) -> Void = { _ in }
  ) async throws -> HTTPBench {
    let traffic = TrafficSettings(origin: try #require(ResourceName("a/policy")), faults: faults)
    let bench = try await HTTPBench(appProtocol: appProtocol, traffic: traffic)
    var rule = try bench.rule("/", to: [0])
    edit(&rule)
    try await bench.use([rule])
    return bench
  }

  /// Of the one request that was made.
  private func flags(_ bench: HTTPBench) async throws -> ResponseFlags? {
    for _ in 0..<1000 {
      let counts = await bench.relay.takeRequests()
      if let count = counts.first { return count.series.flags }
      try await Task.sleep(for: .milliseconds(5))
    }
    return nil
  }

  @Test("a delay comes before anybody is dialled; then the request goes on, body and all, and says that it was held up")
  func delay() async throws {
    let bench = try await self.bench([Fault(.delay(milliseconds: 150), share: Self.all)])
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello")
    #expect(bench.isUndialled())
    let server = bench.accept()
    _ = server.readHead()
    #expect(server.read(5) == Array("hello".utf8))
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(try await self.flags(bench) == .delayInjected)
    let counters = await bench.relay.counters()
    #expect(counters.delayed == 1 && counters.aborted == 0 && counters.refused.isEmpty)
    await bench.end()
  }

  @Test("an abort is answered with its status, and nobody is dialled; requests without the field go on")
  func abort() async throws {
    let field = FieldMatch(name: "x-fail", value: .exact("yes"))
    let bench = try await self.bench([Fault(.abort(status: 418), share: Self.all, headers: [field])])
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\nX-Fail: yes\r\n\r\n")
    #expect(client.read(through: "fault_abort\n").hasPrefix("HTTP/1.1 418 "))
    #expect(bench.isUndialled())
    #expect(try await self.flags(bench) == .faultInjected)
    #expect(await bench.relay.counters().aborted == 1)
    client.send("GET / HTTP/1.1\r\nHost: web\r\nX-Fail: no\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    await bench.end()
  }

  @Test("a call of gRPC gets the code that belongs to the status", arguments: [false, true])
  func call(isDelayed: Bool) async throws {
    let delay = isDelayed ? [Fault(.delay(milliseconds: 60), share: Self.all)] : []
    let bench = try await self.bench([Fault(.abort(status: 503), share: Self.all)] + delay, appProtocol: .grpc)
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("POST", "/a.B/C", [("content-type", "application/grpc"), ("te", "trailers")], ends: true)
    let answer = client.message(id)
    #expect(answer.status == 200 && answer["grpc-status"] == "14" && answer["grpc-message"] == "fault_abort")
    #expect(try await self.flags(bench) == (isDelayed ? [.delayInjected, .faultInjected] : .faultInjected))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("the request's own time goes on while it is held up")
  func timeout() async throws {
    let bench = try await self.bench([Fault(.delay(milliseconds: 60_000), share: Self.all)]) {
      $0.requestTimeoutMilliseconds = 60
    }
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "request_timeout\n").hasPrefix("HTTP/1.1 504"))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("a client that goes meanwhile takes its request along", arguments: [false, true])
  func gone(onStream: Bool) async throws {
    let bench = try await self.bench([Fault(.delay(milliseconds: 60_000), share: Self.all)])
    if onStream {
      let client = HTTP2Peer(bench.dial(), .client)
      let id = client.open("GET", "/", ends: true)
      _ = try await bench.counters { $0.delayed == 1 }
      client.reset(id, .cancel)
    } else {
      let client = bench.dial()
      client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      _ = try await bench.counters { $0.delayed == 1 }
      client.reset()
    }
    #expect(try await self.flags(bench) == [.delayInjected, .downstreamConnectionTermination])
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("the first attempt goes by the table that holds when the delay is over")
  func changed() async throws {
    let bench = try await self.bench([Fault(.delay(milliseconds: 200), share: Self.all)])
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = try await bench.counters { $0.delayed == 1 }
    try await bench.use([try bench.rule("/", to: [0])], without: [0])
    #expect(client.read(through: "no_endpoint\n").hasPrefix("HTTP/1.1 503"))
    #expect(bench.isUndialled())
    await bench.end()
  }
}
