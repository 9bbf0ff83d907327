import MeshBase
import MeshDatapath
import MeshSnapshot
import Testing

@Suite("Endpoints of workloads that cannot serve")
struct HealthTests {
  private let map = [PortMapping(servicePort: 80, targetPort: 8080)]

  private func workload(_ title: String, node: String, isHealthy: Bool = true, app: String = "x") -> VersionedEntry {
    var entry = WorkloadEntry(
      name: name(title), node: node, identity: LargeMesh.identity,
      addresses: [address("10.0.0.\(title == "w" ? 1 : 2)")],
      location: .networkNamespace(path: "/run/netns/\(title)"), app: app)
    entry.isHealthy = isHealthy
    return VersionedEntry(.workload(entry), version: ContentVersion(of: "\(entry)".utf8))
  }

  private var endpoints: VersionedEntry {
    let entry = Entry.endpoints(
      EndpointsEntry(
        service: name("s"),
        endpoints: [Endpoint(workload: name("w"), ports: self.map), Endpoint(workload: name("far"), ports: self.map)]))
    return VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))
  }

  private func local(isHealthy: Bool) -> LocalWorkload {
    var local = LocalWorkload(name: name("w"), netnsCookie: 1, addresses: [address("10.0.0.1")])
    local.isHealthy = isHealthy
    return local
  }

  @Test("here the node's own word counts, elsewhere the control plane's; verdicts are not touched")
  func words() {
    var resolved = ResolvedSnapshot(
      node: "here",
      snapshot: Snapshot([self.workload("w", node: "here"), self.workload("far", node: "there"), self.endpoints]),
      locals: [self.local(isHealthy: true)])
    func ready() -> [Bool] { resolved.snapshot.endpoints[name("s")]?.value.endpoints.map(\.isReady) ?? [] }
    #expect(ready() == [true, true])
    var change = resolved.apply(Delta(), locals: [self.local(isHealthy: false)])
    #expect(ready() == [false, true])
    #expect(!change.touchesAccess)
    #expect(change.delta.upserts.map(\.value.key.kind) == [.endpoints])
    // The echo of what this node said changes nothing here, either way.
    change = resolved.apply(Delta(upserts: [self.workload("w", node: "here", isHealthy: false)]))
    #expect(ready() == [false, true] && !change.touchesAccess)
    change = resolved.apply(Delta(), locals: [self.local(isHealthy: true)])
    #expect(ready() == [true, true] && !change.touchesAccess)
    change = resolved.apply(Delta(upserts: [self.workload("far", node: "there", isHealthy: false)]))
    #expect(ready() == [true, false] && !change.touchesAccess)
    // Anything else of a workload here does.
    change = resolved.apply(Delta(upserts: [self.workload("w", node: "here", app: "y")]))
    #expect(change.touchesAccess)
  }

  @Test("the plan empties the service's slots and fills them again, in the same generation")
  func plan() {
    var planner = DatapathPlanner(.init(node: "here"))
    let service = Entry.service(
      ServiceEntry(
        name: name("s"), addresses: [address("10.88.0.1")],
        ports: [ServicePort(port: 80, backends: [Backend(service: name("s"), port: 80)])]))
    let snapshot = Snapshot([
      self.workload("w", node: "here"), self.endpoints, VersionedEntry(service, version: ContentVersion(value: 1)),
    ])
    let first = planner.plan(for: snapshot, locals: [self.local(isHealthy: true)], now: .seconds(1))
    #expect(first.changesAccess)
    for isHealthy in [false, true] {
      let plan = planner.plan(applying: Delta(), locals: [self.local(isHealthy: isHealthy)], now: .seconds(2))
      #expect(!plan.changesAccess && !plan.isEmpty && plan.generation == first.generation)
      #expect(planner.resolved.snapshot.endpoints[name("s")]?.value.endpoints.first?.isReady == isHealthy)
    }
  }
}
