import CMeshABI
import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshDatapath

/// Workloads that share the host's namespace: `api` (10.1.0.1:8080, loopback too) and `caller` are units of this node,
/// `pod` has a namespace; `far` is a unit of another node.
@Suite("Workloads in the host's namespace")
struct HostWorkloadTests {
  static let host: UInt64 = 77
  let locals = [
    LocalWorkload(name: name("api"), netnsCookie: Self.host, addresses: [address("10.1.0.1")], cgroup: 501),
    LocalWorkload(name: name("caller"), netnsCookie: Self.host, addresses: [address("10.1.0.1")], cgroup: 502),
    LocalWorkload(name: name("pod"), netnsCookie: 2, addresses: [address("10.1.0.2")]),
  ]

  static func identity(_ account: String) -> SPIFFEID {
    SPIFFEID(trustDomain: "mesh.local", namespace: "n", serviceAccount: account) ?? LargeMesh.identity
  }

  func snapshot(callers: [String] = ["caller"]) -> Snapshot {
    var snapshot = Snapshot()
    func insert(_ entry: Entry) { snapshot.insert(VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))) }
    func workload(_ word: String, _ location: WorkloadLocation, _ ports: [UInt16], node: String = "here") {
      insert(
        .workload(
          WorkloadEntry(
            name: name(word), node: node, identity: Self.identity(word),
            addresses: node == "here" ? [] : [address("10.1.0.9")], location: location, ports: ports,
            policies: word == "api" ? [name("callers")] : [])))
    }
    insert(.config(ConfigEntry(trustDomain: "mesh.local", vipRangeV4: IPPrefix("240.0.0.0/8"))))
    workload("api", .systemdUnit(name: "api.service"), [8080, 8081])
    workload("caller", .cgroup(path: "/caller"), [9090])
    workload("pod", .networkNamespace(path: "/run/netns/pod"), [])
    workload("far", .systemdUnit(name: "far.service"), [8080], node: "there")
    insert(
      .policy(
        PolicyEntry(
          name: name("callers"), action: .allow,
          rules: [
            PolicyRule(from: [SourceMatch(principals: callers.map { .exact("mesh.local/ns/n/sa/\($0)") })])
          ])))
    insert(
      .service(
        ServiceEntry(
          name: name("api"), addresses: [address("240.0.0.1")],
          ports: [ServicePort(port: 80, backends: [Backend(service: name("api"), port: 80)])])))
    insert(
      .endpoints(
        EndpointsEntry(
          service: name("api"),
          endpoints: [Endpoint(workload: name("api"), ports: [PortMapping(servicePort: 80, targetPort: 8080)])])))
    return snapshot
  }

  func planned(_ snapshot: Snapshot) -> (DatapathPlanner, SimulatedMaps) {
    var planner = DatapathPlanner(.init(node: "here"))
    var maps = SimulatedMaps()
    maps.config.host_netns = Self.host
    for step in planner.plan(for: snapshot, locals: self.locals, now: .seconds(1)).steps { maps.apply(step) }
    return (planner, maps)
  }

  private func endpoint(_ text: String) throws -> SocketEndpoint { try #require(SocketEndpoint(text)) }

  @Test(
    "The tables and the explanation agree: only declared ports are anybody's",
    arguments: [
      ("caller", "240.0.0.1:80", true), ("caller", "10.1.0.1:8080", true), ("caller", "127.0.0.1:8081", true),
      ("api", "127.0.0.1:8080", true), ("api", "10.1.0.1:9090", true), ("pod", "10.1.0.1:9090", true),
      ("pod", "240.0.0.1:80", false), ("pod", "10.1.0.1:8080", false), ("pod", "10.1.0.9:8080", false),
    ])
  func decisions(source: String, target: String, isAllowed: Bool) throws {
    let (planner, maps) = self.planned(self.snapshot())
    let local = try #require(self.locals.first { $0.name == name(source) })
    let target = try self.endpoint(target)
    let says = maps.connect(cookie: local.netnsCookie, cgroups: [9, local.cgroup ?? 0], to: target)
    for decision in says { #expect((decision.reason == .none && decision != .pass) == isAllowed, "\(decision)") }
    let explanation = try planner.resolved.explain(source: .workload(name(source)), destination: .endpoint(target))
    #expect((explanation.verdict == .allowed) == isAllowed && explanation.tier == .kernel)
  }

  @Test("What nobody declared passes: SSH, other loopback ports, processes of no workload")
  func untouched() throws {
    let (planner, maps) = self.planned(self.snapshot())
    for (cookie, cgroups, target) in [
      (2, [], "10.1.0.1:22"), (2, [], "10.1.0.9:22"), (Self.host, [502], "127.0.0.1:22"),
      (Self.host, [9], "127.0.0.1:8080"), (Self.host, [9], "240.0.0.1:80"), (2, [], "127.0.0.1:8080"),
    ] as [(UInt64, [UInt64], String)] {
      #expect(maps.connect(cookie: cookie, cgroups: cgroups, to: try self.endpoint(target)) == [.pass], "\(target)")
    }
    #expect(maps.arrive(from: address("172.16.0.1"), at: try self.endpoint("10.1.0.1:22")) == .pass)
    #expect(maps.arrive(from: address("172.16.0.1"), at: try self.endpoint("10.1.0.1:8080")).reason == .notAllowed)
    let explanation = try planner.resolved.explain(
      source: .workload(name("pod")), destination: .endpoint(try self.endpoint("10.1.0.1:22")))
    #expect(explanation.tier == .none && explanation.verdict == .allowed)
  }

  @Test("A unit that goes takes its ports along, and the address when it was the last")
  func goes() throws {
    var (planner, maps) = self.planned(self.snapshot())
    #expect(maps.ports.count == 10 && maps.units.count == 2)
    let plan = planner.plan(for: self.snapshot(), locals: [self.locals[2]], now: .seconds(2))
    for step in plan.steps { maps.apply(step) }
    maps.apply(plan.later)
    #expect(Array(maps.ports.keys) == [try self.endpoint("10.1.0.9:8080")] && maps.units.isEmpty)
    #expect(maps.workloads[address("10.1.0.1")] == nil)
    #expect(maps.connect(cookie: 2, to: try self.endpoint("240.0.0.1:80")) == [.refuse(.noEndpoint)])
  }

  @Test("Two units that declare one port: the first by name has it, and both are told")
  func contested() throws {
    var snapshot = self.snapshot()
    var entry = try #require(snapshot.workloads[name("caller")]?.value)
    entry.ports = [8080, 9090]
    snapshot.insert(VersionedEntry(.workload(entry), version: ContentVersion(of: "other".utf8)))
    let resolved = ResolvedSnapshot(node: "here", snapshot: snapshot, locals: self.locals)
    #expect(resolved.workload(at: try self.endpoint("10.1.0.1:8080"))?.name == name("api"))
    #expect(
      resolved.conflicts.contains { $0.place == "10.1.0.1:8080" && $0.workloads == [name("api"), name("caller")] })
  }

  @Test("The cut knows who called from the host, and leaves what is nobody's alone")
  func cut() throws {
    func socket(_ local: String, _ remote: String, cookie: UInt64, cgroup: UInt64) throws -> ObservedSocket {
      ObservedSocket(
        local: try self.endpoint(local), remote: try self.endpoint(remote), isListening: remote == "0.0.0.0:0",
        cookie: cookie, cgroup: cgroup)
    }
    let sockets = [
      try socket("0.0.0.0:8080", "0.0.0.0:0", cookie: 1, cgroup: 501),
      try socket("0.0.0.0:22", "0.0.0.0:0", cookie: 2, cgroup: 9),
      try socket("127.0.0.1:40000", "127.0.0.1:8080", cookie: 3, cgroup: 502),
      try socket("127.0.0.1:8080", "127.0.0.1:40000", cookie: 4, cgroup: 501),
      try socket("10.1.0.1:8080", "10.1.0.2:41000", cookie: 5, cgroup: 501),
      try socket("10.1.0.1:22", "172.16.0.1:42000", cookie: 6, cgroup: 9),
      try socket("127.0.0.1:43000", "127.0.0.1:8080", cookie: 7, cgroup: 9),
      try socket("127.0.0.1:8080", "127.0.0.1:43000", cookie: 8, cgroup: 501),
    ]
    func cuts(_ callers: [String]) -> Set<UInt64> {
      var cut = ConnectionCut(
        ResolvedSnapshot(node: "here", snapshot: self.snapshot(callers: callers), locals: self.locals))
      let units: [UInt64: ResourceName] = [501: name("api"), 502: name("caller")]
      return Set(cut.cutsInHost(sockets: sockets, units: units).map(\.socket.cookie))
    }
    #expect(cuts(["caller", "pod"]) == [8])
    #expect(cuts(["pod"]) == [3, 4, 8])
    #expect(cuts(["nobody"]) == [3, 4, 5, 8])
  }
}
