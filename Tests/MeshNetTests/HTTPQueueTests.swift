import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshRouting
import MeshSnapshot
import Testing

/// Requests that wait because there may be no more connections.
@Suite(.serialized) struct HTTPQueueTests {
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  private static let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
  private static let get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

  private func traffic(_ edit: (inout TrafficSettings) -> Void) throws -> TrafficSettings {
    var traffic = TrafficSettings(origin: try #require(ResourceName("a/policy")))
    traffic.limits.connections = 1
    edit(&traffic)
    return traffic
  }

  private func isOverloaded(_ head: String) -> Bool {
    head.hasPrefix("HTTP/1.1 503 ") && head.contains("x-martlet-overloaded: true\r\n")
  }

  private func isRest(_ record: UpstreamRecord) -> Bool {
    !record.isWaitedFor && record.open(.pendingRequests) == 0 && record.open(.requests) == 0
  }

  @Test("who comes beyond the limit waits and has the connection next; beyond the queue it is told so")
  func queue() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { $0.limits.pendingRequests = 1 })
    let record = try #require(bench.record)
    let (first, second, third) = (bench.dial(), bench.dial(), bench.dial())
    first.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    second.send(Self.get)
    _ = try await bench.counters { _ in record.isWaitedFor }
    third.send(Self.get)
    #expect(self.isOverloaded(third.readHead()))
    #expect(second.isSilent && bench.isUndialled())
    server.send(Self.well)
    #expect(first.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(server.readHead().hasPrefix("GET "))
    server.send(Self.well)
    #expect(second.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(self.isRest(record) && record.overflows(.pendingRequests) == 1 && record.overflows(.connections) == 0)
    #expect(record.open(.connections) == 1)
    await bench.end()
  }

  @Test("when the connection ends, who waits dials the next one")
  func dials() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { _ in })
    let record = try #require(bench.record)
    let (first, second) = (bench.dial(), bench.dial())
    first.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    second.send(Self.get)
    _ = try await bench.counters { _ in record.isWaitedFor }
    server.send(Self.last)
    #expect(first.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    let next = bench.accept()
    _ = next.readHead()
    next.send(Self.well)
    #expect(second.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(self.isRest(record) && record.open(.connections) == 1)
    await bench.end()
  }

  @Test("a connection at rest that is of no use to who waits makes room for it")
  func makesRoom() async throws {
    let bench = try await HTTPBench(
      backends: 2, traffic: try self.traffic { $0.balancer = .roundRobin }, isOne: true)
    let record = try #require(bench.record)
    let client = bench.dial()
    var served: [Int] = []
    var kept: [HTTPBench.Peer] = []
    for _ in 0..<4 {
      client.send(Self.get)
      let backend = try #require(self.dialled(bench))
      let server = bench.accept(backend)
      _ = server.readHead()
      server.send(Self.well)
      #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
      served.append(backend)
      kept.append(server)
    }
    #expect(Set(served.prefix(2)).count == 2 && Set(served.suffix(2)).count == 2)
    #expect(record.open(.connections) == 1 && self.isRest(record))
    await bench.end()
  }

  private func dialled(_ bench: HTTPBench) -> Int? {
    for _ in 0..<100 {
      if let backend = bench.backends.indices.first(where: { !bench.isUndialled($0) }) { return backend }
    }
    return nil
  }

  @Test(
    "a request waits no longer than it may take, and leaves nothing behind", arguments: ["rule", "connect", "gone"])
  func ends(_ how: String) async throws {
    var rules: [HTTPRule]?
    let bench = try await HTTPBench(traffic: try self.traffic { _ in }, connectTimeout: 300)
    if how == "rule" {
      var rule = try bench.rule("/", to: [0])
      rule.requestTimeoutMilliseconds = 150
      rules = [rule]
    }
    let record = try #require(bench.record)
    let (first, second) = (bench.dial(), bench.dial())
    first.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    if rules != nil { try await bench.use(rules) }
    second.send(Self.get)
    switch how {
    case "rule": #expect(second.read(through: "request_timeout\n").hasPrefix("HTTP/1.1 504"))
    case "connect":
      #expect(self.isOverloaded(second.readHead()))
      #expect(record.overflows(.connections) == 1)
    default:
      _ = try await bench.counters { _ in record.isWaitedFor }
      second.reset()
    }
    _ = try await bench.counters { _ in !record.isWaitedFor && record.open(.pendingRequests) == 0 }
    #expect(!record.isWaitedFor && record.open(.requests) == 1)
    server.send(Self.well)
    #expect(first.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    #expect(self.isRest(record))
    await bench.end()
  }

  @Test("requests to an upstream of HTTP/2 wait for a stream")
  func streams() async throws {
    let bench = try await HTTPBench(
      appProtocol: .http2, traffic: try self.traffic { $0.pool = PoolSettings(streamsPerConnection: 1) })
    let record = try #require(bench.record)
    let (first, second) = (bench.dial(), bench.dial())
    first.send(Self.get)
    let server = HTTP2Peer(bench.accept(), .server)
    let one = server.request()
    second.send(Self.get)
    _ = try await bench.counters { _ in record.isWaitedFor }
    #expect(second.isSilent && bench.isUndialled())
    server.answer(one, "one")
    #expect(first.read(through: "one").hasPrefix("HTTP/1.1 200"))
    let two = server.request(2)
    server.answer(two, "two")
    #expect(second.read(through: "two").hasPrefix("HTTP/1.1 200"))
    _ = try await bench.counters { _ in self.isRest(record) }
    #expect(self.isRest(record) && record.open(.connections) == 1)
    await bench.end()
  }

  @Test("with two loops and one connection everybody is served", .timeLimit(.minutes(1)))
  func loops() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { _ in }, loops: 2)
    let record = try #require(bench.record)
    let backend = bench.backends[0]
    // One after the other: there is only one connection at a time.
    let serving = Thread {
      while true {
        let descriptor = accept(backend, nil, nil)
        guard descriptor >= 0 else { return }
        let peer = HTTPBench.Peer(descriptor)
        while !peer.readHead().isEmpty { peer.send(Self.well) }
      }
    }
    let clients = (0..<40).map { _ in bench.dial() }
    var answered = 0
    for _ in 0..<5 {
      for client in clients { client.send(Self.get) }
      for client in clients {
        let head = client.readHead()
        #expect(head.hasPrefix("HTTP/1.1 200"), "\(head)")
        answered += client.read(2) == Array("ok".utf8) ? 1 : 0
      }
    }
    #expect(answered == 200)
    #expect(self.isRest(record) && record.open(.connections) <= 1)
    await bench.relay.stop()
    shutdown(backend, CInt(SHUT_RDWR))
    serving.join()
    await bench.end()
  }

  /// A thread of its own, for calls that block.
  private final class Thread {
    private var thread = pthread_t()
    private final class Body: Sendable {
      let run: @Sendable () -> Void
      init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) {
      pthread_create(
        &self.thread, nil,
        { raw in
          if let raw { Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run() }
          return nil
        }, Unmanaged.passRetained(Body(run)).toOpaque())
    }

    func join() { pthread_join(self.thread, nil) }
  }
}
