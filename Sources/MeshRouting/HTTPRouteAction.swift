package import MeshBase
package import MeshSnapshot

/// Why a request is answered by the proxy itself.
package enum HTTPRefusal: String, Sendable, CaseIterable {
  case noRoute = "no_route"
  /// The rule has no backend with weight, and no filter that answers.
  case noBackend = "no_backend"
  case invalidBackend = "invalid_backend"
  case noEndpoint = "no_endpoint"

  package var status: Int {
    switch self {
    case .noRoute: 404
    case .noBackend, .invalidBackend: 500
    case .noEndpoint: 503
    }
  }
}

/// What a rule does with the requests that it won.
package struct HTTPRouteAction: Sendable {
  package struct Backend: Sendable {
    package let service: ResourceName
    package let port: UInt16
    /// Number of its endpoints, for `RoutingTable.share(of:at:isV4:)`.
    package let upstream: Int
    package let isValid: Bool
    /// Sum of the weights up to and with this one.
    let cumulativeWeight: UInt64
    /// The rule's filters, then the backend's.
    package let effects: HTTPEffects
  }

  package enum Pick: Equatable, Sendable {
    /// Index into `backends`.
    case backend(Int)
    case refused(HTTPRefusal)
  }

  package let rule: HTTPRule
  /// Nil: requests have none.
  package let sessions: HTTPSessions?
  /// What is known before a backend is picked: a redirect, CORS.
  package let effects: HTTPEffects
  /// Those with weight; for sessions the others too, behind which no request falls.
  package let backends: [Backend]

  init(_ rule: HTTPRule, _ upstreams: inout HTTPUpstreams) {
    var backends: [Backend] = []
    var total: UInt64 = 0
    for backend in rule.backends where backend.weight > 0 || rule.persistence != nil {
      total += UInt64(backend.weight)
      backends.append(
        Backend(
          service: backend.service, port: backend.port, upstream: upstreams.number(of: backend),
          isValid: backend.isValid, cumulativeWeight: total,
          effects: HTTPEffects(rule.filters + backend.filters, &upstreams)))
    }
    self.rule = rule
    self.sessions = rule.persistence.map { HTTPSessions($0, of: rule.origin) }
    self.effects = HTTPEffects(rule.filters, &upstreams)
    self.backends = backends
  }

  /// By weight. `isReady` says whether a backend has an endpoint: a share without one is refused, not given to others.
  package func pick(
    using random: inout some RandomNumberGenerator, isReady: (Backend) -> Bool
  ) -> Pick {
    guard let total = self.backends.last?.cumulativeWeight, total > 0 else { return .refused(.noBackend) }
    let point = UInt64.random(in: 0..<total, using: &random)
    guard let index = self.backends.firstIndex(where: { point < $0.cumulativeWeight }),
      self.backends[index].isValid
    else { return .refused(.invalidBackend) }
    return isReady(self.backends[index]) ? .backend(index) : .refused(.noEndpoint)
  }
}
