import CMeshABI
import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshDatapath

/// What is in quarantine, and ports that somebody else serves: the same mesh as of `HostWorkloadTests`.
@Suite("Quarantine")
struct QuarantineTests {
  private let mesh = HostWorkloadTests()

  private func planned(_ change: (inout [LocalWorkload]) -> Void) -> (DatapathPlanner, SimulatedMaps) {
    var configuration = DatapathPlanner.Configuration(node: "here")
    configuration.hasCanary = true
    configuration.probeCgroup = 900
    var planner = DatapathPlanner(configuration)
    var maps = SimulatedMaps()
    maps.config.host_netns = HostWorkloadTests.host
    var locals = self.mesh.locals
    locals[2].interfaces = [7]
    for step in planner.plan(for: self.mesh.snapshot(), locals: locals, now: .seconds(1)).steps { maps.apply(step) }
    change(&locals)
    for step in planner.plan(for: self.mesh.snapshot(), locals: locals, now: .seconds(3)).steps { maps.apply(step) }
    return (planner, maps)
  }

  private func target(_ text: String) throws -> SocketEndpoint { try #require(SocketEndpoint(text)) }

  @Test("nothing that it calls passes, nothing reaches it, and its veth owns no address")
  func pod() throws {
    let (planner, maps) = self.planned { $0[2].isQuarantined = true }
    for place in ["10.1.0.1:9090", "240.0.0.1:80", "8.8.8.8:53"] {
      let place = try self.target(place)
      #expect(maps.connect(cookie: 2, to: place) == [.refuse(.quarantined)])
      let says = try planner.resolved.explain(source: .workload(name("pod")), destination: .endpoint(place))
      #expect(says.verdict == .refused && says.reason == .quarantined)
    }
    let called = try self.target("10.1.0.2:80")
    #expect(maps.connect(cookie: HostWorkloadTests.host, cgroups: [502], to: called) == [.refuse(.quarantined)])
    let arrival = try planner.resolved.explain(source: .address(address("10.9.9.9")), destination: .endpoint(called))
    #expect(arrival.verdict == .refused && arrival.reason == .quarantined)
    #expect(maps.workloads[address("10.1.0.2")].map { $0.second & MESH_WORKLOAD_QUARANTINED } != 0)
    #expect(maps.veths[7]?.workload == MESH_WORKLOAD_NOBODY)
    // The others go on.
    #expect(
      try maps.connect(cookie: HostWorkloadTests.host, cgroups: [502], to: self.target("240.0.0.1:80")) != [
        .refuse(.quarantined)
      ])
  }

  @Test("a unit in quarantine serves no endpoint, and its row says so; afterwards all is as before")
  func unit() throws {
    let (planner, maps) = self.planned { $0[0].isQuarantined = true }
    #expect(planner.resolved.snapshot.endpoints[name("api")]?.value.endpoints.first?.isReady == false)
    #expect(maps.units[501].map { $0.second & MESH_POD_QUARANTINED } == MESH_POD_QUARANTINED)
    #expect(try maps.connect(cookie: 2, to: self.target("10.1.0.1:8080")) == [.refuse(.quarantined)])
    let (_, released) = self.planned { _ in }
    let (_, never) = self.mesh.planned(self.mesh.snapshot())
    // Numbers follow the order in which names were first asked for, which is nobody's promise.
    #expect(released.units[501]?.second == never.units[501]?.second)
    #expect(released.ports.mapValues(\.second) == never.ports.mapValues(\.second))
  }

  @Test(
    "a port that somebody else serves is refused to everybody, and no endpoint leads there; the unit's other ports go on"
  )
  func disowned() throws {
    let (planner, maps) = self.planned { $0[0].disownedPorts = [8080] }
    for source in [(HostWorkloadTests.host, 502 as UInt64), (HostWorkloadTests.host, 501), (2, 0)] {
      for place in ["10.1.0.1:8080", "127.0.0.1:8080"] where source.0 != 2 || place.hasPrefix("10") {
        #expect(
          try maps.connect(cookie: source.0, cgroups: [source.1], to: self.target(place)) == [.refuse(.quarantined)])
      }
    }
    let own = try planner.resolved.explain(
      source: .workload(name("api")), destination: .endpoint(self.target("127.0.0.1:8080")))
    #expect(own.reason == .quarantined)
    #expect(
      try maps.connect(cookie: HostWorkloadTests.host, cgroups: [502], to: self.target("10.1.0.1:8081")).first?.reason
        == Reason.none)
    #expect(planner.resolved.snapshot.endpoints[name("api")]?.value.endpoints.first?.ports.isEmpty == true)
  }

  @Test("every connection of what is in quarantine is cut, whoever is at the other end, but not its own loopback")
  func cuts() throws {
    let (planner, _) = self.planned { $0[2].isQuarantined = true }
    let cut = ConnectionCut(planner.resolved)
    func socket(_ local: String, _ remote: String, cookie: UInt64) throws -> ObservedSocket {
      ObservedSocket(local: try self.target(local), remote: try self.target(remote), isListening: false, cookie: cookie)
    }
    let sockets = [
      try socket("10.1.0.2:40000", "8.8.8.8:443", cookie: 1), try socket("10.1.0.2:80", "10.9.9.9:5000", cookie: 2),
      try socket("127.0.0.1:40001", "127.0.0.1:15001", cookie: 3),
    ]
    let cuts = cut.cuts(of: name("pod"), sockets: sockets)
    #expect(cuts.map(\.socket.cookie) == [1, 2] && cuts.allSatisfy { $0.verdict.reason == .quarantined })
  }

  @Test(
    "the canary's rows are no service's: they are written with the first plan, outlive an adoption, and are counted by nobody"
  )
  func canaryRows() throws {
    var configuration = DatapathPlanner.Configuration(node: "here")
    configuration.hasCanary = true
    configuration.probeCgroup = 900
    var planner = DatapathPlanner(configuration)
    let first = planner.plan(for: self.mesh.snapshot(), locals: self.mesh.locals, now: .seconds(1))
    var maps = SimulatedMaps()
    for step in first.steps { maps.apply(step) }
    let rows = [Canary.answerPort, Canary.pulsePort].map { maps.services[ServiceKey(Canary.address, $0)]?.mode }
    #expect(rows == [UInt8(MESH_MODE_CANARY.rawValue), UInt8(MESH_MODE_PULSE.rawValue)])
    #expect(maps.units[900]?.second == MESH_POD_PROBE && maps.units[900]?.first == 0)

    var present = PresentKeys()
    present.services = maps.services.keys.map(\.abi)
    planner.adopt(present, now: .seconds(2))
    let second = planner.plan(for: self.mesh.snapshot(), locals: self.mesh.locals, now: .seconds(3))
    for step in second.steps { maps.apply(step) }
    #expect(maps.services[ServiceKey(Canary.address, Canary.answerPort)] != nil)
    // Without workloads in the host's namespace nobody dials from there.
    let third = planner.plan(for: self.mesh.snapshot(), locals: [self.mesh.locals[2]], now: .seconds(5))
    for step in third.steps { maps.apply(step) }
    #expect(maps.units.isEmpty)
  }
}
