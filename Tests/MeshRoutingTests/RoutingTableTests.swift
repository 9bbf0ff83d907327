import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

/// The same numbers every time.
struct Steps: RandomNumberGenerator {
  var state: UInt64 = 1
  mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    var z = self.state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    return z ^ (z >> 27)
  }
}

func name(_ text: String) throws -> ResourceName { try #require(ResourceName(text)) }

func endpoint(_ text: String) throws -> SocketEndpoint { try #require(SocketEndpoint(text)) }

/// A snapshot of services on 240.0.0.1, 240.0.0.2, …, port 80, each with its own endpoints.
struct World {
  var snapshot = Snapshot()
  private var versions: UInt64 = 0

  mutating func insert(_ entry: Entry) {
    self.versions += 1
    self.snapshot.insert(VersionedEntry(entry, version: ContentVersion(value: self.versions)))
  }

  mutating func service(_ service: String, at address: String, backends: [Backend]) throws {
    let port = ServicePort(port: 80, appProtocol: .http, backends: backends)
    self.insert(
      .service(
        ServiceEntry(name: try name(service), addresses: [try #require(IPAddress(address))], ports: [port])))
  }

  /// On port 80; the rules decide.
  mutating func service(
    _ service: String, at address: String, appProtocol: AppProtocol = .http, rules: [HTTPRule]?
  ) throws {
    let port = ServicePort(
      port: 80, appProtocol: appProtocol, backends: [Backend(service: try name(service), port: 80)],
      routing: rules.map { HTTPRouting(rules: $0) })
    self.insert(
      .service(
        ServiceEntry(name: try name(service), addresses: [try #require(IPAddress(address))], ports: [port])))
  }

  mutating func endpoints(_ service: String, _ endpoints: [Endpoint]) throws {
    self.insert(.endpoints(EndpointsEntry(service: try name(service), endpoints: endpoints)))
  }

  mutating func workload(_ workload: String, addresses: [String]) throws {
    let identity = try #require(SPIFFEID("spiffe://mesh/ns/a/sa/b"))
    self.insert(
      .workload(
        WorkloadEntry(
          name: try name(workload), node: "n", identity: identity, addresses: addresses.compactMap { IPAddress($0) })))
  }
}

@Suite struct RoutingTableTests {
  let mapping = [PortMapping(servicePort: 80, targetPort: 8080)]

  private func counts(
    _ table: RoutingTable, _ original: String, picks: Int = 10_000
  ) throws -> [RoutingTable.Pick: Int] {
    var random = Steps()
    var counts: [RoutingTable.Pick: Int] = [:]
    for _ in 0..<picks { counts[table.pick(to: try endpoint(original), using: &random), default: 0] += 1 }
    return counts
  }

  @Test("an endpoint is found by address and port, with the workload's address and the target port")
  func finds() throws {
    var world = World()
    try world.service("a/web", at: "240.0.0.1", backends: [Backend(service: try name("a/web"), port: 80)])
    try world.workload("a/web-1", addresses: ["10.0.0.7"])
    try world.endpoints("a/web", [Endpoint(workload: try name("a/web-1"), ports: self.mapping)])
    let table = RoutingTable(world.snapshot)
    let choice = RoutingTable.Choice(target: try endpoint("10.0.0.7:8080"), workload: try name("a/web-1"))
    #expect(try self.counts(table, "240.0.0.1:80", picks: 10) == [.endpoint(choice): 10])
    #expect(try self.counts(table, "240.0.0.1:81", picks: 10) == [.refused(.noServicePort): 10])
    #expect(try self.counts(table, "10.0.0.7:8080", picks: 10) == [.refused(.noServicePort): 10])
    #expect(table.count == 1)
  }

  @Test(
    "weights hold over backends, then over endpoints; weight 0 receives nothing; an invalid backend refuses its share")
  func weights() throws {
    var world = World()
    try world.service(
      "a/web", at: "240.0.0.1",
      backends: [
        Backend(service: try name("a/one"), port: 80, weight: 60),
        Backend(service: try name("a/two"), port: 80, weight: 20),
        Backend(service: try name("a/gone"), port: 80, weight: 20, isValid: false),
        Backend(service: try name("a/off"), port: 80, weight: 0),
      ])
    let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].compactMap { IPAddress($0) }
    try world.endpoints(
      "a/one",
      [
        Endpoint(addresses: [addresses[0]], weight: 3, ports: self.mapping),
        Endpoint(addresses: [addresses[1]], weight: 1, ports: self.mapping),
      ])
    try world.endpoints("a/two", [Endpoint(addresses: [addresses[2]], ports: self.mapping)])
    try world.endpoints("a/off", [Endpoint(addresses: [addresses[3]], ports: self.mapping)])
    let counts = try self.counts(RoutingTable(world.snapshot), "240.0.0.1:80")
    func count(_ address: Int) -> Int {
      counts[.endpoint(.init(target: SocketEndpoint(addresses[address], 8080), workload: nil))] ?? 0
    }
    #expect((4300...4700).contains(count(0)))
    #expect((1350...1650).contains(count(1)))
    #expect((1850...2150).contains(count(2)))
    #expect(count(3) == 0)
    #expect((1850...2150).contains(counts[.refused(.invalidBackend)] ?? 0))
  }

  @Test("endpoints that are not ready, weigh nothing, serve another port, have no address or a mesh port are none")
  func noEndpoint() throws {
    let address = try #require(IPAddress("10.0.0.1"))
    for bad in [
      Endpoint(addresses: [address], isReady: false, ports: self.mapping),
      Endpoint(addresses: [address], weight: 0, ports: self.mapping),
      Endpoint(addresses: [address], ports: [PortMapping(servicePort: 81, targetPort: 8080)]),
      Endpoint(workload: try name("a/unknown"), ports: self.mapping),
      Endpoint(addresses: [address], ports: [PortMapping(servicePort: 80, targetPort: MeshPort.outbound)]),
    ] {
      var world = World()
      try world.service("a/web", at: "240.0.0.1", backends: [Backend(service: try name("a/web"), port: 80)])
      try world.endpoints("a/web", [bad])
      #expect(try self.counts(RoutingTable(world.snapshot), "240.0.0.1:80", picks: 10) == [.refused(.noEndpoint): 10])
    }
  }

  @Test("a client of one family gets endpoints of that family if there is one, else of the other")
  func families() throws {
    var world = World()
    let backend = Backend(service: try name("a/web"), port: 80)
    try world.service("a/web", at: "240.0.0.1", backends: [backend])
    try world.service("a/web6", at: "fd00::1", backends: [backend])
    let v4 = try #require(IPAddress("10.0.0.1"))
    let v6 = try #require(IPAddress("fd00::a"))
    func targets(_ table: RoutingTable, _ original: String) throws -> Set<SocketEndpoint> {
      var found: Set<SocketEndpoint> = []
      for case .endpoint(let choice) in try self.counts(table, original, picks: 100).keys {
        found.insert(choice.target)
      }
      return found
    }
    try world.endpoints(
      "a/web", [Endpoint(addresses: [v4, v6], ports: self.mapping), Endpoint(addresses: [v6], ports: self.mapping)])
    var table = RoutingTable(world.snapshot)
    #expect(try targets(table, "240.0.0.1:80") == [SocketEndpoint(v4, 8080)])
    #expect(try targets(table, "[fd00::1]:80") == [SocketEndpoint(v6, 8080)])
    try world.endpoints("a/web", [Endpoint(addresses: [v6], ports: self.mapping)])
    table = RoutingTable(world.snapshot)
    #expect(try targets(table, "240.0.0.1:80") == [SocketEndpoint(v6, 8080)])
  }

  @Test(
    "a request's backend and mirror lead to their endpoints; nothing ready, and what the endpoints speak, are known")
  func requests() throws {
    var world = World()
    let mirror = HTTPMirror(
      backend: HTTPBackend(service: try name("a/two"), port: 80), numerator: 1, denominator: 1)
    let broken = HTTPMirror(
      backend: HTTPBackend(service: try name("a/two"), port: 80, isValid: false), numerator: 1, denominator: 1)
    try world.service(
      "a/web", at: "240.0.0.1",
      rules: [
        try rule(
          "r", filters: [.mirror(mirror), .mirror(broken)],
          backends: [
            HTTPBackend(service: try name("a/one"), port: 80), HTTPBackend(service: try name("a/none"), port: 80),
          ])
      ])
    try world.service("a/two", at: "240.0.0.2", appProtocol: .http2, rules: nil)
    let addresses = ["10.0.0.1", "10.0.0.2"].compactMap { IPAddress($0) }
    try world.endpoints("a/one", [Endpoint(addresses: [addresses[0]], ports: self.mapping)])
    try world.endpoints("a/two", [Endpoint(addresses: [addresses[1]], ports: self.mapping)])
    let table = RoutingTable(world.snapshot)
    let route = try #require(table.route(to: try endpoint("240.0.0.1:80")))
    #expect(route.appProtocol == .http)
    let http = try #require(route.http?.table(forClientsIn: nil))
    let action = http.actions[try #require(HTTPRequest().match(http)).action]
    var random = Steps()
    func target(_ upstream: Int) -> (SocketEndpoint, AppProtocol)? {
      guard let share = table.share(of: upstream, at: route, isV4: true) else { return nil }
      return table.endpoint(in: share, except: [], using: &random).map { ($0.target, share.appProtocol) }
    }
    #expect(target(action.backends[0].upstream)?.0 == SocketEndpoint(addresses[0], 8080))
    #expect(target(action.backends[1].upstream) == nil)
    #expect(action.effects.mirrors.map { $0.upstream == nil } == [false, true])
    let mirrored = try #require(action.effects.mirrors[0].upstream.flatMap { target($0) })
    #expect(mirrored == (SocketEndpoint(addresses[1], 8080), .http2))
    #expect(table.share(of: 99, at: route, isV4: true) == nil && table.share(of: -1, at: route, isV4: true) == nil)
    let plain = try #require(table.route(to: try endpoint("240.0.0.2:80")))
    #expect(plain.http == nil)
    var attempts = ConnectAttempts(table: table, original: try endpoint("240.0.0.1:80"))
    let share = try #require(table.share(of: action.backends[0].upstream, at: route, isV4: true))
    let choice = RoutingTable.Choice(target: SocketEndpoint(addresses[0], 8080), workload: nil)
    #expect(attempts.begin(in: share, now: 5, using: &random) == .dial(choice, deadline: 10_005))
    #expect(attempts.failed(now: 6, using: &random) == .refuse(.upstreamFailed))
  }

  @Test("rules of a service that did not change are not compiled again, and lead to the endpoints of the new snapshot")
  func keepsRules() throws {
    var world = World()
    let backend = HTTPBackend(service: try name("a/one"), port: 80)
    let bad = HTTPMatch(path: .regex("("))
    try world.service("a/web", at: "240.0.0.1", rules: [try rule("r", [bad], backends: [backend])])
    let first = RoutingTable(world.snapshot)
    #expect(first.unusable.count == 1)
    let address = try #require(IPAddress("10.0.0.1"))
    try world.endpoints("a/one", [Endpoint(addresses: [address], ports: self.mapping)])
    let second = RoutingTable(world.snapshot, previous: first)
    let route = try #require(second.route(to: try endpoint("240.0.0.1:80")))
    #expect(second.share(of: 0, at: route, isV4: true) != nil && second.unusable.count == 1)
    try world.service("a/web", at: "240.0.0.1", rules: [try rule("r", backends: [backend])])
    #expect(RoutingTable(world.snapshot, previous: second).unusable.isEmpty)
    try world.service("a/web", at: "240.0.0.1", rules: nil)
    let last = RoutingTable(world.snapshot, previous: second)
    #expect(last.route(to: try endpoint("240.0.0.1:80"))?.http == nil && last.unusable.isEmpty)
  }

  @Test("faults of a service that did not change are not compiled again")
  func keepsFaults() throws {
    var world = World()
    func insert(_ status: UInt16?) throws {
      let match = FieldMatch(name: "x-who", value: .regex("m.*"))
      let faults = status.map { [Fault(.abort(status: $0), share: 10_000, headers: [match])] } ?? []
      let port = ServicePort(
        port: 80, appProtocol: .http, backends: [Backend(service: try name("a/web"), port: 80)],
        traffic: TrafficSettings(origin: try name("a/policy"), faults: faults))
      world.insert(
        .service(
          ServiceEntry(name: try name("a/web"), addresses: [try #require(IPAddress("240.0.0.1"))], ports: [port])))
    }
    func faults(_ table: RoutingTable) throws -> HTTPFaults? {
      try #require(table.route(to: try endpoint("240.0.0.1:80"))).faults
    }
    try insert(503)
    let first = RoutingTable(world.snapshot)
    let found = try faults(first)
    let compiled = try #require(found)
    let address = try #require(IPAddress("10.0.0.1"))
    try world.endpoints("a/web", [Endpoint(addresses: [address], ports: self.mapping)])
    let second = RoutingTable(world.snapshot, previous: first)
    let kept = try faults(second)
    #expect(kept === compiled)
    try insert(500)
    let third = RoutingTable(world.snapshot, previous: second)
    let changed = try faults(third)
    #expect(changed != nil && changed !== compiled)
    try insert(nil)
    let none = try faults(RoutingTable(world.snapshot, previous: third))
    #expect(none == nil)
  }

  @Test("an empty snapshot refuses everything")
  func empty() throws {
    #expect(try self.counts(RoutingTable(Snapshot()), "240.0.0.1:80", picks: 1) == [.refused(.noServicePort): 1])
  }
}

extension RoutingTable.Pick: Hashable {
  public func hash(into hasher: inout Hasher) {
    switch self {
    case .endpoint(let choice): hasher.combine(choice)
    case .refused(let refusal): hasher.combine(refusal)
    }
  }
}
