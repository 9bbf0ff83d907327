import MeshBase
import MeshPolicy
import MeshSnapshot
import MeshTestSupport

/// Policies and sources over a world so small that everything meets everything.
enum PolicyWorld {
  static let namespaces = ["red", "blue", "green"]
  static let accounts = ["web", "db"]
  static let domains = ["mesh.local", "other.example"]
  static let ports: [UInt16] = [1, 80, 443, 8080, 65535]
  static let blocks = [
    "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.1.2.128/25", "0.0.0.0/0", "192.168.0.0/16", "::/0",
    "fd00::/8", "fd00:1::/32", "fd00:1::5", "128.0.0.0/1", "::/90",
  ].compactMap { IPPrefix($0) }
  static let addresses = [
    "10.1.2.3", "10.1.2.4", "10.1.2.200", "10.1.3.1", "10.9.9.9", "192.168.1.1", "8.8.8.8", "200.0.0.1", "fd00:1::5",
    "fd00:1::6", "fd00:2::1", "2001:db8::1", "::2",
  ].compactMap { IPAddress($0) }

  static let identities: [SPIFFEID] = domains.flatMap { domain in
    namespaces.flatMap { namespace in
      accounts.compactMap { SPIFFEID(trustDomain: domain, namespace: namespace, serviceAccount: $0) }
    }
  }

  static func principal(_ random: inout SplitMix64) -> StringMatch {
    let text = random.pick(self.identities).principal
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return .present
    case 1: return .prefix(String(text.prefix(Int.random(in: 1..<text.count, using: &random))))
    case 2: return .suffix(String(text.suffix(Int.random(in: 1..<text.count, using: &random))))
    default: return .exact(text)
    }
  }

  static func namespace(_ random: inout SplitMix64) -> StringMatch {
    switch Int.random(in: 0..<6, using: &random) {
    case 0: return .present
    case 1: return .prefix("b")
    case 2: return .suffix("n")
    default: return .exact(random.pick(self.namespaces))
    }
  }

  static func source(_ random: inout SplitMix64) -> SourceMatch {
    func some<T>(_ percent: Int, _ make: (inout SplitMix64) -> T) -> [T] {
      guard random.chance(percent) else { return [] }
      return (0..<Int.random(in: 1...2, using: &random)).map { _ in make(&random) }
    }
    func account(_ random: inout SplitMix64) -> ServiceAccountMatch {
      ServiceAccountMatch(namespace: random.pick(self.namespaces), name: random.pick(self.accounts))
    }
    return SourceMatch(
      principals: some(30) { self.principal(&$0) }, notPrincipals: some(12) { self.principal(&$0) },
      namespaces: some(20) { self.namespace(&$0) }, notNamespaces: some(12) { self.namespace(&$0) },
      serviceAccounts: some(12) { account(&$0) }, notServiceAccounts: some(12) { account(&$0) },
      ipBlocks: some(25) { $0.pick(self.blocks) }, notIPBlocks: some(20) { $0.pick(self.blocks) })
  }

  static func operation(_ random: inout SplitMix64) -> OperationMatch {
    OperationMatch(ports: random.some(self.ports, atMost: 2), notPorts: random.some(self.ports, atMost: 1))
  }

  static func rule(_ random: inout SplitMix64) -> PolicyRule {
    var rule = PolicyRule()
    for _ in 0..<Int.random(in: 0...2, using: &random) { rule.from.append(self.source(&random)) }
    for _ in 0..<Int.random(in: 0...2, using: &random) { rule.to.append(self.operation(&random)) }
    if random.chance(20) { rule.whenSource.append(self.source(&random)) }
    if random.chance(10) { rule.whenSource.append(self.source(&random)) }
    if random.chance(15) { rule.whenOperation.append(self.operation(&random)) }
    return rule
  }

  static func policies(_ random: inout SplitMix64) -> [Versioned<PolicyEntry>] {
    (0..<Int.random(in: 0...4, using: &random)).compactMap { index in
      guard let name = ResourceName(namespace: random.pick(self.namespaces), name: "p\(index)") else { return nil }
      let rules = (0..<Int.random(in: 0...3, using: &random)).map { _ in self.rule(&random) }
      return Versioned(
        PolicyEntry(name: name, action: random.chance(45) ? .deny : .allow, rules: rules),
        version: ContentVersion(value: random.next()))
    }
  }

  static func probe(_ random: inout SplitMix64) -> UInt16 {
    random.chance(70) ? random.pick(self.ports) : UInt16.random(in: 1...65535, using: &random)
  }
}

extension PolicyVerdict {
  /// As a row says it: without the rule.
  var asRow: PolicyVerdict {
    var copy = self
    copy.rule = nil
    return copy
  }
}
