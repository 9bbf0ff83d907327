package import MeshBase
package import MeshSnapshot

/// Who calls: an identity that the kernel or a certificate attests, or none (plaintext from outside), and an address.
package struct PolicySource: Hashable, Sendable {
  package var identity: SPIFFEID?
  package var address: IPAddress

  package init(identity: SPIFFEID?, address: IPAddress) {
    self.identity = identity
    self.address = address
  }
}

/// One version of one policy: what a verdict names.
package struct PolicyReference: Hashable, Sendable, Comparable, LosslessStringConvertible {
  package var name: ResourceName
  package var version: ContentVersion

  package init(name: ResourceName, version: ContentVersion) {
    self.name = name
    self.version = version
  }

  package init(_ policy: Versioned<PolicyEntry>) {
    self.init(name: policy.value.name, version: policy.version)
  }

  /// Parses `namespace/name@version`.
  package init?(_ text: some StringProtocol) {
    guard let at = text.lastIndex(of: "@"), let name = ResourceName(text[..<at]),
      let version = ContentVersion(text[text.index(after: at)...])
    else { return nil }
    self.init(name: name, version: version)
  }

  package var description: String { "\(self.name)@\(self.version)" }

  package static func < (a: Self, b: Self) -> Bool {
    a.name == b.name ? a.version.value < b.version.value : a.name < b.name
  }
}

/// What policy says about a connection, and what made it say so.
package struct PolicyVerdict: Hashable, Sendable {
  package var isAllowed: Bool
  /// `.none` if allowed.
  package var reason: Reason
  /// The policy whose rule matched. With `.notAllowed` the first ALLOW policy by name, as the one to look at; nil if no
  /// policy had a say.
  package var policy: PolicyReference?
  /// Index of the rule that matched in `PolicyEntry.rules`; nil if none did.
  package var rule: Int?

  package init(isAllowed: Bool, reason: Reason, policy: PolicyReference? = nil, rule: Int? = nil) {
    self.isAllowed = isAllowed
    self.reason = reason
    self.policy = policy
    self.rule = rule
  }

  /// No policy applies.
  package static let allowed = PolicyVerdict(isAllowed: true, reason: .none)

  package static func allowed(by policy: PolicyReference, rule: Int) -> Self {
    Self(isAllowed: true, reason: .none, policy: policy, rule: rule)
  }

  package static func denied(by policy: PolicyReference, rule: Int) -> Self {
    Self(isAllowed: false, reason: .policyDenied, policy: policy, rule: rule)
  }

  package static func notAllowed(first policy: PolicyReference?) -> Self {
    Self(isAllowed: false, reason: .notAllowed, policy: policy)
  }
}
