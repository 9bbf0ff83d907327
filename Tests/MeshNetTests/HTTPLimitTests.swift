import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshRouting
import MeshSnapshot
import Testing

/// Limits, budgets and balancing of a TrafficPolicy, end to end.
@Suite(.serialized) struct HTTPLimitTests {
  private static let well = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  private static let unwell = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick"
  private static let get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

  private func traffic(_ edit: (inout TrafficSettings) -> Void) throws -> TrafficSettings {
    var traffic = TrafficSettings(origin: try #require(ResourceName("a/policy")))
    edit(&traffic)
    return traffic
  }

  private func isOverloaded(_ head: String) -> Bool {
    head.hasPrefix("HTTP/1.1 503 ") && head.contains("x-martlet-overloaded: true\r\n")
  }

  // MARK: limits

  @Test("a request beyond the limit is told that it is, and the next one passes when there is room again")
  func requests() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { $0.limits.requests = 1 })
    let (first, second) = (bench.dial(), bench.dial())
    first.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    #expect(bench.record?.open(.requests) == 1)
    second.send(Self.get)
    #expect(self.isOverloaded(second.readHead()))
    #expect(second.read(through: "\n") == "upstream_overflow\n")
    server.send(Self.well)
    #expect(first.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    second.send(Self.get)
    _ = server.readHead()
    server.send(Self.well)
    #expect(second.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    let counters = await bench.relay.counters()
    #expect(counters.refused == ["upstream_overflow": 1])
    #expect(bench.record?.open(.requests) == 0 && bench.record?.overflows(.requests) == 1)
    await bench.end()
  }

  @Test("however a request ends, it is counted no more", arguments: ["reset", "cut", "timeout", "stream"])
  func leaks(_ how: String) async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { $0.retries.perTryMilliseconds = 60 })
    let record = try #require(bench.record)
    switch how {
    case "stream":
      let client = HTTP2Peer(bench.dial(), .client)
      let id = client.open("GET", "/", ends: true)
      _ = bench.accept().readHead()
      client.reset(id, .cancel)
      _ = try await bench.counters { _ in record.open(.requests) == 0 }
    case "reset":
      let client = bench.dial()
      client.send(Self.get)
      _ = bench.accept().readHead()
      client.reset()
    case "cut":
      let client = bench.dial()
      client.send(Self.get)
      let server = bench.accept()
      _ = server.readHead()
      server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
      _ = client.read(through: "hal")
      server.reset()
      _ = client.readAll()
    default:
      let client = bench.dial()
      client.send(Self.get)
      let server = bench.accept()
      #expect(client.read(through: "backend_timeout\n").hasPrefix("HTTP/1.1 504"))
      withExtendedLifetime(server) {}
    }
    _ = try await bench.counters { _ in record.open(.requests) == 0 && record.open(.connections) == 0 }
    #expect(UpstreamRecord.Resource.allCases.allSatisfy { record.open($0) == 0 })
    await bench.end()
  }

  @Test("where no request may wait for a connection, none is dialled")
  func noneMayWait() async throws {
    let bench = try await HTTPBench(traffic: try self.traffic { $0.limits.pendingRequests = 0 })
    let client = bench.dial()
    client.send(Self.get)
    #expect(self.isOverloaded(client.readHead()))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("a call of gRPC is told so in its own terms")
  func call() async throws {
    let bench = try await HTTPBench(appProtocol: .grpc, traffic: try self.traffic { $0.limits.requests = 0 })
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open("POST", "/a.B/C", [("content-type", "application/grpc"), ("te", "trailers")], ends: true)
    let answer = client.message(id)
    #expect(answer["grpc-status"] == "14" && answer["x-martlet-overloaded"] == "true")
    #expect(bench.isUndialled())
    await bench.end()
  }

  // MARK: retries

  @Test("a policy's rule repeats where no route says anything; a route's own wins")
  func rule() async throws {
    let rule = HTTPRetry(codes: [503], attempts: 1, backoffMilliseconds: 5)
    let bench = try await HTTPBench(traffic: try self.traffic { $0.retries.rule = rule })
    let client = bench.dial()
    client.send(Self.get)
    for answer in [Self.unwell, Self.well] {
      let server = bench.accept()
      _ = server.readHead()
      server.send(answer)
    }
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    var own = try bench.rule("/", to: [0])
    own.retry = HTTPRetry(codes: [500], attempts: 1, backoffMilliseconds: 5)
    try await bench.use([own])
    let other = bench.dial()
    other.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.unwell)
    #expect(other.read(through: "\r\n\r\nsick").hasPrefix("HTTP/1.1 503"))
    #expect(await bench.relay.counters().retries == 1)
    await bench.end()
  }

  @Test("what the budget, or the limit of retries, does not pay for stands as it was", arguments: [false, true])
  func budget(byLimit: Bool) async throws {
    let bench = try await HTTPBench(
      traffic: try self.traffic {
        $0.retries.rule = HTTPRetry(codes: [503], attempts: 3, backoffMilliseconds: 5)
        if byLimit { $0.limits.retries = 0 } else { $0.retries.budget = .init(percent: 0, perSecond: 0) }
      })
    let client = bench.dial()
    client.send(Self.get)
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.unwell)
    #expect(client.read(through: "\r\n\r\nsick").hasPrefix("HTTP/1.1 503"))
    client.send(Self.get)
    _ = server.readHead()
    server.reset()
    // The pooled connection may have been closed meanwhile: that is no repetition that anybody pays for.
    let fresh = bench.accept()
    _ = fresh.readHead()
    fresh.reset()
    #expect(client.read(through: "upstream_closed\n").hasPrefix("HTTP/1.1 502"))
    #expect(await bench.relay.counters().retries == 0)
    let record = try #require(bench.record)
    #expect(byLimit ? record.overflows(.retries) == 2 : record.retriesOverBudget == 2)
    await bench.end()
  }

  @Test("a request that is not idempotent is repeated if the policy says so, with no more of its body than it says")
  func repeatsAll() async throws {
    let bench = try await HTTPBench(
      traffic: try self.traffic {
        $0.retries.rule = HTTPRetry(codes: [], attempts: 1, backoffMilliseconds: 5)
        $0.retries.repeatsAll = true
        $0.retries.bodyBytes = 4
      })
    for (body, isRepeated) in [("abcd", true), ("abcde", false)] {
      let client = bench.dial()
      client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
      let first = bench.accept()
      _ = first.readHead()
      #expect(first.read(body.utf8.count) == Array(body.utf8))
      first.reset()
      guard isRepeated else {
        #expect(client.read(through: "upstream_closed\n").hasPrefix("HTTP/1.1 502"))
        continue
      }
      let second = bench.accept()
      _ = second.readHead()
      #expect(second.read(body.utf8.count) == Array(body.utf8))
      second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
      #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    }
    await bench.end()
  }

  @Test("an attempt has as long as the policy says")
  func perTry() async throws {
    let bench = try await HTTPBench(
      traffic: try self.traffic {
        $0.retries.rule = HTTPRetry(codes: [], attempts: 1, backoffMilliseconds: 5)
        $0.retries.perTryMilliseconds = 80
      })
    let client = bench.dial()
    client.send(Self.get)
    let slow = bench.accept()
    _ = slow.readHead()
    let server = bench.accept()
    _ = server.readHead()
    server.send(Self.well)
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    withExtendedLifetime(slow) {}
    await bench.end()
  }

  // MARK: balancing and health

  @Test("requests take turns; the same key goes to the same endpoint", arguments: [false, true])
  func balancing(byKey: Bool) async throws {
    let bench = try await HTTPBench(
      backends: 3,
      traffic: try self.traffic { $0.balancer = byKey ? .maglev([.header("x-user")]) : .roundRobin }, isOne: true)
    var served: [Int] = []
    for number in 0..<6 {
      let client = bench.dial()
      client.send("GET /\(number) HTTP/1.1\r\nHost: web\r\nX-User: me\r\nConnection: close\r\n\r\n")
      let backend = try #require(self.dialled(bench))
      let server = bench.accept(backend)
      #expect(server.readHead().hasPrefix("GET /\(number) "))
      server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
      _ = client.readAll()
      served.append(backend)
    }
    #expect(byKey ? Set(served).count == 1 : Set(served.prefix(3)).count == 3 && Set(served.suffix(3)).count == 3)
    await bench.end()
  }

  /// The backend that has a connection waiting.
  private func dialled(_ bench: HTTPBench) -> Int? {
    var polls = bench.backends.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    guard poll(&polls, nfds_t(polls.count), 10_000) > 0 else { return nil }
    return polls.firstIndex { $0.revents != 0 }
  }

  @Test("an endpoint that fails in a row is left out", arguments: ["answers", "resets", "refuses"])
  func outliers(_ how: String) async throws {
    let bench = try await HTTPBench(
      backends: 2,
      traffic: try self.traffic {
        $0.balancer = .roundRobin
        $0.outliers = OutlierDetection(consecutiveErrors: 2, maximumEjectionPercent: 50)
        $0.panicThreshold = 0
      }, isOne: true)
    let sick = bench.backends[0]
    if how == "refuses" { close(sick) }
    let listeners = how == "refuses" ? [1] : [0, 1]
    var wasSick = 0
    for _ in 0..<10 {
      let client = bench.dial()
      client.send("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
      var polls = listeners.map { pollfd(fd: bench.backends[$0], events: Int16(POLLIN), revents: 0) }
      #expect(poll(&polls, nfds_t(polls.count), 10_000) > 0)
      let backend = listeners[try #require(polls.firstIndex { $0.revents != 0 })]
      let server = bench.accept(backend)
      _ = server.readHead()
      if backend == 0 { wasSick += 1 }
      if backend == 0, how == "resets" {
        server.reset()
      } else {
        let status = backend == 0 ? "500 No" : "200 OK"
        server.send("HTTP/1.1 \(status)\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
      }
      _ = client.readAll()
    }
    #expect(wasSick == (how == "refuses" ? 0 : 2))
    #expect(bench.record?.ejections.values.reduce(0, +) == 1)
    if how == "refuses" { close(bench.backends[1]) } else { for backend in bench.backends { close(backend) } }
    await bench.relay.stop()
  }
}
