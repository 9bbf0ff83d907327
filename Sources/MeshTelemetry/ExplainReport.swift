package import MeshBase

/// `GET /v1/explain`: what would happen to a connection, and which rule decides.
package struct ExplainReport: Codable, Sendable, Hashable {
  package var source: String
  package var destination: String
  package var tier: FlowTier
  package var verdict: FlowVerdict
  package var reason: RefusalReason
  /// The policy that decides, if one does.
  package var policy: String?
  package var policyVersion: String?
  /// How the answer comes about, one sentence a step, in the order in which it is decided.
  package var steps: [String]
  package var endpoints: [Choice]
  /// Of the request, if one was asked about and the port's requests are routed.
  package var request: Request?
  /// Of the server name, if one was asked about and TLSRoutes lead the port's connections.
  package var server: Server?

  /// What becomes of a TLS connection that asks for a name.
  package struct Server: Codable, Sendable, Hashable {
    package var name: String
    /// The TLSRoute that leads it; nil: none does.
    package var rule: String?
    /// Of the rule.
    package var names: [String]
    /// Why the proxy closes it.
    package var reason: String?

    package init(name: String, rule: String? = nil, names: [String] = [], reason: String? = nil) {
      self.name = name
      self.rule = rule
      self.names = names
      self.reason = reason
    }
  }

  /// What becomes of a request.
  package struct Request: Codable, Sendable, Hashable {
    /// Kind and name of the route, and the rule in it; nil: none takes the request.
    package var rule: String?
    package var matches: [String]
    package var filters: [String]
    /// What the proxy answers by itself, and why.
    package var status: UInt16?
    package var reason: String?

    package init(
      rule: String? = nil, matches: [String] = [], filters: [String] = [], status: UInt16? = nil, reason: String? = nil
    ) {
      self.rule = rule
      self.matches = matches
      self.filters = filters
      self.status = status
      self.reason = reason
    }
  }

  /// An endpoint that the connection may go to.
  package struct Choice: Codable, Sendable, Hashable {
    package var address: String
    package var workload: String?
    /// Share of the connections, in percent, rounded down.
    package var percent: UInt64
    package var verdict: FlowVerdict
    package var reason: RefusalReason
    package var policy: String?

    package init(
      address: String, workload: String? = nil, percent: UInt64, verdict: FlowVerdict = .allow,
      reason: RefusalReason = .none, policy: String? = nil
    ) {
      self.address = address
      self.workload = workload
      self.percent = percent
      self.verdict = verdict
      self.reason = reason
      self.policy = policy
    }
  }

  package init(
    source: String, destination: String, tier: FlowTier, verdict: FlowVerdict, reason: RefusalReason = .none,
    policy: String? = nil, policyVersion: String? = nil, steps: [String] = [], endpoints: [Choice] = [],
    request: Request? = nil, server: Server? = nil
  ) {
    self.request = request
    self.server = server
    self.source = source
    self.destination = destination
    self.tier = tier
    self.verdict = verdict
    self.reason = reason
    self.policy = policy
    self.policyVersion = policyVersion
    self.steps = steps
    self.endpoints = endpoints
  }
}

/// The question of `explain`, parsed: from whom, to what.
package struct ExplainQuestion: Sendable, Hashable {
  package enum Source: Sendable, Hashable {
    case workload(ResourceName)
    /// Somebody outside of the mesh, or the workload that has the address.
    case address(IPAddress)
  }

  package enum Target: Sendable, Hashable {
    /// A service or a workload by name; a service is looked for first.
    case name(ResourceName)
    case address(IPAddress)
  }

  package var source: Source
  package var target: Target
  package var port: UInt16
  package var request: ExplainRequest?
  /// The name in the ClientHello of a TLS connection, in lower case.
  package private(set) var serverName: String?

  package init(source: Source, target: Target, port: UInt16, request: ExplainRequest? = nil) {
    self.request = request
    self.source = source
    self.target = target
    self.port = port
  }

  /// SRC is NAMESPACE/NAME, NAME (namespace `default`) or an address; DST:PORT is the same with a port, and the host
  /// names NAME.NAMESPACE and NAME.NAMESPACE.svc… are understood.
  package init(source: String, destination: String) throws(MeshError) {
    if let address = IPAddress(source) {
      self.source = .address(address)
    } else if let name = Self.name(source) {
      self.source = .workload(name)
    } else {
      throw MeshError(.invalid, "source", "\"\(source)\" is neither NAMESPACE/NAME, NAME nor an address")
    }
    if let endpoint = SocketEndpoint(destination) {
      guard endpoint.port > 0 else { throw MeshError(.invalid, "destination", "port 0 cannot be dialled") }
      self.target = .address(endpoint.address)
      self.port = endpoint.port
      return
    }
    guard let colon = destination.lastIndex(of: ":"),
      let port = UInt16(strictDecimal: destination[destination.index(after: colon)...]), port > 0,
      let name = Self.name(String(destination[..<colon]))
    else {
      throw MeshError(
        .invalid, "destination", "\"\(destination)\" is not DST:PORT",
        next: "write NAMESPACE/NAME:PORT, NAME.NAMESPACE:PORT, ADDRESS:PORT or [V6ADDRESS]:PORT")
    }
    self.target = .name(name)
    self.port = port
  }

  /// A host name, as RFC 6066 section 3 wants it: no address, no port.
  package mutating func ask(serverName: String) throws(MeshError) {
    let name = serverName.lowercased()
    let isName = name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
      default: false
      }
    }
    guard isName, (1...253).contains(name.utf8.count), IPAddress(name) == nil else {
      throw MeshError(
        .invalid, "server name", "\"\(serverName)\" is none", next: "write a host name, as in www.example.com")
    }
    self.serverName = name
  }

  private static func name(_ text: String) -> ResourceName? {
    if let name = ResourceName(text) { return name }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 1 { return ResourceName(namespace: "default", name: text) }
    guard parts.count == 2 || parts[2] == "svc" else { return nil }
    return ResourceName(namespace: parts[1], name: parts[0])
  }
}
