import MeshBase
import MeshDatapath
import MeshSnapshot
import Testing

@Suite("Resolved snapshot")
struct ResolvedSnapshotTests {
  let map = [PortMapping(servicePort: 80, targetPort: 8080)]

  func workload(_ title: String, node: String = "here", addresses: [IPAddress] = []) -> VersionedEntry {
    let entry = Entry.workload(
      WorkloadEntry(name: name(title), node: node, identity: LargeMesh.identity, addresses: addresses))
    return VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))
  }

  func endpoints(_ title: String, _ endpoints: [Endpoint]) -> VersionedEntry {
    let entry = Entry.endpoints(EndpointsEntry(service: name(title), endpoints: endpoints))
    return VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))
  }

  func local(_ title: String, _ addresses: [IPAddress]) -> LocalWorkload {
    LocalWorkload(name: name(title), netnsCookie: 1, addresses: addresses)
  }

  @Test("Discovered addresses are added, written ones that do not exist are a problem and dropped")
  func addresses() {
    let written = [address("10.0.0.9"), address("10.0.0.2")]
    let found = [address("10.0.0.1"), address("10.0.0.2"), address("fd00::1")]
    let resolved = ResolvedSnapshot(
      node: "here", snapshot: Snapshot([self.workload("w", addresses: written)]), locals: [self.local("w", found)])
    #expect(
      resolved.snapshot.workloads[name("w")]?.value.addresses
        == [address("10.0.0.2"), address("10.0.0.1"), address("fd00::1")])
    #expect(resolved.problems.map(\.object) == ["workload n/w"])
    #expect(resolved.problems.first?.message.contains("10.0.0.9") == true)
    #expect(resolved.workload(at: address("fd00::1"))?.name == name("w"))
    #expect(resolved.workload(at: address("10.0.0.9")) == nil)
  }

  @Test("An endpoint of a workload placed here is ready only if it is enrolled; one elsewhere as written")
  func readiness() {
    let list = self.endpoints(
      "s",
      [
        Endpoint(workload: name("w"), ports: self.map), Endpoint(workload: name("far"), ports: self.map),
        Endpoint(workload: name("ghost"), addresses: [address("10.0.0.7")], ports: self.map),
        Endpoint(addresses: [address("172.16.0.1")], ports: self.map),
      ])
    let far = self.workload("far", node: "there", addresses: [address("10.0.0.3")])
    var resolved = ResolvedSnapshot(
      node: "here", snapshot: Snapshot([list, far, self.workload("w", addresses: [address("10.0.0.1")])]), locals: [])
    func ready() -> [Bool] { resolved.snapshot.endpoints[name("s")]?.value.endpoints.map(\.isReady) ?? [] }
    #expect(ready() == [false, true, false, true])
    let change = resolved.update(to: resolved.source, locals: [self.local("w", [address("10.0.0.1")])])
    #expect(ready() == [true, true, false, true])
    #expect(change.delta.upserts.map(\.value.key.kind) == [.endpoints])
    #expect(change.touchesAccess)
    #expect(resolved.snapshot.endpoints[name("s")]?.value.endpoints[0].addresses == [address("10.0.0.1")])
  }

  @Test("An address without a workload that is a workload's gets its name, and loses it again")
  func adopted() {
    let list = self.endpoints("s", [Endpoint(addresses: [address("10.0.0.3")], ports: self.map)])
    var resolved = ResolvedSnapshot(node: "here", snapshot: Snapshot([list]), locals: [])
    func owner() -> ResourceName? { resolved.snapshot.endpoints[name("s")]?.value.endpoints.first?.workload }
    #expect(owner() == nil)
    let far = self.workload("far", node: "there", addresses: [address("10.0.0.3")])
    resolved.apply(Delta(upserts: [far]))
    #expect(owner() == name("far"))
    resolved.apply(Delta(removals: [far.value.key]))
    #expect(owner() == nil)
  }

  @Test("Enrolled without an entry, or placed elsewhere: reported and not enrolled")
  func misplaced() {
    let resolved = ResolvedSnapshot(
      node: "here", snapshot: Snapshot([self.workload("b", node: "there")]),
      locals: [self.local("a", []), self.local("b", [])])
    #expect(resolved.locals.isEmpty)
    #expect(resolved.problems.map(\.object) == ["workload n/a", "workload n/b"])
  }

  @Test("Kept up to date by changes it equals one made anew, and its deltas lead there too")
  func incremental() {
    for seed in 0..<400 as Range<UInt64> {
      var mesh = RandomMesh(seed: seed)
      var resolved = ResolvedSnapshot(node: RandomMesh.node)
      var proxy = Snapshot()
      for _ in 0..<8 {
        let change = resolved.update(to: mesh.snapshot, locals: Array(mesh.locals.values))
        proxy.apply(change.delta)
        let anew = ResolvedSnapshot(
          node: RandomMesh.node, snapshot: mesh.snapshot, locals: Array(mesh.locals.values))
        #expect(resolved.snapshot == anew.snapshot, "seed \(seed)")
        #expect(resolved.snapshot.endpoints.mapValues(\.value) == anew.snapshot.endpoints.mapValues(\.value))
        #expect(resolved.snapshot.workloads.mapValues(\.value) == anew.snapshot.workloads.mapValues(\.value))
        #expect(proxy == resolved.snapshot, "seed \(seed)")
        #expect(resolved.locals == anew.locals)
        #expect(resolved.conflicts.map(\.workloads) == anew.conflicts.map(\.workloads), "seed \(seed)")
        mesh.change()
        mesh.change()
      }
    }
  }

  @Test("Of several workloads with one address the enrolled one has it, then one placed here, then the first by name")
  func conflicts() {
    let shared = address("10.0.0.1")
    func entry(_ word: String, node: String, network: String? = "flat") -> VersionedEntry {
      VersionedEntry(
        .workload(
          WorkloadEntry(
            name: name(word), node: node, identity: LargeMesh.identity, addresses: [shared], network: network)),
        version: ContentVersion(of: "\(word) \(network ?? "")".utf8))
    }
    let others = [entry("a", node: "there"), entry("b", node: "there")]
    var resolved = ResolvedSnapshot(node: "here", snapshot: Snapshot(others), locals: [])
    #expect(resolved.workload(at: shared)?.name == name("a"))
    resolved.update(to: Snapshot(others + [entry("y", node: "here"), entry("z", node: "here")]), locals: [])
    #expect(resolved.workload(at: shared)?.name == name("y"))
    resolved.update(to: resolved.source, locals: [self.local("z", [shared])])
    #expect(resolved.workload(at: shared)?.name == name("z"))
    #expect(resolved.conflicts.map(\.workloads) == [[name("z"), name("y"), name("a"), name("b")]])
    // In networks of their own they are no conflict.
    resolved.update(
      to: Snapshot([entry("a", node: "there", network: nil), entry("z", node: "here", network: nil)]),
      locals: [self.local("z", [shared])])
    #expect(resolved.workload(at: shared)?.name == name("z") && resolved.conflicts.isEmpty)
  }
}
