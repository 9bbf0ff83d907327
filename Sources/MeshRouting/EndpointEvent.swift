package import MeshBase

/// Why an endpoint is left out for a while.
package enum EjectionReason: String, Sendable, CaseIterable {
  case consecutiveErrors = "consecutive_errors"
  case consecutiveGatewayErrors = "consecutive_gateway_errors"
  case successRate = "success_rate"
}

/// Something that happened to an endpoint, for logs.
package struct EndpointEvent: Equatable, Sendable {
  package enum Change: Equatable, Sendable {
    case ejected(EjectionReason, milliseconds: UInt64)
    case returned
  }

  package var service: ResourceName
  package var port: UInt16
  package var endpoint: EndpointIdentity
  package var change: Change
}

/// How an endpoint of a service port is, as this proxy sees it.
package struct EndpointState: Equatable, Sendable {
  package enum Health: Equatable, Sendable {
    case healthy
    /// Milliseconds of the clock that `RoutingTable.tick` is given.
    case ejected(EjectionReason, until: UInt64)
    /// Percent of its weight.
    case starting(UInt8)
  }

  package var endpoint: EndpointIdentity
  package var health: Health
  package var openAttempts: Int
  /// The mean as it was when it answered last.
  package var latencyMicroseconds: UInt64?
  /// Since the proxy knows it.
  package var ejections: [EjectionReason: UInt64]

  package init(
    endpoint: EndpointIdentity, health: Health = .healthy, openAttempts: Int = 0, latencyMicroseconds: UInt64? = nil,
    ejections: [EjectionReason: UInt64] = [:]
  ) {
    self.endpoint = endpoint
    self.health = health
    self.openAttempts = openAttempts
    self.latencyMicroseconds = latencyMicroseconds
    self.ejections = ejections
  }

  /// There is something to say of it.
  package var isNotable: Bool {
    self.health != .healthy || self.openAttempts > 0 || self.latencyMicroseconds != nil || !self.ejections.isEmpty
  }
}
