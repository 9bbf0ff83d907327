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
