import MeshBase
import MeshPolicy
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite("Policy tables")
struct PolicyTableTests {
  @Test("The four-step look-up gives what evaluation gives, for every source and port", arguments: 0..<8)
  func equalsEvaluation(part: UInt64) throws {
    for seed in part * 1000..<(part * 1000 + 600) {
      var random = SplitMix64(seed: seed)
      let policies = PolicyWorld.policies(&random)
      // The index also holds predicates of policies that this group does not have.
      let others = PolicyWorld.policies(&random)
      var classes = SourceClasses(index: SourceIndex((policies + others).map(\.value)))
      let networks = classes.networkRows()
      var sources: [(PolicySource, UInt32)] = []
      for _ in 0..<6 {
        let source = PolicySource(
          identity: random.pick(PolicyWorld.identities), address: random.pick(PolicyWorld.addresses))
        sources.append((source, classes.number(of: source)))
      }
      for address in PolicyWorld.addresses {
        let row = networks.filter { $0.block.contains(address) }.max { $0.block.length < $1.block.length }
        sources.append((PolicySource(identity: nil, address: address), try #require(row).sourceClass))
      }
      let table = PolicyTable(policies: policies, classes: classes)
      #expect(table.problem == nil)
      for (source, sourceClass) in sources {
        for port in PolicyWorld.ports + [PolicyWorld.probe(&random), PolicyWorld.probe(&random)] {
          let expected = evaluate(policies: policies, source: source, port: port).asRow
          #expect(table.verdict(sourceClass: sourceClass, port: port) == expected, "seed \(seed) \(source) \(port)")
        }
      }
      // What no row was written for is refused.
      #expect(table.verdict(sourceClass: 0, port: 80)?.isAllowed == false, "seed \(seed)")
    }
  }

  @Test("A source of several addresses is refused what one of them is refused")
  func severalAddresses() {
    for seed in 0..<800 as Range<UInt64> {
      var random = SplitMix64(seed: seed &+ 77_000)
      let policies = PolicyWorld.policies(&random)
      var classes = SourceClasses(index: SourceIndex(policies.map(\.value)))
      let identity = random.pick(PolicyWorld.identities)
      let addresses = (0..<3).map { _ in random.pick(PolicyWorld.addresses) }
      let number = classes.number(identity: identity, addresses: addresses)
      let table = PolicyTable(policies: policies, classes: classes)
      for port in PolicyWorld.ports {
        let verdicts = addresses.map {
          evaluate(policies: policies, source: PolicySource(identity: identity, address: $0), port: port).asRow
        }
        let expected = PolicyVerdict.combined(verdicts)
        #expect(expected.isAllowed == verdicts.allSatisfy(\.isAllowed))
        #expect(table.verdict(sourceClass: number, port: port) == expected, "seed \(seed)")
      }
    }
  }

  @Test("Every table ends with the row for any class and any port, and has no row twice")
  func lastRow() {
    for seed in 0..<500 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let policies = PolicyWorld.policies(&random)
      var classes = SourceClasses(index: SourceIndex(policies.map(\.value)))
      for identity in PolicyWorld.identities {
        _ = classes.number(of: PolicySource(identity: identity, address: random.pick(PolicyWorld.addresses)))
      }
      let rows = PolicyTable(policies: policies, classes: classes).rows
      #expect(rows.last?.sourceClass == nil)
      #expect(rows.last?.port == 0)
      #expect(Set(rows.map { "\($0.sourceClass.map(String.init) ?? "any") \($0.port)" }).count == rows.count)
    }
  }

  @Test("Ten thousand rules that no present source satisfies are two rows")
  func absentSources() throws {
    let rules = try (0..<10_000).map { index in
      let id = try #require(SPIFFEID(trustDomain: "mesh.local", namespace: "n", serviceAccount: "a\(index)"))
      return PolicyRule(from: [SourceMatch(principals: [.exact(id.principal)])])
    }
    let name = try #require(ResourceName(namespace: "n", name: "p"))
    let policy = Versioned(
      PolicyEntry(name: name, action: .allow, rules: rules), version: ContentVersion(value: 1))
    var classes = SourceClasses(index: SourceIndex([policy.value]))
    let stranger = try #require(SPIFFEID(trustDomain: "mesh.local", namespace: "m", serviceAccount: "a"))
    let friend = try #require(SPIFFEID(trustDomain: "mesh.local", namespace: "n", serviceAccount: "a77"))
    let address = try #require(IPAddress("10.0.0.1"))
    let no = classes.number(of: PolicySource(identity: stranger, address: address))
    #expect(PolicyTable(policies: [policy], classes: classes).rows.count == 2)
    let yes = classes.number(of: PolicySource(identity: friend, address: address))
    let table = PolicyTable(policies: [policy], classes: classes)
    #expect(table.rows.count == 3)
    #expect(table.verdict(sourceClass: yes, port: 5)?.isAllowed == true)
    #expect(table.verdict(sourceClass: no, port: 5) == .notAllowed(first: PolicyReference(policy)))
  }

  @Test("A group that needs more rows than the limit refuses everything and says so")
  func limit() throws {
    let name = try #require(ResourceName(namespace: "n", name: "p"))
    let rules = (1...50 as ClosedRange<UInt16>).map { port in
      PolicyRule(
        from: [SourceMatch(ipBlocks: [IPPrefix(host: IPAddress(v4: UInt32(port)))])],
        to: [OperationMatch(ports: [port])])
    }
    let policy = Versioned(
      PolicyEntry(name: name, action: .allow, rules: rules), version: ContentVersion(value: 1))
    var classes = SourceClasses(index: SourceIndex([policy.value]))
    _ = classes.networkRows()
    let whole = PolicyTable(policies: [policy], classes: classes)
    #expect(whole.problem == nil)
    let short = PolicyTable(policies: [policy], classes: classes, limit: whole.rows.count - 1)
    #expect(short.problem != nil)
    #expect(short.rows.map(\.verdict.reason) == [.mapError])
    #expect(short.verdict(sourceClass: 3, port: 3)?.isAllowed == false)
    #expect(PolicyTable(policies: [policy], classes: classes, limit: whole.rows.count) == whole)
  }
}
