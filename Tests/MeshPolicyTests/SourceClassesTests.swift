import MeshBase
import MeshPolicy
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite("Source classes")
struct SourceClassesTests {
  @Test("The index finds exactly the predicates that hold")
  func signature() {
    for seed in 0..<2000 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let matches = (0..<8).map { _ in PolicyWorld.source(&random) }
      let index = SourceIndex([
        PolicyEntry(
          name: PolicyWorld.name, action: .deny,
          rules: matches.map { PolicyRule(from: [$0]) })
      ])
      let source = PolicySource(
        identity: random.chance(70) ? random.pick(PolicyWorld.identities) : nil,
        address: random.pick(PolicyWorld.addresses))
      let expected = index.predicates.indices.filter { index.predicates[$0].matches(source) }.map { Int32($0) }
      #expect(index.signature(of: source) == expected, "seed \(seed)")
      for match in matches { #expect(index.number(of: match) != nil) }
    }
  }

  @Test("Network rows give every address the class of its own signature")
  func networks() throws {
    for seed in 0..<1500 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let policies = PolicyWorld.policies(&random)
      var classes = SourceClasses(index: SourceIndex(policies.map(\.value)))
      let rows = classes.networkRows()
      #expect(Set(rows.map(\.block)).count == rows.count)
      for _ in 0..<40 {
        var address = random.pick(PolicyWorld.addresses)
        if random.chance(50) { address.low ^= UInt64.random(in: 0...0xffff, using: &random) }
        let row = rows.filter { $0.block.contains(address) }.max { $0.block.length < $1.block.length }
        #expect(
          try #require(row).sourceClass == classes.number(of: PolicySource(identity: nil, address: address)),
          "seed \(seed) \(address)")
      }
    }
  }

  @Test("Without policies there is one row for each family, and one class beside the unknown one")
  func empty() {
    var classes = SourceClasses(index: SourceIndex())
    let rows = classes.networkRows()
    #expect(rows.map(\.block.description) == ["::/0", "0.0.0.0/0"])
    #expect(Set(rows.map(\.sourceClass)) == [1])
    #expect(classes.count == 2)
    #expect(classes.number(identity: PolicyWorld.identities[0], addresses: []) == 0)
  }
}

extension PolicyWorld {
  static var name: ResourceName {
    guard let name = ResourceName(namespace: "n", name: "p") else { preconditionFailure("a constant") }
    return name
  }
}
