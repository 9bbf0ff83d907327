package import MeshBase
package import MeshSnapshot

/// What `policies` say about a connection of `source` to `port` of the workload that they protect. The semantics are those
/// of security.istio.io/v1 AuthorizationPolicy: a matching DENY rule denies; else, if there are ALLOW policies and none
/// matches, the connection is not allowed; else it is allowed. Among several matches the policy first by name and its
/// first rule is named, so that the answer does not depend on the order of the argument.
package func evaluate(
  policies: [Versioned<PolicyEntry>], source: PolicySource, port: UInt16
) -> PolicyVerdict {
  let ordered = policies.sorted { $0.value.name < $1.value.name }
  let location = IPPrefix(host: source.address)
  func match(_ action: PolicyEntry.Action) -> (PolicyReference, Int)? {
    for policy in ordered where policy.value.action == action {
      if let rule = policy.value.rules.firstIndex(where: {
        $0.matches(identity: source.identity, location: location, port: port)
      }) {
        return (PolicyReference(policy), rule)
      }
    }
    return nil
  }
  if let (policy, rule) = match(.deny) { return .denied(by: policy, rule: rule) }
  guard let first = ordered.first(where: { $0.value.action == .allow }) else { return .allowed }
  if let (policy, rule) = match(.allow) { return .allowed(by: policy, rule: rule) }
  return .notAllowed(first: PolicyReference(first))
}

extension PolicyRule {
  /// `location` is the source's address; a block stands for "any address of it that no more specific rule tells apart".
  package func matches(identity: SPIFFEID?, location: IPPrefix, port: UInt16) -> Bool {
    (self.to.isEmpty || self.to.contains { $0.matches(port: port) })
      && self.whenOperation.allSatisfy { $0.matches(port: port) }
      && (self.from.isEmpty || self.from.contains { $0.matches(identity: identity, location: location) })
      && self.whenSource.allSatisfy { $0.matches(identity: identity, location: location) }
  }
}

extension OperationMatch {
  package func matches(port: UInt16) -> Bool {
    (self.ports.isEmpty || self.ports.contains(port)) && !self.notPorts.contains(port)
  }
}

extension SourceMatch {
  package func matches(_ source: PolicySource) -> Bool {
    self.matches(identity: source.identity, location: IPPrefix(host: source.address))
  }

  package func matches(identity: SPIFFEID?, location: IPPrefix) -> Bool {
    if !self.ipBlocks.isEmpty, !self.ipBlocks.contains(where: { $0.contains(location) }) { return false }
    if self.notIPBlocks.contains(where: { $0.contains(location) }) { return false }
    guard let identity else {
      return self.principals.isEmpty && self.namespaces.isEmpty && self.serviceAccounts.isEmpty
    }
    if !self.principals.isEmpty || !self.notPrincipals.isEmpty {
      let principal = identity.principal
      if !self.principals.isEmpty, !self.principals.contains(where: { $0.matches(principal) }) { return false }
      if self.notPrincipals.contains(where: { $0.matches(principal) }) { return false }
    }
    if !self.namespaces.isEmpty, !self.namespaces.contains(where: { $0.matches(identity.namespace) }) { return false }
    if self.notNamespaces.contains(where: { $0.matches(identity.namespace) }) { return false }
    if !self.serviceAccounts.isEmpty, !self.serviceAccounts.contains(where: { $0.matches(identity) }) { return false }
    return !self.notServiceAccounts.contains { $0.matches(identity) }
  }
}

extension StringMatch {
  package func matches(_ text: String) -> Bool {
    switch self {
    case .exact(let value): text == value
    case .prefix(let value): text.hasPrefix(value)
    case .suffix(let value): text.hasSuffix(value)
    case .present: !text.isEmpty
    }
  }
}

extension ServiceAccountMatch {
  package func matches(_ identity: SPIFFEID) -> Bool {
    identity.namespace == self.namespace && identity.serviceAccount == self.name
  }
}
