import MeshBase
import MeshSnapshot
import SwiftProtobuf

// A part of a rule that is not understood must not be left out: without its unknown condition a match takes more requests,
// without its unknown filter a request goes on unchanged. So every message of a rule is refused if it holds an unknown field,
// and every choice if nothing known is chosen.

extension Martlet_Entries_V1_HTTPRouting {
  init(_ routing: HTTPRouting) {
    self.init()
    self.rules = routing.rules.map { Martlet_Entries_V1_HTTPRule($0) }
  }
}

extension HTTPRouting {
  init(_ message: Martlet_Entries_V1_HTTPRouting, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      rules: try field["rules"].list(message.rules) { rule, field throws(MeshError) in try HTTPRule(rule, field) })
  }
}

extension Martlet_Entries_V1_HTTPRule {
  init(_ rule: HTTPRule) {
    self.init()
    self.kind =
      switch rule.origin.kind {
      case .http: .http
      case .grpc: .grpc
      }
    self.route = rule.origin.name.description
    self.rule = rule.origin.rule
    self.ruleName = rule.origin.ruleName
    self.consumerNamespace = rule.consumerNamespace ?? ""
    self.hostnames = rule.hostnames
    self.matches = rule.matches.map { Martlet_Entries_V1_HTTPMatch($0) }
    self.filters = rule.filters.map { Martlet_Entries_V1_HTTPFilter($0) }
    self.backends = rule.backends.map { Martlet_Entries_V1_HTTPBackend($0) }
    if let timeout = rule.requestTimeoutMilliseconds { self.requestTimeoutMilliseconds = timeout }
    if let timeout = rule.backendTimeoutMilliseconds { self.backendTimeoutMilliseconds = timeout }
    if let retry = rule.retry { self.retry = [Martlet_Entries_V1_HTTPRetry(retry)] }
    if let persistence = rule.persistence { self.persistence = [Martlet_Entries_V1_SessionPersistence(persistence)] }
  }
}

extension HTTPRule {
  init(_ message: Martlet_Entries_V1_HTTPRule, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      origin: try RouteOrigin(message, field),
      hostnames: try field["hostnames"].list(message.hostnames) { name, field throws(MeshError) in
        try field.hostname(name, allowsWildcard: true)
      },
      matches: try field["matches"].list(message.matches) { match, field throws(MeshError) in
        try HTTPMatch(match, field)
      },
      filters: try HTTPFilter.list(message.filters, field["filters"]),
      requestTimeoutMilliseconds: message.hasRequestTimeoutMilliseconds ? message.requestTimeoutMilliseconds : nil,
      backendTimeoutMilliseconds: message.hasBackendTimeoutMilliseconds ? message.backendTimeoutMilliseconds : nil,
      retry: try field["retry"].atMostOne(message.retry) { retry, field throws(MeshError) in
        try HTTPRetry(retry, field)
      },
      persistence: try field["persistence"].atMostOne(message.persistence) { persistence, field throws(MeshError) in
        try SessionPersistence(persistence, field)
      })
    guard !self.matches.isEmpty else { throw field["matches"].error("missing") }
    if !message.consumerNamespace.isEmpty {
      guard ResourceName.isLabel(message.consumerNamespace) else {
        throw field["consumer_namespace"].error("not a namespace")
      }
      self.consumerNamespace = message.consumerNamespace
    }
    var total: UInt32 = 0
    self.backends = try field["backends"].list(message.backends) { backend, field throws(MeshError) in
      total = try field["weight"].sum(total, backend.weight)
      return try HTTPBackend(backend, field)
    }
  }
}

extension RouteOrigin {
  init(_ message: Martlet_Entries_V1_HTTPRule, _ field: FieldPath) throws(MeshError) {
    let kind: Kind
    switch message.kind {
    case .http: kind = .http
    case .grpc: kind = .grpc
    case .unspecified: throw field["kind"].error("missing")
    case .UNRECOGNIZED(let value): throw field["kind"].error("\(value) is unknown to this version")
    }
    self.init(
      kind: kind, name: try field["route"].resourceName(message.route), rule: message.rule,
      ruleName: message.ruleName.isEmpty ? "" : try field["rule_name"].text(message.ruleName, limit: 253))
  }
}

extension Martlet_Entries_V1_HTTPMatch {
  init(_ match: HTTPMatch) {
    self.init()
    self.path =
      switch match.path {
      case .exact(let path): .exact(path)
      case .prefix(let path): .prefix(path)
      case .regex(let pattern): .regex(pattern)
      case .grpc(let service, let method): .grpc(Martlet_Entries_V1_GRPCPath(service, method))
      }
    self.method = match.method ?? ""
    self.headers = match.headers.map { Martlet_Entries_V1_FieldMatch($0) }
    self.query = match.query.map { Martlet_Entries_V1_FieldMatch($0) }
  }
}

extension Martlet_Entries_V1_GRPCPath {
  init(_ service: ValueMatch?, _ method: ValueMatch?) {
    self.init()
    if let service { self.service = Martlet_Entries_V1_ValueMatch(service) }
    if let method { self.method = Martlet_Entries_V1_ValueMatch(method) }
  }
}

