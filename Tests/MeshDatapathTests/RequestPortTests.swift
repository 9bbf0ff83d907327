import MeshBase
import MeshPolicy
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshDatapath

@Suite("Ports of which nothing is ready")
struct RequestPortTests {
  private static let ports: [UInt16: AppProtocol] = [80: .http, 81: .grpc, 82: .tcp, 83: .http2]

  /// A service that nobody serves; port 83 has a route.
  private func planner(parsesRequests: Bool) throws -> (DatapathPlanner, SimulatedMaps) {
    var configuration = DatapathPlanner.Configuration(node: "here")
    configuration.parsesRequests = parsesRequests
    var planner = DatapathPlanner(configuration)
    guard case .service(var service) = Entry.service("n/web", ["240.0.0.1"], ports: Self.ports) else { throw Missing() }
    for index in service.ports.indices where service.ports[index].port == 83 {
      let origin = RouteOrigin(kind: .grpc, name: name("r"), rule: 0)
      service.ports[index].routing = HTTPRouting(rules: [
        HTTPRule(origin: origin, matches: [HTTPMatch(path: .prefix("/"))])
      ])
    }
    let entries: [Entry] = [
      .config(vips: "240.0.0.0/8"), .workload("n/client", node: "here", namespacePath: "/run/netns/c"),
      .service(service),
    ]
    let plan = planner.plan(
      for: Snapshot(entries.map { VersionedEntry($0, version: ContentVersion(of: "\($0)".utf8)) }),
      locals: [LocalWorkload(name: resourceName("n/client"), netnsCookie: 1, addresses: [address("10.0.0.1")])],
      now: .seconds(1))
    var maps = SimulatedMaps()
    for step in plan.steps { maps.apply(step) }
    return (planner, maps)
  }

  private struct Missing: Error {}

  @Test(
    "the proxy answers requests where it parses them, and bytes are refused at once",
    arguments: [(true, [UInt16(80), 81, 83]), (false, [])])
  func decision(parsesRequests: Bool, answered: [UInt16]) throws {
    let (planner, maps) = try self.planner(parsesRequests: parsesRequests)
    for port in Self.ports.keys {
      let target = SocketEndpoint(address("240.0.0.1"), port)
      let isAnswered = answered.contains(port)
      #expect(maps.connect(cookie: 1, to: target) == [isAnswered ? .relay : .refuse(.noEndpoint)], "\(port)")
      let explanation = try planner.resolved.explain(
        source: .workload(resourceName("n/client")), destination: .endpoint(target))
      #expect(explanation.reason == (isAnswered ? .none : .noEndpoint), "\(port)")
      #expect(explanation.verdict == (isAnswered ? .allowed : .refused), "\(port)")
      #expect(explanation.steps.contains { $0.contains("answers requests by itself") } == isAnswered, "\(port)")
    }
  }
}

@Suite("A port with a TLSRoute")
struct TLSPortTests {
  @Test(
    "its connections reach the proxy, whatever is ready and whether requests are parsed; explained with all backends")
  func reachesProxy() throws {
    for parsesRequests in [true, false] {
      var configuration = DatapathPlanner.Configuration(node: "here")
      configuration.parsesRequests = parsesRequests
      var planner = DatapathPlanner(configuration)
      guard case .service(var service) = Entry.service("n/web", ["240.0.0.1"], ports: [443: .tls]) else { return }
      service.ports[0].tlsRules = [
        TLSRule(
          route: resourceName("n/r"), hostnames: ["a.example"],
          backends: [Backend(service: resourceName("n/other"), port: 443)])
      ]
      let plan = planner.plan(
        for: Snapshot(of: [
          .config(vips: "240.0.0.0/8"), .workload("n/client", node: "here", namespacePath: "/run/netns/c"),
          .service(service), .workload("n/other", node: "here", namespacePath: "/run/netns/o"),
          .endpoints("n/other", ["n/other"], ports: [443: 8443]),
        ]),
        locals: [
          LocalWorkload(name: resourceName("n/client"), netnsCookie: 1, addresses: [address("10.0.0.1")]),
          LocalWorkload(name: resourceName("n/other"), netnsCookie: 2, addresses: [address("10.0.0.2")]),
        ], now: .seconds(1))
      var maps = SimulatedMaps()
      for step in plan.steps { maps.apply(step) }
      let target = SocketEndpoint(address("240.0.0.1"), 443)
      #expect(maps.connect(cookie: 1, to: target) == [.relay])
      let explanation = try planner.resolved.explain(
        source: .workload(resourceName("n/client")), destination: .endpoint(target))
      #expect(explanation.tier == .relay && explanation.verdict == .allowed)
      #expect(explanation.outcomes.map(\.workload) == [resourceName("n/other")])
      #expect(explanation.steps.contains { $0.contains("TLSRoute n/r (a.example)") })

      func ask(_ name: String, _ rule: @escaping ([TLSRule]) -> TLSRule?) throws -> Explanation {
        try planner.resolved.explain(
          source: .workload(resourceName("n/client")), destination: .endpoint(target),
          inside: .init(server: .init(name: name, rule: rule)))
      }
      let led = try ask("a.example", \.first)
      #expect(led.tlsRule?.route == resourceName("n/r") && led.closed == nil && led.verdict == .allowed)
      #expect(led.outcomes.map(\.share) == [1])
      let closed = try ask("b.example") { _ in nil }
      #expect(closed.verdict == .refused && closed.closed == "tls_no_route" && closed.outcomes.isEmpty)
    }
  }
}

