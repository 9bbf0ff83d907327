import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite struct ConnectAttemptsTests {
  private func table(endpoints count: Int) throws -> RoutingTable {
    var world = World()
    world.insert(.config(ConfigEntry(trustDomain: "mesh", connectTimeoutMilliseconds: 1000)))
    try world.service("a/web", at: "240.0.0.1", backends: [Backend(service: try name("a/web"), port: 80)])
    try world.endpoints(
      "a/web",
      (1...count).map {
        Endpoint(
          addresses: [IPAddress(v4: 0x0a00_0000 | UInt32($0))], ports: [PortMapping(servicePort: 80, targetPort: 8080)])
      })
    return RoutingTable(world.snapshot)
  }

  @Test("three endpoints are tried, none twice, then the connection is refused")
  func threeAttempts() throws {
    var random = Steps()
    var attempts = ConnectAttempts(table: try self.table(endpoints: 5), original: try endpoint("240.0.0.1:80"))
    var action = attempts.begin(now: 100, using: &random)
    var tried: Set<SocketEndpoint> = []
    for expected in 1...3 {
      guard case .dial(let choice, let deadline) = action else {
        Issue.record("\(action)")
        return
      }
      #expect(deadline == 1100)
      #expect(tried.insert(choice.target).inserted)
      #expect(attempts.count == expected)
      action = attempts.failed(now: 200, using: &random)
    }
    #expect(action == .refuse(.upstreamFailed))
  }

  @Test("with fewer endpoints than attempts it ends when all were tried")
  func fewEndpoints() throws {
    var random = Steps()
    var attempts = ConnectAttempts(table: try self.table(endpoints: 1), original: try endpoint("240.0.0.1:80"))
    guard case .dial = attempts.begin(now: 0, using: &random) else {
      Issue.record("no dial")
      return
    }
    #expect(attempts.failed(now: 1, using: &random) == .refuse(.upstreamFailed))
    _ = attempts.begin(now: 0, using: &random)
    #expect(attempts.failed(as: .noLocalPort, now: 1, using: &random) == .refuse(.noLocalPort))
  }

  @Test("after the connect timeout no other endpoint is tried")
  func timeout() throws {
    var random = Steps()
    var attempts = ConnectAttempts(table: try self.table(endpoints: 5), original: try endpoint("240.0.0.1:80"))
    _ = attempts.begin(now: 0, using: &random)
    #expect(attempts.failed(now: 1000, using: &random) == .refuse(.connectTimeout))
  }

  @Test("without a table, and for an address that is no service's, it refuses at once")
  func refusals() throws {
    var random = Steps()
    var none = ConnectAttempts(table: nil, original: try endpoint("240.0.0.1:80"))
    #expect(none.begin(now: 0, using: &random) == .refuse(.notReady))
    var other = ConnectAttempts(table: try self.table(endpoints: 1), original: try endpoint("240.0.0.1:81"))
    #expect(other.begin(now: 0, using: &random) == .refuse(.noServicePort))
  }

  @Test("what the kernel chose is dialled, and nothing else")
  func chosen() throws {
    var random = Steps()
    let choice = RoutingTable.Choice(target: try endpoint("10.89.0.2:9000"), workload: nil)
    var attempts = ConnectAttempts(
      table: try self.table(endpoints: 5), original: try endpoint("240.0.0.1:80"), chosen: choice)
    #expect(attempts.begin(now: 0, using: &random) == .dial(choice, deadline: 1000))
    #expect(attempts.count == 1)
    #expect(attempts.failed(now: 1, using: &random) == .refuse(.upstreamFailed))
  }

  @Test("an endpoint of another node is not dialled, though a local one has its address; others are")
  func namesake() throws {
    var random = Steps()
    func table(_ endpoints: [(String, Bool)]) throws -> RoutingTable {
      var world = World()
      try world.service("a/web", at: "240.0.0.1", backends: [Backend(service: try name("a/web"), port: 80)])
      try world.endpoints(
        "a/web",
        endpoints.map {
          Endpoint(
            workload: try name("a/" + $0.0), addresses: [IPAddress(v4: 0x0a00_0001)],
            ports: [PortMapping(servicePort: 80, targetPort: 8080)], needsTunnel: $0.1)
        })
      return RoutingTable(world.snapshot)
    }
    let original = try endpoint("240.0.0.1:80")
    var alone = ConnectAttempts(table: try table([("far", true)]), original: original)
    #expect(alone.begin(now: 0, using: &random) == .refuse(.noTunnel))
    for _ in 0..<20 {
      var both = ConnectAttempts(table: try table([("far", true), ("near", false)]), original: original)
      guard case .dial(let choice, _) = both.begin(now: 0, using: &random) else {
        Issue.record("no dial")
        return
      }
      #expect(choice.workload == (try name("a/near")))
    }
  }

  /// The targets of so many attempts at a request, each of which fails after it was connected.
  private func rounds(_ count: Int, endpoints: Int) throws -> [SocketEndpoint] {
    var random = Steps()
    let table = try self.table(endpoints: endpoints)
    let original = try endpoint("240.0.0.1:80")
    let share = try table.share(to: original, using: &random).get()
    var attempts = ConnectAttempts(table: table, original: original)
    var action = attempts.begin(in: share, now: 0, using: &random)
    var targets: [SocketEndpoint] = []
    for round in 1...count {
      guard case .dial(let choice, let deadline) = action else { break }
      #expect(deadline == UInt64(round - 1) * 10 + 1000)
      targets.append(choice.target)
      action = attempts.again(in: share, of: table, now: UInt64(round) * 10, using: &random)
    }
    return targets
  }

  @Test("another attempt at a request goes to another endpoint as long as there is one, then to any but the last")
  func rounds() throws {
    let targets = try self.rounds(12, endpoints: 4)
    #expect(targets.count == 12 && Set(targets.prefix(4)).count == 4)
    for (one, next) in zip(targets, targets.dropFirst()) { #expect(one != next) }
    #expect(try self.rounds(3, endpoints: 1).count == 3)
  }

  @Test("another attempt finds no endpoint any more, or no table")
  func noRound() throws {
    var random = Steps()
    let table = try self.table(endpoints: 2)
    var attempts = ConnectAttempts(table: table, original: try endpoint("240.0.0.1:80"))
    _ = attempts.begin(now: 0, using: &random)
    #expect(attempts.again(in: nil, of: table, now: 10, using: &random) == .refuse(.noEndpoint))
    #expect(attempts.again(in: nil, of: nil, now: 10, using: &random) == .refuse(.notReady))
  }
}