extension HTTPMatch {
  init(_ message: Martlet_Entries_V1_HTTPMatch, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    let path: Path
    switch message.path {
    case .exact(let text): path = .exact(try field["exact"].path(text))
    case .prefix(let text): path = .prefix(try field["prefix"].path(text))
    case .regex(let pattern): path = .regex(try field["regex"].text(pattern, limit: FieldPath.valueLimit))
    case .grpc(let match):
      let field = field["grpc"]
      try field.known(match)
      path = .grpc(
        service: match.hasService ? try ValueMatch(match.service, field["service"]) : nil,
        method: match.hasMethod ? try ValueMatch(match.method, field["method"]) : nil)
    case nil: throw field["path"].error("missing, or unknown to this version")
    }
    self.init(
      path: path, headers: try FieldMatch.list(message.headers, field["headers"]),
      query: try FieldMatch.list(message.query, field["query"]))
    if !message.method.isEmpty { self.method = try field["method"].token(message.method) }
    for (index, header) in self.headers.enumerated() {
      _ = try field["headers"][index]["name"].headerName(header.name)
    }
  }
}

extension Martlet_Entries_V1_ValueMatch {
  init(_ match: ValueMatch) {
    self.init()
    self.value =
      switch match {
      case .exact(let text): .exact(text)
      case .regex(let pattern): .regex(pattern)
      }
  }
}

extension ValueMatch {
  init(_ message: Martlet_Entries_V1_ValueMatch, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    switch message.value {
    case .exact(let text): self = .exact(try field["exact"].value(text))
    case .regex(let pattern): self = .regex(try field["regex"].value(pattern))
    case nil: throw field.error("missing, or unknown to this version")
    }
  }
}

extension Martlet_Entries_V1_FieldMatch {
  init(_ match: FieldMatch) {
    self.init()
    self.name = match.name
    self.value = Martlet_Entries_V1_ValueMatch(match.value)
  }
}

extension FieldMatch {
  static func list(
    _ messages: [Martlet_Entries_V1_FieldMatch], _ field: FieldPath
  ) throws(MeshError) -> [FieldMatch] {
    try field.list(messages) { message, field throws(MeshError) in
      try field.known(message)
      guard message.hasValue else { throw field["value"].error("missing") }
      return FieldMatch(
        name: try field["name"].text(message.name, limit: 256), value: try ValueMatch(message.value, field["value"]))
    }
  }
}

extension Martlet_Entries_V1_HTTPBackend {
  init(_ backend: HTTPBackend) {
    self.init()
    self.service = backend.service.description
    self.port = UInt32(backend.port)
    self.weight = backend.weight
    self.valid = backend.isValid
    self.filters = backend.filters.map { Martlet_Entries_V1_HTTPFilter($0) }
  }
}

extension HTTPBackend {
  init(_ message: Martlet_Entries_V1_HTTPBackend, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      service: try field["service"].resourceName(message.service), port: try field["port"].port(message.port),
      weight: message.weight, isValid: message.valid,
      filters: try HTTPFilter.list(message.filters, field["filters"]))
  }
}

extension Martlet_Entries_V1_HTTPRetry {
  init(_ retry: HTTPRetry) {
    self.init()
    self.codes = retry.codes.map { UInt32($0) }
    self.attempts = retry.attempts
    self.backoffMilliseconds = retry.backoffMilliseconds
  }
}

extension HTTPRetry {
  init(_ message: Martlet_Entries_V1_HTTPRetry, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      codes: try field["codes"].list(message.codes) { code, field throws(MeshError) in
        guard (400...599).contains(code) else { throw field.error("\(code) is no status of an error (400 to 599)") }
        return UInt16(clamping: code)
      }, attempts: message.attempts, backoffMilliseconds: message.backoffMilliseconds)
  }
}

extension Martlet_Entries_V1_SessionPersistence {
  init(_ persistence: SessionPersistence) {
    self.init()
    self.name = persistence.name
    self.kind =
      switch persistence.kind {
      case .header: .header
      case .cookie(isPermanent: false): .sessionCookie
      case .cookie(isPermanent: true): .permanentCookie
      }
    if let seconds = persistence.absoluteTimeoutSeconds { self.absoluteTimeoutSeconds = seconds }
    if let seconds = persistence.idleTimeoutSeconds { self.idleTimeoutSeconds = seconds }
  }
}

extension SessionPersistence {
  init(_ message: Martlet_Entries_V1_SessionPersistence, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    let kind: Kind
    switch message.kind {
    case .header: kind = .header
    case .sessionCookie: kind = .cookie(isPermanent: false)
    case .permanentCookie: kind = .cookie(isPermanent: true)
    case .unspecified: throw field["kind"].error("missing")
    case .UNRECOGNIZED(let value): throw field["kind"].error("\(value) is unknown to this version")
    }
    self.init(
      name: try field["name"].token(message.name), kind: kind,
      absoluteTimeoutSeconds: message.hasAbsoluteTimeoutSeconds ? message.absoluteTimeoutSeconds : nil,
      idleTimeoutSeconds: message.hasIdleTimeoutSeconds ? message.idleTimeoutSeconds : nil)
  }
}
