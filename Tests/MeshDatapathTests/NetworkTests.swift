import CMeshABI
import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshDatapath

/// `near` and `web` are in one network of this host, `far` in another, `unit` in the host's namespace. `near` publishes ports.
@Suite("Networks of a host, published ports, namesakes")
struct NetworkTests {
  static let host: UInt64 = 77

  static func local(_ word: String, _ cookie: UInt64, _ text: String, _ segment: String?) -> LocalWorkload {
    var local = LocalWorkload(name: name(word), netnsCookie: cookie, addresses: [address(text)])
    local.segment = segment
    return local
  }

  func locals(nearAt near: String = "10.88.0.2", publishing: [PublishedPort]? = nil) throws -> [LocalWorkload] {
    var published = Self.local("near", 1, near, "podman0")
    published.publications =
      try publishing
      ?? ["10.77.0.1:8080", "127.0.0.1:8080"].map { PublishedPort(host: try self.endpoint($0), port: 9000) }
    return [
      published, Self.local("web", 2, "10.88.0.3", "podman0"), Self.local("far", 3, "10.89.0.2", "podman1"),
      LocalWorkload(name: name("unit"), netnsCookie: Self.host, addresses: [address("10.77.0.1")], cgroup: 501),
    ]
  }

  func snapshot(_ more: [Entry] = [], callers: [String] = ["web", "far", "unit", "near"]) -> Snapshot {
    var snapshot = Snapshot()
    func insert(_ entry: Entry) { snapshot.insert(VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))) }
    insert(.config(ConfigEntry(trustDomain: "mesh.local", vipRangeV4: IPPrefix("240.0.0.0/8"))))
    for word in ["near", "web", "far", "unit"] {
      insert(
        .workload(
          WorkloadEntry(
            name: name(word), node: "here", identity: HostWorkloadTests.identity(word),
            location: word == "unit" ? .systemdUnit(name: "unit.service") : .container(.name(word)),
            policies: word == "near" ? [name("callers")] : [])))
    }
    insert(
      .policy(
        PolicyEntry(
          name: name("callers"), action: .allow,
          rules: [
            PolicyRule(from: [SourceMatch(principals: callers.map { .exact("mesh.local/ns/n/sa/\($0)") })])
          ])))
    insert(Self.service("near", "240.0.0.1"))
    insert(Self.endpoints("near", ["near"]))
    for entry in more { insert(entry) }
    return snapshot
  }

  static func service(_ word: String, _ at: String, port: UInt16 = 80) -> Entry {
    .service(
      ServiceEntry(
        name: name(word), addresses: [address(at)],
        ports: [ServicePort(port: port, backends: [Backend(service: name(word), port: port)])]))
  }

  static func endpoints(_ word: String, _ workloads: [String], port: UInt16 = 80) -> Entry {
    .endpoints(
      EndpointsEntry(
        service: name(word),
        endpoints: workloads.map {
          Endpoint(workload: name($0), ports: [PortMapping(servicePort: port, targetPort: 9000)])
        }))
  }

  private func endpoint(_ text: String) throws -> SocketEndpoint { try #require(SocketEndpoint(text)) }

  /// A mesh whose maps follow each plan, all of it.
  struct Planned {
    var planner = DatapathPlanner(.init(node: "here"))
    var maps = SimulatedMaps()
    var now = Duration.seconds(1)

    mutating func follow(_ snapshot: Snapshot, _ locals: [LocalWorkload]) {
      let plan = self.planner.plan(for: snapshot, locals: locals, now: self.now)
      for step in plan.steps { self.maps.apply(step) }
      self.maps.apply(plan.later)
      self.now += .seconds(2)
    }

    func connect(_ source: String, _ target: SocketEndpoint) throws -> [SimulatedDecision] {
      let local = try #require(self.planner.resolved.locals[name(source)])
      let says = self.maps.connect(cookie: local.netnsCookie, cgroups: local.cgroup.map { [$0] } ?? [], to: target)
      let explained = try self.planner.resolved.explain(source: .workload(name(source)), destination: .endpoint(target))
      #expect(Set(says) == DatapathPlannerTests().decisions(explained, self.planner), "\(explained.steps)")
      return says
    }
  }

  func planned(_ snapshot: Snapshot, _ locals: [LocalWorkload]) -> Planned {
    var planned = Planned()
    planned.maps.config.host_netns = Self.host
    planned.follow(snapshot, locals)
    return planned
  }

  /// Where the kernel leads the call to; nil if it does anything else with it.
  private func admitted(_ planned: Planned, _ source: String, _ target: SocketEndpoint) throws -> String? {
    let says = try planned.connect(source, target)
    guard says.count == 1, case .admit(let place, _)? = says.first else { return nil }
    return "\(place)"
  }

  @Test(
    "within a network, and from the host, the kernel decides; from another one the node proxy carries what is allowed")
  func networks() throws {
    let planned = self.planned(self.snapshot(), try self.locals())
    for target in ["240.0.0.1:80", "10.88.0.2:9000", "10.77.0.1:8080"] {
      let target = try self.endpoint(target)
      for source in ["web", "unit"] {
        #expect(try self.admitted(planned, source, target) == "10.88.0.2:9000", "\(source) to \(target)")
      }
      #expect(try planned.connect("far", target) == [.relay])
    }
    let denied = self.planned(self.snapshot(callers: ["web"]), try self.locals())
    #expect(try denied.connect("far", try self.endpoint("240.0.0.1:80")).map(\.reason) == [.notAllowed])
    let networks = Set(planned.maps.pods.values.map(\.network))
    #expect(networks.count == 2 && !networks.contains(0))
    #expect(planned.maps.units.values.map(\.network) == [0])
  }

  @Test("networks that workloads name are apart as well, on one bridge too")
  func named() throws {
    var entry = try #require(self.snapshot().workloads[name("web")]?.value)
    entry.network = "blue"
    let planned = self.planned(self.snapshot([.workload(entry)]), try self.locals())
    #expect(try planned.connect("web", try self.endpoint("240.0.0.1:80")) == [.relay])
  }

  @Test(
    "an agent without notes keeps the numbers that networks have in the maps: no row differs meanwhile"
  )
  func restored() throws {
    let old = self.planned(self.snapshot(), try self.locals())
    var present = PresentKeys()
    present.pods = Array(old.maps.pods.keys)
    present.networkNumbers = old.maps.pods.values.map(\.network)
    var next = DatapathPlanner(.init(node: "here"))
    next.adopt(present, now: .seconds(1))
    // Found in another order than the first time.
    for local in try self.locals().reversed() {
      guard let segment = local.segment, let row = old.maps.pods[local.netnsCookie] else { continue }
      let entry = try #require(self.snapshot().workloads[local.name]?.value)
      next.restore(network: entry.network, segment: segment, number: row.network)
    }
    _ = next.plan(for: self.snapshot(), locals: try self.locals(), now: .seconds(1))
    #expect(next.pods.mapValues(\.network) == old.maps.pods.mapValues(\.network))
  }

  @Test("numbers of networks that nobody is in any more are given back")
  func released() throws {
    var planned = self.planned(self.snapshot(), try self.locals())
    #expect(planned.planner.identifiers.count(.network) == 2)
    planned.follow(self.snapshot(), try self.locals().filter { $0.name != name("far") })
    #expect(planned.planner.identifiers.count(.network) == 1)
  }

  @Test("a call to oneself, by service or by one's own published port, stays where it is")
  func hairpin() throws {
    let planned = self.planned(self.snapshot(callers: ["web"]), try self.locals())
    for target in ["240.0.0.1:80", "10.77.0.1:8080"] {
      let says = try planned.connect("near", try self.endpoint(target))
      #expect(says == [.admit(try self.endpoint("10.88.0.2:9000"), policy: 0)], "\(target)")
    }
  }

  @Test("published ports: on loopback for the host's processes only, nothing else of the host's address is touched")
  func published() throws {
    let planned = self.planned(self.snapshot(), try self.locals())
    #expect(try self.admitted(planned, "unit", try self.endpoint("127.0.0.1:8080")) == "10.88.0.2:9000")
    #expect(try planned.connect("web", try self.endpoint("127.0.0.1:8080")) == [.pass])
    for source in ["web", "far", "unit"] {
      #expect(try planned.connect(source, try self.endpoint("10.77.0.1:22")) == [.pass])
    }
    #expect(planned.maps.services[ServiceKey(address("10.77.0.1"), 0)] == nil)
  }

  @Test("a container that comes back at another address, or not at all, is followed by its ports")
  func restarted() throws {
    var planned = self.planned(self.snapshot(), try self.locals())
    planned.follow(self.snapshot(), try self.locals(nearAt: "10.88.0.9"))
    let published = try self.endpoint("10.77.0.1:8080")
    #expect(try self.admitted(planned, "web", published) == "10.88.0.9:9000")
    #expect(planned.maps.unusedTables.isEmpty)
    // There and back faster than its old table is deleted.
    let plans = try ["10.88.0.2", "10.88.0.9"].map { text in
      planned.now += .seconds(1)
      let plan = planned.planner.plan(for: self.snapshot(), locals: try self.locals(nearAt: text), now: planned.now)
      for step in plan.steps { planned.maps.apply(step) }
      return plan
    }
    for plan in plans { planned.maps.apply(plan.later) }
    #expect(try self.admitted(planned, "web", published) == "10.88.0.9:9000")
    planned.follow(self.snapshot(), try self.locals().filter { $0.name != name("near") })
    #expect(try planned.connect("web", try self.endpoint("10.77.0.1:8080")) == [.pass])
    planned.follow(self.snapshot(), try self.locals(publishing: []))
    #expect(try planned.connect("web", try self.endpoint("10.77.0.1:8080")) == [.pass])
    #expect(planned.maps.unusedTables.isEmpty)
  }

  @Test("a Service has its address before a container publishes it, and gives it back when it goes")
  func collision() throws {
    let more = [Self.service("web", "10.77.0.1", port: 8080), Self.endpoints("web", ["web"], port: 8080)]
    var planned = self.planned(self.snapshot(more), try self.locals())
    func target() throws -> String? { try self.admitted(planned, "unit", try self.endpoint("10.77.0.1:8080")) }
    #expect(try target() == "10.88.0.3:9000")
    #expect(planned.planner.problems.contains { $0.message.contains("workload n/near, which publishes it") })
    planned.follow(self.snapshot(), try self.locals())
    #expect(try target() == "10.88.0.2:9000")
    planned.follow(self.snapshot(more), try self.locals())
    #expect(try target() == "10.88.0.3:9000")
  }

  @Test("a published port of a workload in quarantine, and one that leads to the mesh's own, are refused")
  func refused() throws {
    var locals = try self.locals()
    locals[0].isQuarantined = true
    let planned = self.planned(self.snapshot(), locals)
    #expect(try planned.connect("web", try self.endpoint("10.77.0.1:8080")) == [.refuse(.quarantined)])
    let own = self.planned(
      self.snapshot(),
      try self.locals(publishing: [PublishedPort(host: try self.endpoint("10.77.0.1:8080"), port: 15_008)]))
    #expect(try own.connect("web", try self.endpoint("10.77.0.1:8080")) == [.refuse(.meshPort)])
  }

  @Test("an agent that finds old rows of published ports deletes what nobody publishes")
  func adopted() throws {
    var planned = self.planned(self.snapshot(), try self.locals())
    planned.planner.adopt(planned.maps.presentKeys, now: planned.now)
    planned.follow(self.snapshot(), try self.locals(publishing: []))
    #expect(planned.maps.services.keys.allSatisfy { $0.address == address("240.0.0.1") })
    planned.planner.adopt(planned.maps.presentKeys, now: planned.now)
    planned.follow(self.snapshot(), try self.locals())
    #expect(try self.admitted(planned, "web", try self.endpoint("10.77.0.1:8080")) == "10.88.0.2:9000")
  }

  private func remote(_ word: String, _ text: String, network: String? = nil, node: String = "there") -> Entry {
    .workload(
      WorkloadEntry(
        name: name(word), node: node, identity: HostWorkloadTests.identity(word), addresses: [address(text)],
        network: network))
  }

  @Test("a workload of another node with a local one's address is never taken for it")
  func namesake() throws {
    let more = [
      self.remote("aaa", "10.88.0.2"), Self.service("aaa", "240.0.0.9"), Self.endpoints("aaa", ["aaa"]),
    ]
    let planned = self.planned(self.snapshot(more), try self.locals())
    #expect(try planned.connect("web", try self.endpoint("240.0.0.9:80")) == [.refuse(.noTunnel)])
    #expect(try self.admitted(planned, "web", try self.endpoint("10.88.0.2:9000")) == "10.88.0.2:9000")
    #expect(planned.planner.resolved.conflicts.isEmpty)
    let endpoint = try #require(planned.planner.resolved.snapshot.endpoints[name("aaa")]?.value.endpoints.first)
    #expect(endpoint.needsTunnel && endpoint.isReady)
  }

  @Test("of several elsewhere an address means the one in a network of this node's, as long as it is one")
  func ranked() throws {
    let remotes = [
      self.remote("aaa", "10.1.0.1", network: "red"), self.remote("bbb", "10.1.0.1", network: "blue", node: "else"),
    ]
    var planned = self.planned(self.snapshot(remotes), try self.locals())
    func owner() -> ResourceName? { planned.planner.resolved.workload(at: address("10.1.0.1"))?.name }
    func row() -> UInt32? { planned.maps.workloads[address("10.1.0.1")]?.first }
    func number(_ word: String) -> UInt32? { planned.planner.identifiers.number(.workload, "n/\(word)") }
    #expect(owner() == name("aaa") && row() == number("aaa"))
    var entry = try #require(self.snapshot().workloads[name("web")]?.value)
    entry.network = "blue"
    planned.follow(self.snapshot(remotes + [.workload(entry)]), try self.locals())
    #expect(owner() == name("bbb") && row() == number("bbb"))
    #expect(planned.planner.resolved.conflicts.isEmpty)
    // Two in one network are a conflict, wherever they are.
    let two = remotes + [.workload(entry), self.remote("ccc", "10.1.0.1", network: "blue")]
    planned.follow(self.snapshot(two), try self.locals())
    #expect(planned.planner.resolved.conflicts.map(\.workloads) == [[name("bbb"), name("ccc")]])
    planned.follow(self.snapshot(remotes), try self.locals())
    #expect(owner() == name("aaa") && row() == number("aaa"))
  }

  @Test("the cut judges what the proxy dialled inside of a namespace by whom it was dialled for")
  func cut() throws {
    let inside = ObservedSocket(
      local: try self.endpoint("10.88.0.2:40000"), remote: try self.endpoint("10.88.0.2:9000"), isListening: false,
      cookie: 5)
    let own = ObservedSocket(
      local: try self.endpoint("10.88.0.2:40001"), remote: try self.endpoint("10.88.0.2:9000"), isListening: false,
      cookie: 6)
    func cuts(_ callers: [String], quarantined: Bool = false) throws -> [UInt64] {
      var locals = try self.locals()
      locals[2].isQuarantined = quarantined
      var cut = ConnectionCut(ResolvedSnapshot(node: "here", snapshot: self.snapshot(callers: callers), locals: locals))
      cut.legs = [5: name("far")]
      return cut.cuts(of: name("near"), sockets: [inside, own]).map(\.socket.cookie)
    }
    #expect(try cuts(["far"]).isEmpty)
    #expect(try cuts(["web"]) == [5])
    #expect(try cuts(["far"], quarantined: true) == [5])
  }
}
