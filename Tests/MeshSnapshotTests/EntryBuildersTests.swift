import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite struct EntryBuildersTests {
  @Test("A workload of defaults has an identity in its own namespace and no policy")
  func workload() throws {
    guard case .workload(let entry) = Entry.workload("shop/web", policies: ["shop/b", "shop/a"]) else {
      Issue.record("not a workload")
      return
    }
    #expect(entry.identity.description == "spiffe://mesh.test/ns/shop/sa/default")
    #expect(entry.policies.map(\.description) == ["shop/a", "shop/b"])
    #expect(entry.failureMode == .closed && entry.location == .none && entry.app == "web")
  }

  @Test("Texts of matches mean what they mean in resources")
  func matches() {
    #expect(stringMatch("*") == .present)
    #expect(stringMatch("a*") == .prefix("a"))
    #expect(stringMatch("*a") == .suffix("a"))
    #expect(stringMatch("a") == .exact("a"))
    #expect(PolicyRule.from() == .everything)
    #expect(PolicyRule.from(ports: [80]).from.isEmpty)
  }

  @Test("Equal entries have equal versions, others do not; equal seeds give equal snapshots")
  func versions() {
    #expect(Entry.service("a/b").versioned.version == Entry.service("a/b").versioned.version)
    #expect(Entry.service("a/b").versioned.version != Entry.service("a/b", ports: [81: .tcp]).versioned.version)
    var first = SplitMix64(seed: 3)
    var second = SplitMix64(seed: 3)
    #expect(first.snapshot() == second.snapshot())
    #expect(first.snapshot() != Snapshot())
  }
}
