import MeshBase
import MeshSnapshot

/// AuthorizationPolicy of security.istio.io: the parts that a connection decides. What needs a request (paths, methods,
/// tokens) is refused: a policy that is enforced in part says something else than its author.
extension ResourceDecoder {
  private static let layer7 = "it needs HTTP requests, and this version decides on connections"

  mutating func authorizationPolicy(_ top: inout Fields) -> AuthorizationPolicySpec? {
    var result = AuthorizationPolicySpec(selector: [:], action: .allow, rules: [])
    if let name, name.hasPrefix(Compilation.peerAuthenticationPrefix) {
      self.field.fail(
        "names with \(Compilation.peerAuthenticationPrefix) are those of policies that PeerAuthentications become",
        next: "use another name")
    }
    guard let field = top.optional("spec") else {
      self.warnAllowsNothing(self.field)
      return result
    }
    guard var spec = field.fields() else { return nil }
    if let field = spec.optional("selector"), let selector = Self.selector(field) {
      self.selector = selector
      result.selector = selector
    }
    if let field = spec.optional("action"), let text = field.text() {
      switch text {
      case "ALLOW": result.action = .allow
      case "DENY": result.action = .deny
      case "AUDIT", "CUSTOM": field.fail("action \(text) is not supported", next: "use ALLOW or DENY")
      default: field.fail("\(quotedForMessage(text)) is no action", next: "use ALLOW or DENY")
      }
    }
    spec.refuse(
      ["targetRef", "targetRefs"], because: "policies select workloads by label in this version", next: "use selector")
    spec.refuse(["provider"], because: "it belongs to action CUSTOM")
    if let field = spec.optional("rules") {
      for field in field.list(allowEmpty: true) ?? [] {
        if let rule = self.rule(field) { result.rules.append(rule) }
      }
    }
    spec.finish()
    if result.rules.isEmpty, self.isClean {
      if result.action == .allow {
        self.warnAllowsNothing(field)
      } else {
        field.fail("DENY without rules can never match", next: "add a rule; '- {}' denies everything")
      }
    }
    return result
  }

  private func warnAllowsNothing(_ field: Field) {
    field.warn(
      "ALLOW without rules allows nothing: it refuses every connection that no other ALLOW policy lets in",
      next: "add rules, or leave it as the namespace's default")
  }

  static func selector(_ field: Field) -> [String: String]? {
    guard var selector = field.fields() else { return nil }
    var labels: [String: String]? = [:]
    if let field = selector.optional("matchLabels") { labels = field.textMap() }
    selector.refuse(["matchExpressions"], because: "it has matchLabels only", next: "use matchLabels")
    selector.finish()
    if let labels, let key = labels.first(where: { $0.key.contains("*") || $0.value.contains("*") })?.key {
      field.fail("label \(quotedForMessage(key)) holds a '*', which selects nothing", next: "write the label's value")
    }
    return labels
  }

  private func rule(_ field: Field) -> PolicyRule? {
    guard var item = field.fields() else { return nil }
    if item.isEmpty {
      field.warn(
        "a rule without conditions matches every connection", next: "add from, to or when if that is not meant")
    }
    var rule = PolicyRule()
    if let field = item.optional("from") {
      for field in field.list() ?? [] {
        if let match = self.only("source", in: field, self.source) { rule.from.append(match) }
      }
    }
    if let field = item.optional("to") {
      for field in field.list() ?? [] {
        if let match = self.only("operation", in: field, Self.operation) { rule.to.append(match) }
      }
    }
    if let field = item.optional("when") {
      for field in field.list() ?? [] { self.condition(field, &rule) }
    }
    item.finish()
    self.checkPorts(rule, field)
    return rule
  }

  /// `{source: {…}}` and `{operation: {…}}` hold one field each.
  private func only<Match>(_ name: String, in field: Field, _ read: (inout Fields) -> Match) -> Match? {
    guard var item = field.fields() else { return nil }
    defer { item.finish() }
    guard let inner = item.required(name), var fields = inner.fields() else { return nil }
    guard !fields.isEmpty else {
      inner.fail("\(name) without a condition", next: "add one, or remove the list to match everything")
      return nil
    }
    let match = read(&fields)
    fields.finish()
    return match
  }

