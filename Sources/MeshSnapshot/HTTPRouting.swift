package import MeshBase

/// How the requests to a service port are routed: the rules of every HTTPRoute or GRPCRoute that is attached to it
/// (Gateway API v1; GEP-1294 for Services as parents). In the order in which they win where their matches are equally specific:
/// older routes first, then by namespace and name, then as written. A client to which none applies, because all are of other
/// consumers, is routed as if there were none.
package struct HTTPRouting: Hashable, Sendable {
  package var rules: [HTTPRule]

  package init(rules: [HTTPRule]) {
    self.rules = rules
  }

  /// Those that apply to clients in a namespace.
  package func rules(forClientsIn namespace: String) -> [HTTPRule] {
    let own = self.rules.filter { $0.consumerNamespace == namespace }
    return own.isEmpty ? self.rules.filter { $0.consumerNamespace == nil } : own
  }
}

/// What a rule was written as, for logs, `explain` and metrics.
package struct RouteOrigin: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case http = "HTTPRoute"
    case grpc = "GRPCRoute"
  }

  package var kind: Kind
  package var name: ResourceName
  /// Of the rule in its route, from 0.
  package var rule: UInt32
  /// `rules[].name`; empty: none.
  package var ruleName: String

  package init(
    kind: Kind, name: ResourceName, rule: UInt32, ruleName: String = ""
  ) {
    self.kind = kind
    self.name = name
    self.rule = rule
    self.ruleName = ruleName
  }
}

package struct HTTPRule: Hashable, Sendable {
  package var origin: RouteOrigin
  /// Clients of this namespace only (a consumer route of GEP-1294). Nil: all clients. A client to which at least one consumer
  /// rule of the port applies is routed by those alone.
  package var consumerNamespace: String?
  /// Host names that the route is for, `*.` at the front allowed. Empty: all.
  package var hostnames: [String]
  /// Never empty; one suffices. A rule without matches has one that matches every request.
  package var matches: [HTTPMatch]
  package var filters: [HTTPFilter]
  /// Empty: requests that match are answered with 500, unless a filter answers.
  package var backends: [HTTPBackend]
  /// Of the whole request. Nil: not limited by the route; 0 likewise (GEP-1742).
  package var requestTimeoutMilliseconds: UInt32?
  /// Of one attempt.
  package var backendTimeoutMilliseconds: UInt32?
  package var retry: HTTPRetry?
  package var persistence: SessionPersistence?

  package init(
    origin: RouteOrigin, consumerNamespace: String? = nil, hostnames: [String] = [], matches: [HTTPMatch],
    filters: [HTTPFilter] = [], backends: [HTTPBackend] = [], requestTimeoutMilliseconds: UInt32? = nil,
    backendTimeoutMilliseconds: UInt32? = nil, retry: HTTPRetry? = nil, persistence: SessionPersistence? = nil
  ) {
    self.origin = origin
    self.consumerNamespace = consumerNamespace
    self.hostnames = hostnames
    self.matches = matches
    self.filters = filters
    self.backends = backends
    self.requestTimeoutMilliseconds = requestTimeoutMilliseconds
    self.backendTimeoutMilliseconds = backendTimeoutMilliseconds
    self.retry = retry
    self.persistence = persistence
  }
}

/// All that is given has to hold.
package struct HTTPMatch: Hashable, Sendable {
  package enum Path: Hashable, Sendable {
    case exact(String)
    /// Whole path elements: `/a` matches `/a` and `/a/b`, not `/ab`.
    case prefix(String)
    case regex(String)
    /// GRPCRoute: nil matches every service or method.
    case grpc(service: ValueMatch?, method: ValueMatch?)
  }

  package var path: Path
  /// Nil: every method.
  package var method: String?
  package var headers: [FieldMatch]
  package var query: [FieldMatch]

  package init(
    path: Path, method: String? = nil, headers: [FieldMatch] = [], query: [FieldMatch] = []
  ) {
    self.path = path
    self.method = method
    self.headers = headers
    self.query = query
  }
}

package enum ValueMatch: Hashable, Sendable {
  case exact(String)
  /// RE2's syntax, matches the whole value.
  case regex(String)
}

/// A header (name in lower case) or a query parameter.
package struct FieldMatch: Hashable, Sendable {
  package var name: String
  package var value: ValueMatch

  package init(
    name: String, value: ValueMatch
  ) {
    self.name = name
    self.value = value
  }
}

package enum HTTPFilter: Hashable, Sendable {
  case requestHeaders(HeaderEdit)
  case responseHeaders(HeaderEdit)
  case redirect(HTTPRedirect)
  case rewrite(HTTPRewrite)
  case mirror(HTTPMirror)
  case cors(CORSPolicy)
}

