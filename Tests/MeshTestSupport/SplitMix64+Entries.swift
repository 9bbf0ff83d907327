import MeshBase
package import MeshSnapshot

extension SplitMix64 {
  /// A snapshot whose references may dangle, as they do while updates arrive: up to `size` names of each kind in two
  /// namespaces, so that two snapshots of one generator share many names with equal and with different content.
  package mutating func snapshot(size: Int = 6) -> Snapshot {
    Snapshot(of: self.entries(size: size))
  }

  package mutating func entries(size: Int = 6) -> [Entry] {
    let names = (0..<max(1, size)).flatMap { ["default/n\($0)", "other/n\($0)"] }
    var entries: [Entry] = []
    if !self.oneIn(4) { entries.append(.config(vips: self.oneIn(2) ? "10.88.0.0/16" : nil)) }
    for name in self.subset(of: names) { entries.append(self.policy(name)) }
    for name in self.subset(of: names) { entries.append(self.workload(name, policies: self.subset(of: names))) }
    for name in self.subset(of: names) {
      entries.append(.endpoints(name, self.subset(of: names), ports: [80: self.pick([80, 8080])]))
    }
    for name in self.subset(of: names) {
      let port = self.pick([80, 443, 8080] as [UInt16])
      entries.append(.service(name, [self.addressText()], ports: [port: self.pick(AppProtocol.allCases)]))
    }
    return entries
  }

  private mutating func workload(_ name: String, policies: [String]) -> Entry {
    .workload(
      name, node: self.pick(["a", "b"]), account: self.pick(["default", "web"]),
      addresses: self.oneIn(3) ? [] : [self.addressText()], failureMode: self.oneIn(5) ? .open : .closed,
      policies: policies)
  }

  private mutating func policy(_ name: String) -> Entry {
    var rules: [PolicyRule] = []
    for _ in 0..<Int.random(in: 0...3, using: &self) {
      rules.append(
        .from(
          principals: self.subset(of: ["mesh.test/ns/default/sa/web", "*/sa/web", "mesh.test/*", "*"]),
          namespaces: self.subset(of: ["default", "oth*"]), ipBlocks: self.subset(of: ["10.77.0.0/16", "fd77::/64"]),
          ports: self.subset(of: [80, 443])))
    }
    return .policy(name, self.oneIn(2) ? .allow : .deny, rules)
  }

  private mutating func addressText() -> String {
    let host = Int.random(in: 2...9, using: &self)
    return self.oneIn(2) ? "10.77.0.\(host)" : "fd77::\(host)"
  }
}
