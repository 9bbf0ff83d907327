package import MeshBase

/// An authorization policy as distributed: which workloads it selects is written at the workload
/// (`WorkloadEntry.policies`), what it says is here. Semantics: security.istio.io/v1 AuthorizationPolicy, the parts that
/// can be decided from a connection alone; `MeshPolicy` evaluates it.
package struct PolicyEntry: Hashable, Sendable {
  package enum Action: String, Hashable, Sendable {
    case allow
    case deny
  }

  package var name: ResourceName
  package var action: Action
  /// A connection matches the policy if any rule matches. Empty: matches nothing.
  package var rules: [PolicyRule]

  package init(name: ResourceName, action: Action, rules: [PolicyRule]) {
    self.name = name
    self.action = action
    self.rules = rules
  }
}

/// Matches if one of `from` (or `from` is empty), one of `to` (or `to` is empty), every one of `whenSource` and every
/// one of `whenOperation` match. A rule without any part matches everything.
package struct PolicyRule: Hashable, Sendable {
  package var from: [SourceMatch]
  package var to: [OperationMatch]
  /// Conditions on the source (`when` with `source.*` keys).
  package var whenSource: [SourceMatch]
  /// Conditions on the operation (`when` with `destination.port`).
  package var whenOperation: [OperationMatch]

  package init(
    from: [SourceMatch] = [], to: [OperationMatch] = [], whenSource: [SourceMatch] = [],
    whenOperation: [OperationMatch] = []
  ) {
    self.from = from
    self.to = to
    self.whenSource = whenSource
    self.whenOperation = whenOperation
  }
}

/// Istio's string match: exact, `prefix*`, `*suffix`, or `*` (present).
package enum StringMatch: Hashable, Sendable {
  case exact(String)
  case prefix(String)
  case suffix(String)
  case present
}

/// `namespace/name`, or a bare name that means the policy's own namespace (resolved when compiled). No wildcards.
package struct ServiceAccountMatch: Hashable, Sendable {
  package var namespace: String
  package var name: String

  package init(namespace: String, name: String) {
    self.namespace = namespace
    self.name = name
  }
}

/// Conditions on who calls: all non-empty fields must hold; within a field one value suffices; a `not` field holds if
/// none of its values matches. A source without identity (plaintext from outside) matches no principal, namespace or
/// service account, so positive fields fail and `not` fields hold.
package struct SourceMatch: Hashable, Sendable {
  /// Against `trustDomain/ns/NAMESPACE/sa/ACCOUNT`, without the scheme.
  package var principals: [StringMatch]
  package var notPrincipals: [StringMatch]
  package var namespaces: [StringMatch]
  package var notNamespaces: [StringMatch]
  package var serviceAccounts: [ServiceAccountMatch]
  package var notServiceAccounts: [ServiceAccountMatch]
  package var ipBlocks: [IPPrefix]
  package var notIPBlocks: [IPPrefix]

  package init(
    principals: [StringMatch] = [], notPrincipals: [StringMatch] = [], namespaces: [StringMatch] = [],
    notNamespaces: [StringMatch] = [], serviceAccounts: [ServiceAccountMatch] = [],
    notServiceAccounts: [ServiceAccountMatch] = [], ipBlocks: [IPPrefix] = [], notIPBlocks: [IPPrefix] = []
  ) {
    self.principals = principals
    self.notPrincipals = notPrincipals
    self.namespaces = namespaces
    self.notNamespaces = notNamespaces
    self.serviceAccounts = serviceAccounts
    self.notServiceAccounts = notServiceAccounts
    self.ipBlocks = ipBlocks
    self.notIPBlocks = notIPBlocks
  }
}

/// Conditions on what is called. The port is the one the workload listens on, not the service's.
package struct OperationMatch: Hashable, Sendable {
  package var ports: [UInt16]
  package var notPorts: [UInt16]

  package init(ports: [UInt16] = [], notPorts: [UInt16] = []) {
    self.ports = ports
    self.notPorts = notPorts
  }
}