package struct HeaderField: Hashable, Sendable {
  package var name: String
  package var value: String

  package init(
    name: String, value: String
  ) {
    self.name = name
    self.value = value
  }
}

/// Names in lower case. `set` replaces, `add` adds a value, `remove` takes all away.
package struct HeaderEdit: Hashable, Sendable {
  /// They frame the message or belong to the hop, so no route may touch them; the host has the rewrite filter.
  package static let untouchable: Set<String> = [
    "connection", "content-length", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
  ]

  package var set: [HeaderField]
  package var add: [HeaderField]
  package var remove: [String]

  package init(
    set: [HeaderField] = [], add: [HeaderField] = [], remove: [String] = []
  ) {
    self.set = set
    self.add = add
    self.remove = remove
  }
}

package enum PathRewrite: Hashable, Sendable {
  case full(String)
  /// Replaces what the match's prefix matched.
  case prefix(String)
}

package struct HTTPRedirect: Hashable, Sendable {
  package static let statuses: Set<UInt16> = [301, 302, 303, 307, 308]

  package var scheme: String?
  package var hostname: String?
  package var path: PathRewrite?
  package var port: UInt16?
  package var status: UInt16

  package init(
    scheme: String? = nil, hostname: String? = nil, path: PathRewrite? = nil, port: UInt16? = nil, status: UInt16
  ) {
    self.scheme = scheme
    self.hostname = hostname
    self.path = path
    self.port = port
    self.status = status
  }
}

package struct HTTPRewrite: Hashable, Sendable {
  package var hostname: String?
  package var path: PathRewrite?

  package init(
    hostname: String? = nil, path: PathRewrite? = nil
  ) {
    self.hostname = hostname
    self.path = path
  }
}

/// `numerator` of `denominator` requests are sent to the backend as well; its answers are dropped.
package struct HTTPMirror: Hashable, Sendable {
  package var backend: HTTPBackend
  package var numerator: UInt32
  package var denominator: UInt32

  package init(
    backend: HTTPBackend, numerator: UInt32, denominator: UInt32
  ) {
    self.backend = backend
    self.numerator = numerator
    self.denominator = denominator
  }
}

/// GEP-1767. Origins are `scheme://host[:port]`, with `*` alone or as the first label of the host.
package struct CORSPolicy: Hashable, Sendable {
  package var origins: [String]
  package var allowsCredentials: Bool
  package var methods: [String]
  package var headers: [String]
  package var exposedHeaders: [String]
  package var maxAgeSeconds: UInt32

  package init(
    origins: [String], allowsCredentials: Bool, methods: [String], headers: [String] = [], exposedHeaders: [String],
    maxAgeSeconds: UInt32
  ) {
    self.origins = origins
    self.allowsCredentials = allowsCredentials
    self.methods = methods
    self.headers = headers
    self.exposedHeaders = exposedHeaders
    self.maxAgeSeconds = maxAgeSeconds
  }
}

/// A share of a rule's requests.
package struct HTTPBackend: Hashable, Sendable {
  package var service: ResourceName
  package var port: UInt16
  package var weight: UInt32
  /// False: the reference does not resolve; its share is answered with 500.
  package var isValid: Bool
  package var filters: [HTTPFilter]

  package init(
    service: ResourceName, port: UInt16, weight: UInt32 = 1, isValid: Bool = true, filters: [HTTPFilter] = []
  ) {
    self.service = service
    self.port = port
    self.weight = weight
    self.isValid = isValid
    self.filters = filters
  }
}

/// GEP-1731.
package struct HTTPRetry: Hashable, Sendable {
  package var codes: [UInt16]
  /// Tries after the first.
  package var attempts: UInt32
  package var backoffMilliseconds: UInt32

  package init(
    codes: [UInt16], attempts: UInt32, backoffMilliseconds: UInt32
  ) {
    self.codes = codes
    self.attempts = attempts
    self.backoffMilliseconds = backoffMilliseconds
  }
}

/// GEP-1619.
package struct SessionPersistence: Hashable, Sendable {
  package enum Kind: Hashable, Sendable {
    case header
    case cookie(isPermanent: Bool)
  }

  package var name: String
  package var kind: Kind
  package var absoluteTimeoutSeconds: UInt32?
  package var idleTimeoutSeconds: UInt32?

  package init(
    name: String, kind: Kind, absoluteTimeoutSeconds: UInt32? = nil, idleTimeoutSeconds: UInt32? = nil
  ) {
    self.name = name
    self.kind = kind
    self.absoluteTimeoutSeconds = absoluteTimeoutSeconds
    self.idleTimeoutSeconds = idleTimeoutSeconds
  }
}
