/// `GET /v1/routes`: a rule for the requests to a service port, as the proxy of this host was given it.
package struct RuleReport: Codable, Sendable, Hashable {
  package struct Backend: Codable, Sendable, Hashable {
    package var service: String
    package var port: UInt16
    package var weight: UInt32
    /// False: the reference does not resolve, its share is answered with 500.
    package var valid: Bool
    /// Endpoints that are ready; with none its share is answered with 503.
    package var ready: Int

    package init(service: String, port: UInt16, weight: UInt32, valid: Bool = true, ready: Int) {
      self.service = service
      self.port = port
      self.weight = weight
      self.valid = valid
      self.ready = ready
    }
  }

  /// `namespace/name` of the Service that is called, and what is dialled.
  package var service: String
  package var addresses: [String]
  package var port: UInt16
  /// `HTTPRoute`, `GRPCRoute` or `TLSRoute`.
  package var kind: String
  package var route: String
  /// Of the rule in its route, from 0.
  package var rule: UInt32
  package var ruleName: String
  /// A consumer route: for clients of this namespace only.
  package var clients: String?
  /// One suffices.
  package var matches: [String]
  package var filters: [String]
  package var backends: [Backend]
  package var requestTimeoutMilliseconds: UInt32?
  package var backendTimeoutMilliseconds: UInt32?
  /// Content version of the Service with its routes.
  package var version: String

  package init(
    service: String, addresses: [String] = [], port: UInt16, kind: String = "HTTPRoute", route: String,
    rule: UInt32 = 0, ruleName: String = "", clients: String? = nil, matches: [String] = [], filters: [String] = [],
    backends: [Backend] = [], requestTimeoutMilliseconds: UInt32? = nil, backendTimeoutMilliseconds: UInt32? = nil,
    version: String = ""
  ) {
    self.service = service
    self.addresses = addresses
    self.port = port
    self.kind = kind
    self.route = route
    self.rule = rule
    self.ruleName = ruleName
    self.clients = clients
    self.matches = matches
    self.filters = filters
    self.backends = backends
    self.requestTimeoutMilliseconds = requestTimeoutMilliseconds
    self.backendTimeoutMilliseconds = backendTimeoutMilliseconds
    self.version = version
  }
}
