import MeshBase
package import MeshSnapshot

/// The sessions of a rule (GEP-1619): which endpoint a request asks for, and what its answer says so that the next one asks for
/// the same. A token that is forged, of another rule, or too old is none: the request goes by weight, and gets a new one.
package struct HTTPSessions: Sendable {
  private let rule: SessionPersistence
  private let name: [UInt8]
  /// Sessions of one rule mean nothing to another.
  private let seed: UInt64

  package init(_ rule: SessionPersistence, of origin: RouteOrigin) {
    self.rule = rule
    self.name = Array(rule.name.utf8)
    self.seed = ContentVersion(of: "\(origin.kind.rawValue) \(origin.name) \(origin.rule)".utf8).value
  }

  // MARK: the request

  /// The token of a request that holds `now`, in seconds since 1970. Of several the first counts.
  package func token(in request: HTTPRequestHead, _ bytes: Span<UInt8>, now: UInt32) -> SessionToken? {
    guard let range = self.presented(in: request, bytes),
      let token = SessionToken(bytes.extracting(range), rule: self.seed),
      token.isCurrent(
        absolute: self.rule.absoluteTimeoutSeconds ?? 0, idle: self.rule.idleTimeoutSeconds ?? 0, now: now)
    else { return nil }
    return token
  }

  private func presented(in request: HTTPRequestHead, _ bytes: Span<UInt8>) -> Range<Int>? {
    guard case .cookie = self.rule.kind else {
      return request.fields.first { bytes.extracting($0.name).equalsFoldingCase(self.name) }?.value
    }
    return request.cookie(self.name, bytes)
  }

  /// Whether the token is of this endpoint.
  package func names(_ choice: RoutingTable.Choice, _ token: SessionToken) -> Bool {
    self.number(of: choice) == token.endpoint
  }

  /// An address that another workload has now is another endpoint.
  private func number(of choice: RoutingTable.Choice) -> UInt64 {
    var hash = PathHash()
    let target = choice.target
    for word in [self.seed, target.address.high, target.address.low, UInt64(target.port)] {
      for shift in stride(from: 56, through: 0, by: -8) {
        hash.combine(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    if let workload = choice.workload {
      for byte in workload.namespace.utf8 { hash.combine(byte) }
      hash.combine(0x2f)
      for byte in workload.name.utf8 { hash.combine(byte) }
    }
    return hash.value
  }

  // MARK: the answer

  /// The field that the answer of the endpoint gets; `token`: what the request bore. Nil: the client knows all that there is.
  package func field(for choice: RoutingTable.Choice, after token: SessionToken?, now: UInt32) -> HeaderField? {
    let endpoint = self.number(of: choice)
    var began = now
    if let token, token.endpoint == endpoint {
      // A tenth of the time: that the session lives on is not said with each answer.
      let idle = self.rule.idleTimeoutSeconds ?? 0
      guard idle > 0, now > token.given, now - token.given >= max(1, idle / 10) else { return nil }
      began = token.began
    }
    let text = SessionToken(endpoint: endpoint, began: began, given: now).text(rule: self.seed)
    guard case .cookie(let isPermanent) = self.rule.kind else { return HeaderField(name: self.rule.name, value: text) }
    var value = "\(self.rule.name)=\(text); Path=/; HttpOnly"
    if isPermanent, let absolute = self.rule.absoluteTimeoutSeconds, absolute > 0 {
      value += "; Max-Age=\(absolute - min(absolute, now > began ? now - began : 0))"
    }
    return HeaderField(name: "set-cookie", value: value)
  }
}
