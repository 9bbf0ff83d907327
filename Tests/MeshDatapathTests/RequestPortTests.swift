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
