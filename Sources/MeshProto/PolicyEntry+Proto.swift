import MeshBase
import MeshSnapshot

// A part of a policy that is not understood must not be left out: a source without its unknown condition matches more
// callers. So every message of a policy is refused if it holds an unknown field, an unknown enum value, or a match
// without a kind.

extension Martlet_Entries_V1_Policy {
  init(_ entry: PolicyEntry) {
    self.init()
    self.name = entry.name.description
    self.action =
      switch entry.action {
      case .allow: .allow
      case .deny: .deny
      }
    self.rules = entry.rules.map { rule in
      var message = Martlet_Entries_V1_Rule()
      message.from = rule.from.map { Martlet_Entries_V1_Source($0) }
      message.to = rule.to.map { Martlet_Entries_V1_Operation($0) }
      message.whenSource = rule.whenSource.map { Martlet_Entries_V1_Source($0) }
      message.whenOperation = rule.whenOperation.map { Martlet_Entries_V1_Operation($0) }
      return message
    }
  }
}

extension PolicyEntry {
  init(_ message: Martlet_Entries_V1_Policy) throws(MeshError) {
    let field = FieldPath("policy", message.name)
    try field.known(message)
    let action: Action
    switch message.action {
    case .allow: action = .allow
    case .deny: action = .deny
    case .unspecified: throw field["action"].error("missing")
    case .UNRECOGNIZED(let value): throw field["action"].error("\(value) is unknown to this version")
    }
    self.init(name: try field["name"].resourceName(message.name), action: action, rules: [])
    self.rules.reserveCapacity(message.rules.count)
    for (index, rule) in message.rules.enumerated() {
      self.rules.append(try PolicyRule(rule, field["rules"][index]))
    }
  }
}

extension PolicyRule {
  init(_ message: Martlet_Entries_V1_Rule, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init()
    for (i, part) in message.from.enumerated() { self.from.append(try SourceMatch(part, field["from"][i])) }
    for (i, part) in message.to.enumerated() { self.to.append(try OperationMatch(part, field["to"][i])) }
    for (i, part) in message.whenSource.enumerated() {
      self.whenSource.append(try SourceMatch(part, field["when_source"][i]))
    }
    for (i, part) in message.whenOperation.enumerated() {
      self.whenOperation.append(try OperationMatch(part, field["when_operation"][i]))
    }
  }
}

extension Martlet_Entries_V1_Source {
  init(_ match: SourceMatch) {
    self.init()
    self.principals = match.principals.map { Martlet_Entries_V1_TextMatch($0) }
    self.notPrincipals = match.notPrincipals.map { Martlet_Entries_V1_TextMatch($0) }
    self.namespaces = match.namespaces.map { Martlet_Entries_V1_TextMatch($0) }
    self.notNamespaces = match.notNamespaces.map { Martlet_Entries_V1_TextMatch($0) }
    self.serviceAccounts = match.serviceAccounts.map { Martlet_Entries_V1_ServiceAccount($0) }
    self.notServiceAccounts = match.notServiceAccounts.map { Martlet_Entries_V1_ServiceAccount($0) }
    self.ipBlocks = match.ipBlocks.map { Martlet_Entries_V1_Prefix($0) }
    self.notIpBlocks = match.notIPBlocks.map { Martlet_Entries_V1_Prefix($0) }
  }
}

extension SourceMatch {
  init(_ message: Martlet_Entries_V1_Source, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      principals: try StringMatch.list(message.principals, field["principals"]),
      notPrincipals: try StringMatch.list(message.notPrincipals, field["not_principals"]),
      namespaces: try StringMatch.list(message.namespaces, field["namespaces"]),
      notNamespaces: try StringMatch.list(message.notNamespaces, field["not_namespaces"]),
      serviceAccounts: try ServiceAccountMatch.list(message.serviceAccounts, field["service_accounts"]),
      notServiceAccounts: try ServiceAccountMatch.list(message.notServiceAccounts, field["not_service_accounts"]),
      ipBlocks: try Self.prefixes(message.ipBlocks, field["ip_blocks"]),
      notIPBlocks: try Self.prefixes(message.notIpBlocks, field["not_ip_blocks"]))
  }

  private static func prefixes(
    _ messages: [Martlet_Entries_V1_Prefix], _ field: FieldPath
  ) throws(MeshError) -> [IPPrefix] {
    var result: [IPPrefix] = []
    result.reserveCapacity(messages.count)
    for (index, message) in messages.enumerated() {
      try field[index].known(message)
      try field[index]["address"].known(message.address)
      result.append(try field[index].prefix(message))
    }
    return result
  }
}

extension Martlet_Entries_V1_TextMatch {
  init(_ match: StringMatch) {
    self.init()
    self.match =
      switch match {
      case .exact(let text): .exact(text)
      case .prefix(let text): .prefix(text)
      case .suffix(let text): .suffix(text)
      case .present: .present(true)
      }
  }
}

extension StringMatch {
  static func list(
    _ messages: [Martlet_Entries_V1_TextMatch], _ field: FieldPath
  ) throws(MeshError) -> [StringMatch] {
    var result: [StringMatch] = []
    result.reserveCapacity(messages.count)
    for (index, message) in messages.enumerated() { result.append(try StringMatch(message, field[index])) }
    return result
  }

  private init(_ message: Martlet_Entries_V1_TextMatch, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    switch message.match {
    case .exact(let text): self = .exact(text)
    // An empty prefix or suffix would match every text: that is `present`, and has to be said.
    case .prefix(let text) where !text.isEmpty: self = .prefix(text)
    case .suffix(let text) where !text.isEmpty: self = .suffix(text)
    case .present(true): self = .present
    case .prefix: throw field["prefix"].error("empty")
    case .suffix: throw field["suffix"].error("empty")
    case .present: throw field["present"].error("must be true")
    case nil: throw field.error("has no match that this version knows")
    }
  }
}

extension Martlet_Entries_V1_ServiceAccount {
  init(_ match: ServiceAccountMatch) {
    self.init()
    self.namespace = match.namespace
    self.name = match.name
  }
}

extension ServiceAccountMatch {
  static func list(
    _ messages: [Martlet_Entries_V1_ServiceAccount], _ field: FieldPath
  ) throws(MeshError) -> [ServiceAccountMatch] {
    var result: [ServiceAccountMatch] = []
    result.reserveCapacity(messages.count)
    for (index, message) in messages.enumerated() {
      try field[index].known(message)
      guard ResourceName.isLabel(message.namespace) else { throw field[index]["namespace"].error("not a namespace") }
      guard ResourceName.isSubdomain(message.name) else { throw field[index]["name"].error("not a service account") }
      result.append(ServiceAccountMatch(namespace: message.namespace, name: message.name))
    }
    return result
  }
}

extension Martlet_Entries_V1_Operation {
  init(_ match: OperationMatch) {
    self.init()
    self.ports = match.ports.map { UInt32($0) }
    self.notPorts = match.notPorts.map { UInt32($0) }
  }
}

extension OperationMatch {
  init(_ message: Martlet_Entries_V1_Operation, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init()
    for (index, port) in message.ports.enumerated() { self.ports.append(try field["ports"][index].port(port)) }
    for (index, port) in message.notPorts.enumerated() {
      self.notPorts.append(try field["not_ports"][index].port(port))
    }
  }
}