  private func source(_ fields: inout Fields) -> SourceMatch {
    var match = SourceMatch()
    fields.refuse(["requestPrincipals", "notRequestPrincipals"], because: Self.layer7)
    fields.refuse(
      ["remoteIpBlocks", "notRemoteIpBlocks"], because: "it needs a header of an HTTP request",
      next: "use ipBlocks for the peer's own address")
    match.principals = PolicyText.principals(fields.optional("principals"))
    match.notPrincipals = PolicyText.principals(fields.optional("notPrincipals"))
    match.namespaces = PolicyText.namespaces(fields.optional("namespaces"))
    match.notNamespaces = PolicyText.namespaces(fields.optional("notNamespaces"))
    match.serviceAccounts = self.serviceAccounts(fields.optional("serviceAccounts"))
    match.notServiceAccounts = self.serviceAccounts(fields.optional("notServiceAccounts"))
    match.ipBlocks = PolicyText.blocks(fields.optional("ipBlocks"))
    match.notIPBlocks = PolicyText.blocks(fields.optional("notIpBlocks"))
    if !match.serviceAccounts.isEmpty || !match.notServiceAccounts.isEmpty,
      !match.principals.isEmpty || !match.notPrincipals.isEmpty || !match.namespaces.isEmpty
        || !match.notNamespaces.isEmpty
    {
      fields.owner.fail(
        "serviceAccounts stand beside principals or namespaces, which Istio does not allow",
        next: "write the namespace with the account, as namespace/account")
    }
    if let reason = match.contradiction {
      fields.owner.fail("can never match: \(reason)", next: "remove the contradicting values")
    }
    return match
  }

  private func serviceAccounts(_ field: Field?) -> [ServiceAccountMatch] {
    guard let texts = field?.texts() else { return [] }
    if texts.count > 16 { field?.fail("\(texts.count) service accounts", next: "at most 16 in one list") }
    return texts.compactMap { field, text in
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      let namespace = parts.count == 2 ? parts[0] : self.namespace ?? ""
      guard let name = parts.last, parts.count <= 2, ResourceName.isSubdomain(name),
        parts.count == 1 || ResourceName.isLabel(namespace)
      else {
        field.fail(
          "\(quotedForMessage(text)) is no service account", next: "write account or namespace/account, without '*'")
        return nil
      }
      return ServiceAccountMatch(namespace: namespace, name: name)
    }
  }

  private static func operation(_ fields: inout Fields) -> OperationMatch {
    fields.refuse(
      ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"], because: Self.layer7,
      next: "decide by ports, or remove the field")
    let match = OperationMatch(
      ports: PolicyText.ports(fields.optional("ports")), notPorts: PolicyText.ports(fields.optional("notPorts")))
    if !match.ports.isEmpty, match.ports.allSatisfy({ match.notPorts.contains($0) }) {
      fields.owner.fail("can never match: notPorts excludes every port", next: "remove the contradicting values")
    }
    return match
  }

  /// `{key, values, notValues}`.
  private func condition(_ field: Field, _ rule: inout PolicyRule) {
    guard var item = field.fields() else { return }
    defer { item.finish() }
    guard let keyField = item.required("key"), let key = keyField.text() else {
      item.accept("values", "notValues")
      return
    }
    let values = item.optional("values")
    let notValues = item.optional("notValues")
    if values == nil, notValues == nil {
      field.fail("a condition without values", next: "add values or notValues")
    }
    var source = SourceMatch()
    switch key {
    case "source.ip":
      source.ipBlocks = PolicyText.blocks(values)
      source.notIPBlocks = PolicyText.blocks(notValues)
    case "source.namespace":
      source.namespaces = PolicyText.namespaces(values)
      source.notNamespaces = PolicyText.namespaces(notValues)
    case "source.principal":
      source.principals = PolicyText.principals(values)
      source.notPrincipals = PolicyText.principals(notValues)
    case "destination.port":
      let match = OperationMatch(ports: PolicyText.ports(values), notPorts: PolicyText.ports(notValues))
      if !match.ports.isEmpty, match.ports.allSatisfy({ match.notPorts.contains($0) }) {
        field.fail("can never match: notValues excludes every port", next: "remove the contradicting values")
      }
      rule.whenOperation.append(match)
      return
    default:
      let known = "source.ip, source.namespace, source.principal, destination.port"
      let isRequest = key.hasPrefix("request.") || key.hasPrefix("remote.") || key.hasPrefix("connection.")
      keyField.fail(
        "key \(quotedForMessage(key)) is not supported\(isRequest ? ": \(Self.layer7)" : "")", next: "use \(known)")
      return
    }
    if let reason = source.contradiction {
      field.fail("can never match: \(reason)", next: "remove the contradicting values")
    }
    rule.whenSource.append(source)
  }

  /// Ports of `to` and of `when` have to have one in common.
  private func checkPorts(_ rule: PolicyRule, _ field: Field) {
    guard self.isClean else { return }
    var allowed: Set<UInt16>?
    if !rule.to.isEmpty, rule.to.allSatisfy({ !$0.ports.isEmpty }) {
      allowed = Set(rule.to.flatMap { match in match.ports.filter { !match.notPorts.contains($0) } })
    }
    for when in rule.whenOperation {
      if !when.ports.isEmpty {
        allowed = allowed.map { $0.intersection(when.ports) } ?? Set(when.ports)
      }
      allowed = allowed.map { $0.subtracting(when.notPorts) }
    }
    if let allowed, allowed.isEmpty {
      field.fail("can never match: no port satisfies both to and when", next: "correct the ports")
    }
  }
}
