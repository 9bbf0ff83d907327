import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

/// Few names and few versions, so that two snapshots share some, differ in some, and lack some.
func randomSnapshot(_ random: inout SplitMix64) throws -> Snapshot {
  var snapshot = Snapshot()
  for _ in 0..<Int.random(in: 0...30, using: &random) {
    let name = try #require(ResourceName("a/n\(Int.random(in: 0..<8, using: &random))"))
    let identity = try #require(SPIFFEID(trustDomain: "t", namespace: "a", serviceAccount: "b"))
    let number = UInt64.random(in: 0..<3, using: &random)
    let entry: Entry =
      switch EntryKind.allCases.randomElement(using: &random) ?? .config {
      case .config: .config(ConfigEntry(trustDomain: "t\(number)"))
      case .policy: .policy(PolicyEntry(name: name, action: number == 0 ? .allow : .deny, rules: []))
      case .workload: .workload(WorkloadEntry(name: name, node: "n\(number)", identity: identity))
      case .endpoints: .endpoints(EndpointsEntry(service: name, endpoints: []))
      case .service: .service(ServiceEntry(name: name, addresses: [IPAddress(v4: UInt32(number))], ports: []))
      }
    snapshot.insert(VersionedEntry(entry, version: ContentVersion(value: number)))
  }
  return snapshot
}

@Suite("The laws of snapshots")
struct SnapshotLawTests {
  @Test("applying the difference of b from a to a gives b", arguments: 0..<500 as Range<UInt64>)
  func diffApply(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (a, b) = (try randomSnapshot(&random), try randomSnapshot(&random))
    let delta = b.diff(from: a)
    #expect(a.applying(delta) == b)
    #expect(a.applying(delta).versions == b.versions)
    // Twice is once.
    #expect(a.applying(delta).applying(delta) == b)
    #expect(b.diff(from: b).isEmpty)
    #expect(delta.isEmpty == (a == b))
    #expect(Snapshot().applying(b.diff(from: Snapshot())) == b)
    // Nothing is named twice, nothing that is equal is named at all.
    let keys = delta.upserts.map { $0.value.key } + delta.removals
    #expect(Set(keys).count == keys.count)
    #expect(keys.allSatisfy { a[$0]?.version != b[$0]?.version })
    #expect(delta.kinds == Set(keys.map(\.kind)))
  }

  @Test("two changes one after the other are one", arguments: 0..<300 as Range<UInt64>)
  func followedBy(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (a, b, c) = (try randomSnapshot(&random), try randomSnapshot(&random), try randomSnapshot(&random))
    let (first, second) = (b.diff(from: a), c.diff(from: b))
    let both = first.followed(by: second)
    #expect(a.applying(both) == c)
    #expect(b.applying(second) == c)
    let keys = both.upserts.map { $0.value.key } + both.removals
    #expect(Set(keys).count == keys.count)
    #expect(both.upserts.map { $0.value.key } == both.upserts.map { $0.value.key }.sorted())
    #expect(both.removals.map(\.kind) == both.removals.map(\.kind).sorted(by: >))
    #expect(first.followed(by: Delta()) == first)
    #expect(Delta().followed(by: second) == second)
  }

  @Test("entries are in the order of their keys' text, also where one namespace begins like the other")
  func textOrder() throws {
    let names = ["a/x", "a-b/x", "a/b", "ab/a", "a-/x", "a0/c", "a-b/a"].compactMap { ResourceName($0) }
    #expect(names.count == 6)
    let snapshot = Snapshot(
      names.map { name in
        VersionedEntry(.policy(PolicyEntry(name: name, action: .allow, rules: [])), version: ContentVersion(value: 1))
      })
    let keys = snapshot.entries.map { $0.value.key }
    #expect(keys == keys.sorted())
    #expect(keys.count == 6)
  }

  @Test(
    "a difference brings what is referred to first and removes what refers first", arguments: 0..<200 as Range<UInt64>)
  func order(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let (a, b) = (try randomSnapshot(&random), try randomSnapshot(&random))
    let delta = b.diff(from: a)
    let upserts = delta.upserts.map { $0.value.key }
    #expect(upserts == upserts.sorted())
    #expect(delta.removals.map(\.kind) == delta.removals.map(\.kind).sorted(by: >))
    // Equal inputs give equal output, whatever order the dictionaries have.
    #expect(Snapshot(b.entries.shuffled(using: &random)).diff(from: Snapshot(a.entries.reversed())) == delta)
  }

  @Test("kinds and keys are ordered as they depend on each other")
  func kinds() {
    #expect(EntryKind.allCases == [.config, .policy, .workload, .endpoints, .service])
    #expect(EntryKind.allCases.sorted() == EntryKind.allCases)
    #expect(EntryKey(.policy, "z/z") < EntryKey(.workload, "a/a"))
    #expect(EntryKey(.policy, "a/a") < EntryKey(.policy, "a/b"))
  }

  @Test("insert, look up, remove", arguments: 0..<100 as Range<UInt64>)
  func dictionary(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var snapshot = try randomSnapshot(&random)
    let entries = snapshot.entries
    #expect(entries.count == snapshot.count)
    #expect(snapshot.versions.count == snapshot.count)
    #expect(entries.map { $0.value.key } == entries.map { $0.value.key }.sorted())
    for entry in entries { #expect(snapshot[entry.value.key]?.value == entry.value) }
    for entry in entries.shuffled(using: &random) {
      let removed = [snapshot.remove(entry.value.key), snapshot.remove(entry.value.key)]
      #expect(removed == [true, false])
      #expect(snapshot[entry.value.key] == nil)
    }
    #expect(snapshot.isEmpty)
  }

  @Test("keys that name nothing are not found and remove nothing")
  func hostileKeys() throws {
    var snapshot = Snapshot([VersionedEntry(.config(ConfigEntry(trustDomain: "t")), version: ContentVersion(value: 1))])
    for kind in EntryKind.allCases {
      for name in ["", "/", "a", "a/b/c", "A/b", "mesh ", "a/\u{0}"] {
        #expect(snapshot[EntryKey(kind, name)] == nil)
        let removed = snapshot.remove(EntryKey(kind, name))
        #expect(!removed)
      }
    }
    #expect(snapshot.count == 1)
    let removed = snapshot.remove(EntryKey(.config, ConfigEntry.name))
    #expect(removed)
  }
}
