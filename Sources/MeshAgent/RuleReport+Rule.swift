import MeshBase
import MeshSnapshot
import MeshTelemetry

/// Rules in words, for the command line.
extension RuleReport {
  init(_ rule: HTTPRule, of service: Versioned<ServiceEntry>, _ port: ServicePort, ready: (HTTPBackend) -> Int) {
    self.init(
      service: service.value.name.description,
      addresses: service.value.addresses.map { SocketEndpoint($0, port.port).description }, port: port.port,
      kind: rule.origin.kind.rawValue, route: rule.origin.name.description, rule: rule.origin.rule,
      ruleName: rule.origin.ruleName, clients: rule.consumerNamespace, matches: rule.matches.map(\.words),
      filters: rule.works,
      backends: rule.backends.map {
        Backend(
          service: $0.service.description, port: $0.port, weight: $0.weight, valid: $0.isValid, ready: ready($0))
      },
      requestTimeoutMilliseconds: rule.requestTimeoutMilliseconds,
      backendTimeoutMilliseconds: rule.backendTimeoutMilliseconds, version: service.version.description)
  }

  init(_ rule: TLSRule, of service: Versioned<ServiceEntry>, _ port: ServicePort, ready: (MeshSnapshot.Backend) -> Int)
  {
    self.init(
      service: service.value.name.description,
      addresses: service.value.addresses.map { SocketEndpoint($0, port.port).description }, port: port.port,
      kind: "TLSRoute", route: rule.route.description, matches: rule.hostnames.map { "server name \($0)" },
      backends: rule.backends.map {
        Backend(
          service: $0.service.description, port: $0.port, weight: $0.weight, valid: $0.isValid, ready: ready($0))
      }, version: service.version.description)
  }
}

extension HTTPRule {
  /// What it does with requests, beside leading them to backends.
  var works: [String] {
    self.filters.map(\.words)
      + self.backends.flatMap { backend in
        backend.filters.map { "\($0.words) at \(backend.service):\(backend.port)" }
      } + (self.retry.map { [$0.words] } ?? []) + (self.persistence.map { [$0.words] } ?? [])
  }
}

extension HTTPRetry {
  var words: String {
    (["retry \(self.attempts) times after \(self.backoffMilliseconds)ms"]
      + (self.codes.isEmpty ? [] : ["codes " + self.codes.map(String.init).joined(separator: ",")])).joined(
        separator: " ")
  }
}

extension SessionPersistence {
  var words: String {
    switch self.kind {
    case .header: "session header \(self.name)"
    case .cookie(let isPermanent): "session \(isPermanent ? "permanent " : "")cookie \(self.name)"
    }
  }
}

extension HTTPMatch {
  var words: String {
    ((self.method.map { [$0] } ?? []) + [self.path.words] + self.headers.map { "header \($0.words)" }
      + self.query.map { "query \($0.words)" }).joined(separator: " ")
  }
}

extension HTTPMatch.Path {
  var words: String {
    switch self {
    case .exact(let path): "=\(path)"
    case .prefix(let path): path.hasSuffix("/") ? path + "*" : path + "/*"
    case .regex(let expression): "~\(expression)"
    case .grpc(let service, let method): "/\(service?.words ?? "*")/\(method?.words ?? "*")"
    }
  }
}

extension ValueMatch {
  var words: String {
    switch self {
    case .exact(let text): text
    case .regex(let expression): "~\(expression)"
    }
  }
}

extension FieldMatch {
  var words: String {
    switch self.value {
    case .exact(let text): "\(self.name)=\(text)"
    case .regex(let expression): "\(self.name)~\(expression)"
    }
  }
}

extension HTTPFilter {
  var words: String {
    switch self {
    case .requestHeaders(let edit): "request headers \(edit.words)"
    case .responseHeaders(let edit): "response headers \(edit.words)"
    case .redirect(let redirect):
      "redirect \(redirect.status) to "
        + [
          redirect.scheme.map { $0 + "://" }, redirect.hostname, redirect.port.map { ":\($0)" },
          redirect.path.map(\.words),
        ].compactMap { $0 }.joined()
    case .rewrite(let rewrite):
      "rewrite " + [rewrite.hostname, rewrite.path.map(\.words)].compactMap { $0 }.joined(separator: " ")
    case .mirror(let mirror):
      "mirror \(mirror.numerator)/\(mirror.denominator) to \(mirror.backend.service):\(mirror.backend.port)"
    case .cors(let policy): "cors \(policy.origins.joined(separator: ","))"
    }
  }
}

extension HeaderEdit {
  var words: String {
    (self.set.map { "\($0.name)=\($0.value)" } + self.add.map { "+\($0.name)=\($0.value)" }
      + self.remove.map { "-\($0)" }).joined(separator: ",")
  }
}

extension PathRewrite {
  var words: String {
    switch self {
    case .full(let path): path
    case .prefix(let path): "prefix \(path)"
    }
  }
}