@Suite("A request to a routed port, explained")
struct RequestExplanationTests {
  private func backend(_ title: String, _ weight: UInt32 = 1) -> HTTPBackend {
    HTTPBackend(service: name(title), port: 80, weight: weight, isValid: title != "gone")
  }

  private func explain(
    _ request: RoutedRequest?, _ appProtocol: AppProtocol = .http, consumers: String? = nil
  ) throws -> Explanation {
    let rule = HTTPRule(
      origin: RouteOrigin(kind: .http, name: name("r"), rule: 1), consumerNamespace: consumers,
      matches: [HTTPMatch(path: .prefix("/"))], backends: [self.backend("one"), self.backend("two")])
    let entries: [Entry] = [
      .config(vips: "240.0.0.0/8"), .workload("n/client", node: "here", namespacePath: "/run/netns/c"),
      .workload("n/server", node: "here", namespacePath: "/run/netns/s"), .endpoints("n/one", ["n/server"]),
      .service(
        ServiceEntry(
          name: name("web"), addresses: [address("240.0.0.1")],
          ports: [
            ServicePort(
              port: 80, appProtocol: appProtocol, backends: [Backend(service: name("one"), port: 80)],
              routing: HTTPRouting(rules: [rule]))
          ])),
    ]
    let locals = ["client", "server"].enumerated().map {
      LocalWorkload(name: name($1), netnsCookie: UInt64($0 + 1), addresses: [address("10.0.0.\($0 + 1)")])
    }
    let resolved = ResolvedSnapshot(
      node: "here", snapshot: Snapshot(entries.map { VersionedEntry($0, version: ContentVersion(of: "\($0)".utf8)) }),
      locals: locals)
    return try resolved.explain(
      source: .workload(name("client")), destination: .endpoint(SocketEndpoint(address("240.0.0.1"), 80)),
      inside: .init(request: request.map { request in { _, source in source == name("client") ? request : .unrouted } })
    )
  }

  private func rule(_ backends: [HTTPBackend], _ filters: [HTTPFilter] = []) -> RoutedRequest {
    .rule(
      HTTPRule(
        origin: RouteOrigin(kind: .http, name: name("r"), rule: 1, ruleName: "x"),
        matches: [HTTPMatch(path: .prefix("/"))], filters: filters, backends: backends))
  }

  @Test(
    "its rule's weights are the shares; a share without endpoints is told; without a request all backends are possible")
  func shares() throws {
    let led = try self.explain(self.rule([self.backend("one", 3), self.backend("gone", 1), self.backend("two", 0)]))
    #expect(led.outcomes.map(\.share) == [0.75, 0.25])
    #expect(led.outcomes.map(\.workload) == [name("server"), nil])
    #expect(led.steps.contains("HTTPRoute n/r, rule 1 (x) decides"))
    #expect(led.rule?.origin.ruleName == "x" && led.answered == nil)
    #expect(try self.explain(nil).outcomes.map(\.share) == [0.5, 0.5])
    #expect(try self.explain(.unrouted).outcomes.map(\.share) == [1])
  }

  @Test("what the proxy answers by itself has no endpoint, and the connection is allowed")
  func answered() throws {
    let redirect = try self.explain(self.rule([], [.redirect(HTTPRedirect(status: 307))]))
    #expect(redirect.answered?.status == 307 && redirect.outcomes.isEmpty && redirect.verdict == .allowed)
    #expect(try self.explain(self.rule([])).answered?.reason == "no_backend")
    var away = self.backend("two")
    away.filters = [.redirect(HTTPRedirect(status: 308))]
    #expect(try self.explain(self.rule([away])).answered?.status == 308)
    #expect(try self.explain(self.rule([away, self.backend("one")])).outcomes.map(\.share).first == 0.5)
    let lost = try self.explain(.answered(status: 404, reason: "no_route"))
    #expect(lost.answered?.status == 404 && lost.verdict == .allowed && lost.rule == nil)
    let empty = try self.explain(self.rule([self.backend("two")]))
    #expect(empty.answered?.status == 503 && empty.verdict == .allowed)
  }

  @Test("a port that says nothing has requests only for the consumers of its routes")
  func consumers() throws {
    let bytes = try self.explain(.unrouted, .tcp, consumers: "other")
    #expect(bytes.tier == .relay && bytes.outcomes.map(\.share) == [1])
    #expect(bytes.steps.contains("requests are not looked at there: bytes go as they are"))
    #expect(try self.explain(nil, .tcp, consumers: "other").outcomes.map(\.share) == [1])
    let requests = try self.explain(nil, .tcp, consumers: "n")
    #expect(requests.tier == .relay && requests.outcomes.map(\.share) == [0.5, 0.5])
  }
}
