package import MeshBase
package import MeshSnapshot

/// Where TLS connections to a service port go, by the name that the client asks for. An exact name goes before all wildcards, a
/// longer wildcard before a shorter one; `*.` stands for one label or more (Gateway API, Hostname). Of rules with the same name the
/// first holds.
package struct TLSRoutes: Sendable {
  package struct Rule: Sendable {
    package let route: ResourceName
    /// In the port's rules.
    let number: Int
    /// In `RoutingTable.backends`.
    let backends: Range<Int>
    let totalWeight: UInt64
  }

  private let rules: [Rule]
  private var exact: [String: Int] = [:]
  /// Without the star: `.example.com`.
  private var wildcards: [String: Int] = [:]

  /// Nil: there are no rules.
  init?(_ rules: [TLSRule], split: ([Backend]) -> (backends: Range<Int>, totalWeight: UInt64)) {
    guard !rules.isEmpty else { return nil }
    var compiled: [Rule] = []
    for (number, rule) in rules.enumerated() {
      let share = split(rule.backends)
      compiled.append(
        Rule(
          route: rule.route, number: number, backends: share.backends, totalWeight: share.totalWeight))
      for name in rule.hostnames {
        if name.hasPrefix("*.") {
          let suffix = String(name.dropFirst())
          if self.wildcards[suffix] == nil { self.wildcards[suffix] = number }
        } else if self.exact[name] == nil {
          self.exact[name] = number
        }
      }
    }
    self.rules = compiled
  }

  /// Of a port's rules, the one that is for a name in lower case.
  package static func rule(for name: String, of rules: [TLSRule]) -> TLSRule? {
    TLSRoutes(rules, split: { _ in (0..<0, 0) })?.rule(for: name).map { rules[$0.number] }
  }

  /// - name: lower case.
  package func rule(for name: String) -> Rule? {
    if let number = self.exact[name] { return self.rules[number] }
    var rest = Substring(name)
    while let dot = rest.dropFirst().firstIndex(of: ".") {
      rest = rest[dot...]
      if let number = self.wildcards[String(rest)] { return self.rules[number] }
    }
    return nil
  }
}

extension RoutingTable {
  /// Chooses the backend of a TLS connection by weight. Nil: no route of the port is for the name.
  package func share(
    forName name: String, to original: SocketEndpoint, using random: inout some RandomNumberGenerator
  ) -> Result<Share, RoutingFailure>? {
    guard let rule = self.route(to: original)?.tls?.rule(for: name) else { return nil }
    return self.share(
      of: rule.backends, totalWeight: rule.totalWeight, isV4: original.address.isV4, using: &random)
  }
}
