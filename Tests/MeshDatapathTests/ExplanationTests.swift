import MeshBase
import MeshDatapath
import MeshPolicy
import MeshSnapshot
import Testing

@Suite("Explanation")
struct ExplanationTests {
  let resolved: ResolvedSnapshot

  /// `client` and `server` here, service `web` on tcp 80 and http 81, route `canary` on 82 with 3 to 1; the server allows
  /// identities of namespace `friends` only.
  init() {
    var snapshot = Snapshot()
    func insert(_ entry: Entry) { snapshot.insert(VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))) }
    insert(
      .config(
        ConfigEntry(trustDomain: "mesh.local", vipRangeV4: IPPrefix(address("240.0.0.0"), length: 8))))
    insert(.workload(WorkloadEntry(name: name("client"), node: "here", identity: LargeMesh.identity)))
    insert(
      .workload(
        WorkloadEntry(
          name: name("server"), node: "here", identity: LargeMesh.identity, policies: [name("friends-only")])))
    insert(
      .workload(
        WorkloadEntry(
          name: name("far"), node: "there", identity: LargeMesh.identity, addresses: [address("10.0.0.3")])))
    insert(
      .workload(
        WorkloadEntry(
          name: name("absent"), node: "here", identity: LargeMesh.identity, addresses: [address("10.0.0.4")])))
    insert(
      .policy(
        PolicyEntry(
          name: name("friends-only"), action: .allow,
          rules: [PolicyRule(from: [SourceMatch(namespaces: [.exact("friends")])])])))
    let web = Backend(service: name("web"), port: 80, weight: 3)
    let gone = Backend(service: name("gone"), port: 80, weight: 1, isValid: false)
    insert(
      .service(
        ServiceEntry(
          name: name("web"), addresses: [address("240.0.0.1")],
          ports: [
            ServicePort(port: 80, backends: [web]), ServicePort(port: 81, appProtocol: .http, backends: [web]),
            ServicePort(port: 82, backends: [web, gone], route: name("canary")),
            ServicePort(port: 83, backends: [Backend(service: name("web"), port: 99)]),
          ])))
    let loops: [(host: String, port: UInt16)] = [
      ("240.0.0.1", 80), ("240.0.0.1", 9), ("240.0.0.99", 80), ("8.8.8.8", 15001),
    ]
    for (number, (host, port)) in loops.enumerated() {
      let loop = name("loop\(number)")
      let ports = [80, 81].map { (own: UInt16) in PortMapping(servicePort: own, targetPort: port) }
      insert(
        .service(
          ServiceEntry(
            name: loop, addresses: [address("240.0.1.\(number)")],
            ports: [
              ServicePort(port: 80, backends: [Backend(service: loop, port: 80)]),
              ServicePort(port: 81, appProtocol: .http, backends: [Backend(service: loop, port: 81)]),
            ])))
      insert(
        .endpoints(
          EndpointsEntry(service: loop, endpoints: [Endpoint(workload: nil, addresses: [address(host)], ports: ports)]))
      )
    }
    insert(
      .endpoints(
        EndpointsEntry(
          service: name("web"),
          endpoints: [
            Endpoint(workload: name("server"), ports: [PortMapping(servicePort: 80, targetPort: 8080)])
          ])))
    self.resolved = ResolvedSnapshot(
      node: "here", snapshot: snapshot,
      locals: [
        LocalWorkload(name: name("client"), netnsCookie: 1, addresses: [address("10.0.0.1")]),
        LocalWorkload(name: name("server"), netnsCookie: 2, addresses: [address("10.0.0.2")]),
      ])
  }

  func explain(_ host: String, _ port: UInt16) throws -> Explanation {
    try self.resolved.explain(source: .workload(name("client")), destination: .host(host, port: port))
  }

  @Test(
    "A refusal names the service, the endpoint, the policy and the reason",
    arguments: [
      "web.n", "web.n.svc", "web.n.svc.cluster.local", "web.n.svc.cluster.local.", "n/web",
    ])
  func refused(host: String) throws {
    let result = try self.explain(host, 80)
    #expect(result.destination == SocketEndpoint(address("240.0.0.1"), 80))
    #expect(result.tier == .kernel)
    #expect(result.verdict == .refused)
    #expect(result.reason == .notAllowed)
    #expect(result.service == name("web"))
    #expect(result.outcomes.map(\.workload) == [name("server")])
    #expect(result.outcomes.map(\.target) == [SocketEndpoint(address("10.0.0.2"), 8080)])
    #expect(result.policies.map(\.name) == [name("friends-only")])
    #expect(result.policies.map(\.decides) == [true])
    #expect(result.policies.map(\.matchingRule) == [nil])
    #expect(result.steps.last?.contains("refused (not_allowed)") == true)
    #expect(result.steps.last?.contains("n/friends-only@") == true)
  }

  @Test("A port that needs the proxy takes the relay tier, where the same policy holds")
  func relay() throws {
    let result = try self.explain("web.n", 81)
    #expect(result.tier == .relay)
    #expect(result.reason == .notAllowed)
  }

  @Test("Shares of a route, of which one has no backend")
  func route() throws {
    let result = try self.explain("web.n", 82)
    #expect(result.route == name("canary"))
    #expect(result.outcomes.map(\.share) == [0.75, 0.25])
    #expect(result.outcomes.map(\.reason) == [.notAllowed, .invalidBackend])
    #expect(result.verdict == .refused)
    #expect(result.steps.contains { $0.contains("75 %") })
  }

  @Test("No endpoint, no such port, no such service, another node, the mesh's own ports, outside")
  func reasons() throws {
    #expect(try self.explain("web.n", 83).reason == .noEndpoint)
    #expect(try self.explain("web.n", 84).reason == .noServicePort)
    func dial(_ text: String, _ port: UInt16) throws -> Explanation {
      try self.resolved.explain(
        source: .workload(name("client")), destination: .endpoint(SocketEndpoint(address(text), port)))
    }
    #expect(try dial("240.0.0.9", 80).reason == .unknownVIP)
    #expect(try dial("10.0.0.3", 80).reason == .noTunnel)
    #expect(try dial("10.0.0.4", 80).reason == .notEnrolled)
    #expect(try dial("10.0.0.2", 15008).reason == .meshPort)
    let other = try dial("8.8.8.8", 53)
    #expect(other.tier == .none && other.verdict == .allowed)
    let own = try dial("10.0.0.1", 80)
    #expect(own.tier == .none && own.verdict == .allowed)
  }

  @Test("BP-13: an endpoint that is a service's address, or one of the mesh's own ports, is refused in either tier")
  func loops() throws {
    for port: UInt16 in [80, 81] {
      #expect(try self.explain("loop0.n", port).reason == .serviceLoop)
      #expect(try self.explain("loop1.n", port).reason == .serviceLoop)
      #expect(try self.explain("loop2.n", port).reason == .unknownVIP)
      #expect(try self.explain("loop3.n", port).reason == .meshPort)
    }
  }

  @Test("An address of an enrolled workload is that workload; any other is a source from outside")
  func addresses() throws {
    let target = Explanation.Destination.endpoint(SocketEndpoint(address("10.0.0.2"), 8080))
    let inside = try self.resolved.explain(source: .address(address("10.0.0.1")), destination: target)
    #expect(inside.sourceWorkload == name("client"))
    #expect(inside.tier == .kernel)
    let outside = try self.resolved.explain(source: .address(address("192.168.0.1")), destination: target)
    #expect(outside.sourceIdentity == nil)
    #expect(outside.tier == .outside)
    #expect(outside.reason == .notAllowed)
  }

  @Test("Unknown names are errors that say so")
  func unknown() {
    #expect(throws: MeshError.self) { try self.explain("nothing.n", 80) }
    #expect(throws: MeshError.self) { try self.explain("", 80) }
    #expect(throws: MeshError.self) {
      try self.resolved.explain(
        source: .workload(name("ghost")), destination: .endpoint(SocketEndpoint(address("10.0.0.2"), 80)))
    }
  }
}
