import MeshBase
import MeshSnapshot

extension Compilation {
  private static let canonicalName = "service.istio.io/canonical-name"
  private static let canonicalRevision = "service.istio.io/canonical-revision"

  func select(_ selector: [String: String], namespace: String?) -> [Int] {
    self.index.select(selector, namespace: namespace) { index, label, value in
      self.workloads[index].claim.resource.labels[label] == value
    }
  }

  /// Inserts the policies. Returns those that select each workload, in the order of `workloads`.
  mutating func compilePolicies(_ peers: [EffectivePeerModes]) -> [[ResourceName]] {
    var result = peers.map { $0.policy.map { [$0] } ?? [] }
    func apply(_ name: ResourceName, _ selector: [String: String]) -> Int {
      let scope = name.namespace == self.config.rootNamespace ? nil : name.namespace
      let chosen = self.select(selector, namespace: scope)
      for index in chosen { result[index].append(name) }
      return chosen.count
    }
    for policy in self.policies {
      self.selected[policy.name] = apply(policy.name, policy.spec.selector)
      let rules = policy.spec.rules.map { self.resolve($0) }
      self.warnForeign(policy, rules)
      self.insert(.policy(PolicyEntry(name: policy.name, action: policy.spec.action, rules: rules)))
    }
    for (key, standIn) in self.standIns where key.kind == .authorizationPolicy {
      guard let name = ResourceName(namespace: key.namespace, name: key.name) else { continue }
      self.selected[name] = apply(name, standIn.selector)
      self.insert(.policy(PolicyEntry(name: name, action: .deny, rules: [PolicyRule()])))
    }
    return result.map { $0.sorted() }
  }

  /// Istio takes the trust domain `cluster.local` in a principal for the mesh's own; manifests rely on it.
  private func resolve(_ rule: PolicyRule) -> PolicyRule {
    let alias = "cluster.local/"
    guard self.config.trustDomain + "/" != alias else { return rule }
    func resolve(_ match: StringMatch) -> StringMatch {
      switch match {
      case .exact(let text) where text.hasPrefix(alias):
        .exact(self.config.trustDomain + "/" + text.dropFirst(alias.count))
      case .prefix(let text) where text.hasPrefix(alias):
        .prefix(self.config.trustDomain + "/" + text.dropFirst(alias.count))
      default: match
      }
    }
    var rule = rule
    for index in rule.from.indices {
      rule.from[index].principals = rule.from[index].principals.map(resolve)
      rule.from[index].notPrincipals = rule.from[index].notPrincipals.map(resolve)
    }
    for index in rule.whenSource.indices {
      rule.whenSource[index].principals = rule.whenSource[index].principals.map(resolve)
      rule.whenSource[index].notPrincipals = rule.whenSource[index].notPrincipals.map(resolve)
    }
    return rule
  }

  private mutating func warnForeign(_ policy: Placed<AuthorizationPolicySpec>, _ rules: [PolicyRule]) {
    for match in rules.flatMap({ $0.from + $0.whenSource }).flatMap(\.principals) {
      guard case .exact(let text) = match, let identity = SPIFFEID("spiffe://" + text),
        identity.trustDomain != self.config.trustDomain
      else { continue }
      self.report(
        policy.claim, severity: .warning,
        "principal \(quotedForMessage(text)) is of another trust domain: nobody in this mesh has it",
        next: "write \(self.config.trustDomain)/ns/\(identity.namespace)/sa/\(identity.serviceAccount)")
    }
  }

  mutating func compileWorkloads(
    _ policies: [[ResourceName]], _ peers: [EffectivePeerModes], _ traffic: TrafficRules
  ) {
    let contested = self.contestedAddresses()
    for (index, workload) in self.workloads.enumerated() {
      let labels = workload.claim.resource.labels
      guard
        let identity = SPIFFEID(
          trustDomain: self.config.trustDomain, namespace: workload.name.namespace,
          serviceAccount: workload.spec.serviceAccount)
      else { continue }
      let lost = contested[index]
      self.insert(
        .workload(
          WorkloadEntry(
            name: workload.name, node: workload.spec.node, identity: identity,
            addresses: lost.isEmpty
              ? workload.spec.addresses : workload.spec.addresses.filter { !lost.contains($0) },
            location: workload.spec.location,
            ports: workload.spec.location.isInHost ? Set(workload.spec.ports.values).sorted() : [],
            failureMode: workload.spec.failureMode, policies: policies[index],
            app: labels[Self.canonicalName] ?? labels["app"],
            appVersion: labels[Self.canonicalRevision] ?? labels["version"] ?? "latest",
            resolvesNames: workload.spec.dns, nameServers: workload.spec.nameServers,
            readiness: workload.spec.readiness ?? traffic.checks[index], network: workload.spec.network,
            peerModes: peers[index].modes)))
    }
  }

  /// Where an address can be one workload's only: in its network, and on its node, whose kernel has one row for it.
  private enum AddressScope: Hashable {
    case network(String)
    case node(String)

    var description: String {
      switch self {
      case .network(let name): "in network \(name)"
      case .node(let name): "on node \(name)"
      }
    }
  }

  /// Addresses that two workloads claim belong to neither: an address with two identities has none.
  private mutating func contestedAddresses() -> [[IPAddress]] {
    struct Place: Hashable {
      var scope: AddressScope
      var address: IPAddress
    }
    var holders: [Place: [Int]] = [:]
    var contested = [[IPAddress]](repeating: [], count: self.workloads.count)
    for (index, workload) in self.workloads.enumerated() where !workload.spec.location.isInHost {
      let node = workload.spec.node
      for address in workload.spec.addresses {
        holders[Place(scope: .node(node), address: address), default: []].append(index)
        // A node's own network is no larger than the node, unless others name it as theirs.
        holders[Place(scope: .network(workload.spec.network ?? node), address: address), default: []].append(index)
        guard [self.config.vipRangeV4, self.config.vipRangeV6].contains(where: { $0?.contains(address) == true }) else {
          continue
        }
        contested[index].append(address)
        self.report(
          workload.claim, "address \(address) lies in the range of service addresses",
          next: "use another address, or set MeshConfig spec.vipRanges")
      }
    }
    let shared = holders.filter { $0.value.count > 1 }
    for isNode in [true, false] {
      for (place, indices) in shared {
        if case .node = place.scope, !isNode { continue }
        if case .network = place.scope, isNode { continue }
        for index in indices where !contested[index].contains(place.address) {
          contested[index].append(place.address)
          let other = self.workloads[indices.first { $0 != index } ?? index]
          self.report(
            self.workloads[index].claim,
            "address \(place.address) \(place.scope.description) is claimed by \(other.claim.resource.key) as well: neither has it",
            next: "give each workload addresses of its own")
        }
      }
    }
    return contested
  }
}
