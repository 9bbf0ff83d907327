/// `GET /v1/endpoints`: an endpoint of a service port, as the proxy of this host sees it.
package struct EndpointReport: Codable, Sendable, Hashable {
  package enum State: String, Codable, Sendable, CaseIterable {
    /// It gets its share. So does one of which the proxy has nothing to say.
    case healthy
    /// It failed while others did not, and is left out for a while.
    case ejected
    /// Its weight grows.
    case starting
    /// It cannot serve, as its node or the control plane says.
    case notReady = "not_ready"
  }

  /// `namespace/name` of the Service.
  package var service: String
  package var port: UInt16
  /// Address and port; nil: no address is known.
  package var target: String?
  package var workload: String?
  package var state: State
  /// Why it is not healthy.
  package var reason: String?
  /// Until it comes back.
  package var secondsLeft: UInt64?
  /// Of its weight, while that grows.
  package var percent: UInt8?
  package var weight: UInt32
  /// `region/zone/subzone`, as far as it is known.
  package var locality: String?
  /// Requests and connections that are under way.
  package var open: UInt64
  /// The mean to the first byte when it answered last; slower answers count at once, faster ones little by little.
  package var latencyMicroseconds: UInt64?
  /// Since the proxy knows it, by reason.
  package var ejections: [String: UInt64]

  package init(
    service: String, port: UInt16, target: String? = nil, workload: String? = nil, state: State = .healthy,
    reason: String? = nil, secondsLeft: UInt64? = nil, percent: UInt8? = nil, weight: UInt32 = 1,
    locality: String? = nil, open: UInt64 = 0, latencyMicroseconds: UInt64? = nil, ejections: [String: UInt64] = [:]
  ) {
    self.service = service
    self.port = port
    self.target = target
    self.workload = workload
    self.state = state
    self.reason = reason
    self.secondsLeft = secondsLeft
    self.percent = percent
    self.weight = weight
    self.locality = locality
    self.open = open
    self.latencyMicroseconds = latencyMicroseconds
    self.ejections = ejections
  }
}
