package import MeshBase

/// How calls of a service port are spread, limited, retried and failed on purpose: what a TrafficPolicy says. Balancing, health,
/// limits and connections hold wherever the port is the backend; retries and faults where it is what the client called.
package struct TrafficSettings: Hashable, Sendable {
  /// Who said it, for logs and `show`.
  package var origin: ResourceName
  /// Nil: `leastRequest` for requests, `random` for connections.
  package var balancer: Balancer?
  package var locality: LocalityPreference?
  package var slowStart: SlowStart?
  /// Percent of the endpoints that are not ejected below which ejections count no more; 0: they always count.
  package var panicThreshold: UInt8
  package var outliers: OutlierDetection?
  package var limits: ConnectionLimits
  package var pool: PoolSettings
  package var retries: RetrySettings
  package var faults: [Fault]

  package static let panicThresholds: ClosedRange<UInt8> = 0...100

  package init(
    origin: ResourceName, balancer: Balancer? = nil, locality: LocalityPreference? = nil, slowStart: SlowStart? = nil,
    panicThreshold: UInt8 = 50, outliers: OutlierDetection? = nil, limits: ConnectionLimits = .init(),
    pool: PoolSettings = .init(), retries: RetrySettings = .init(), faults: [Fault] = []
  ) {
    self.origin = origin
    self.balancer = balancer
    self.locality = locality
    self.slowStart = slowStart
    self.panicThreshold = panicThreshold
    self.outliers = outliers
    self.limits = limits
    self.pool = pool
    self.retries = retries
    self.faults = faults
  }
}

/// Who of the endpoints of a service port gets the next request.
package enum Balancer: Hashable, Sendable {
  case roundRobin
  case random
  /// The better of two that are drawn by weight: by its requests that are open and a peak-sensitive mean of its latency.
  case leastRequest
  /// The same key goes to the same endpoint while it is there.
  case ringHash([HashKey])
  case maglev([HashKey])
}

/// What a request's place on the ring is made of: all that are given and there. A request with none of them goes by `random`.
package enum HashKey: Hashable, Sendable {
  /// Name in lower case.
  case header(String)
  case cookie(String)
  case query(String)
  /// The client's address.
  case source
}

/// `region/zone/subzone`, as far as it is known. The empty one is nowhere. A zone may be known without its region (an
/// EndpointSlice names only that): then its name alone says where it is.
package struct Locality: Hashable, Sendable, LosslessStringConvertible {
  package var region: String
  package var zone: String
  package var subzone: String

  package static let nowhere = Locality(region: "")

  package init(
    region: String, zone: String = "", subzone: String = ""
  ) {
    self.region = region
    self.zone = zone
    self.subzone = subzone
  }

  /// `region`, `region/zone`, `region/zone/subzone`, `/zone`; empty: nowhere. Nil for anything else.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 3, parts.dropFirst().allSatisfy({ Self.isPart($0) }),
      parts.first.map({ $0.isEmpty ? parts.count == 2 || text.isEmpty : Self.isPart($0) }) ?? true
    else { return nil }
    self.init(
      region: parts.first.map { String($0) } ?? "", zone: parts.count > 1 ? String(parts[1]) : "",
      subzone: parts.count > 2 ? String(parts[2]) : "")
  }

  package var description: String {
    if !self.subzone.isEmpty { return "\(self.region)/\(self.zone)/\(self.subzone)" }
    return self.zone.isEmpty ? self.region : "\(self.region)/\(self.zone)"
  }

  /// As values of Kubernetes' topology labels: at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
  package static func isPart(_ text: some StringProtocol) -> Bool {
    func isAlphanumeric(_ byte: UInt8) -> Bool {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
      default: false
      }
    }
    let bytes = Array(text.utf8)
    return bytes.count <= 63 && bytes.first.map(isAlphanumeric) ?? false && bytes.last.map(isAlphanumeric) ?? false
      && bytes.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
  }
}

/// Near endpoints first. While fewer than `minimum` percent of the nearest are healthy, those of the next distance get the share
/// that is missing.
package struct LocalityPreference: Hashable, Sendable {
  package static let minimums: ClosedRange<UInt8> = 1...100
  package static let mostRegions = 16

  /// Percent.
  package var minimum: UInt8
  /// Regions in the order in which they stand in for this node's; those not named come last.
  package var failover: [String]

  package init(minimum: UInt8 = 70, failover: [String] = []) {
    self.minimum = minimum
    self.failover = failover
  }
}

/// An endpoint that is new, or back, gets its share little by little.
package struct SlowStart: Hashable, Sendable {
  package static let windows: ClosedRange<UInt32> = 1...3_600_000
  package static let minimums: ClosedRange<UInt8> = 1...100

  package var windowMilliseconds: UInt32
  /// Of its weight, at the beginning; percent.
  package var minimum: UInt8

  package init(windowMilliseconds: UInt32, minimum: UInt8 = 10) {
    self.windowMilliseconds = windowMilliseconds
    self.minimum = minimum
  }
}

/// Endpoints that fail while others do not are left out for a while. 0 or nil: not looked at.
package struct OutlierDetection: Hashable, Sendable {
  package static let counts: ClosedRange<UInt32> = 0...1_000_000
  package static let times: ClosedRange<UInt32> = 1...86_400_000
  package static let percents: ClosedRange<UInt8> = 0...100

  /// Answers of 5xx, resets and failed connections in a row.
  package var consecutiveErrors: UInt32
  /// Answers of 502, 503 and 504, resets and failed connections in a row.
  package var consecutiveGatewayErrors: UInt32
  package var successRate: SuccessRate?
  package var intervalMilliseconds: UInt32
  /// Times how often the endpoint was ejected in a row.
  package var baseEjectionMilliseconds: UInt32
  package var maximumEjectionMilliseconds: UInt32
  /// Of the endpoints; one may be ejected always.
  package var maximumEjectionPercent: UInt8

  /// Below mean minus `deviations` thousandths of the standard deviation of all endpoints with at least `requests` in the interval,
  /// if at least `endpoints` have so many (Envoy's rule).
  package struct SuccessRate: Hashable, Sendable {
    package static let counts: ClosedRange<UInt32> = 1...1_000_000
    package static let allDeviations: ClosedRange<UInt32> = 1...100_000

    package var endpoints: UInt32
    package var requests: UInt32
    package var deviations: UInt32

    package init(endpoints: UInt32 = 5, requests: UInt32 = 100, deviations: UInt32 = 1900) {
      self.endpoints = endpoints
      self.requests = requests
      self.deviations = deviations
    }
  }

  package init(
    consecutiveErrors: UInt32 = 5, consecutiveGatewayErrors: UInt32 = 0, successRate: SuccessRate? = nil,
    intervalMilliseconds: UInt32 = 10_000, baseEjectionMilliseconds: UInt32 = 30_000,
    maximumEjectionMilliseconds: UInt32 = 300_000, maximumEjectionPercent: UInt8 = 10
  ) {
    self.consecutiveErrors = consecutiveErrors
    self.consecutiveGatewayErrors = consecutiveGatewayErrors
    self.successRate = successRate
    self.intervalMilliseconds = intervalMilliseconds
    self.baseEjectionMilliseconds = baseEjectionMilliseconds
    self.maximumEjectionMilliseconds = maximumEjectionMilliseconds
    self.maximumEjectionPercent = maximumEjectionPercent
  }
}

/// What one proxy may have open toward a service port, all its endpoints together. Nil: no limit. What is beyond is answered
/// with 503 and `x-martlet-overloaded`, a connection is reset.
package struct ConnectionLimits: Hashable, Sendable {
  /// Of connections and requests at least 1, of what waits or is repeated also none.
  package static let counts: ClosedRange<UInt32> = 0...10_000_000

  package var connections: UInt32?
  /// That wait for a connection.
  package var pendingRequests: UInt32?
  package var requests: UInt32?
  /// Open at the same time.
  package var retries: UInt32?

  package init(
    connections: UInt32? = nil, pendingRequests: UInt32? = nil, requests: UInt32? = nil, retries: UInt32? = nil
  ) {
    self.connections = connections
    self.pendingRequests = pendingRequests
    self.requests = requests
    self.retries = retries
  }
}

/// Connections to endpoints. Nil: as the proxy has it.
package struct PoolSettings: Hashable, Sendable {
  package static let warmCounts: ClosedRange<UInt32> = 0...16
  package static let times: ClosedRange<UInt32> = 1...86_400_000
  package static let counts: ClosedRange<UInt32> = 1...10_000_000

  package var idleMilliseconds: UInt32?
  /// Nil: as long as it is used.
  package var lifetimeMilliseconds: UInt32?
  /// Nil: any number.
  package var requestsPerConnection: UInt32?
  /// At once on one connection of HTTP/2; the endpoint's own limit holds besides.
  package var streamsPerConnection: UInt32?
  /// That wait for a request, of one loop and one workload toward each endpoint. Nil: none is opened ahead.
  package var warmConnections: UInt32?

  package init(
    idleMilliseconds: UInt32? = nil, lifetimeMilliseconds: UInt32? = nil, requestsPerConnection: UInt32? = nil,
    streamsPerConnection: UInt32? = nil, warmConnections: UInt32? = nil
  ) {
    self.idleMilliseconds = idleMilliseconds
    self.lifetimeMilliseconds = lifetimeMilliseconds
    self.requestsPerConnection = requestsPerConnection
    self.streamsPerConnection = streamsPerConnection
    self.warmConnections = warmConnections
  }
}

/// Attempts after the first. The rule's own `retry` wins over `rule`; the budget holds for both.
package struct RetrySettings: Hashable, Sendable {
  package static let percents: ClosedRange<UInt8> = 0...100
  package static let rates: ClosedRange<UInt32> = 0...1_000_000
  package static let times: ClosedRange<UInt32> = 1...3_600_000
  package static let bodies: ClosedRange<UInt32> = 0...1_048_576
  package static let defaultBudget = Budget(percent: 20, perSecond: 10)

  /// Of the requests of the last ten seconds, and at least so many in a second.
  package struct Budget: Hashable, Sendable {
    package var percent: UInt8
    package var perSecond: UInt32

    package init(percent: UInt8, perSecond: UInt32) {
      self.percent = percent
      self.perSecond = perSecond
    }
  }

  package var budget: Budget
  /// Nil: only what a rule says.
  package var rule: HTTPRetry?
  /// Requests that are not idempotent are repeated too after a connection was lost.
  package var repeatsAll: Bool
  package var perTryMilliseconds: UInt32?
  /// Of the body, kept for a repetition.
  package var bodyBytes: UInt32

  package init(
    budget: Budget = Self.defaultBudget, rule: HTTPRetry? = nil, repeatsAll: Bool = false,
    perTryMilliseconds: UInt32? = nil, bodyBytes: UInt32 = 65_536
  ) {
    self.budget = budget
    self.rule = rule
    self.repeatsAll = repeatsAll
    self.perTryMilliseconds = perTryMilliseconds
    self.bodyBytes = bodyBytes
  }
}

/// A failure on purpose, of requests that bear all of the fields.
package struct Fault: Hashable, Sendable {
  package static let delays: ClosedRange<UInt32> = 1...3_600_000
  package static let statuses: ClosedRange<UInt16> = 400...599
  package static let shares: ClosedRange<UInt16> = 0...10_000

  package enum Effect: Hashable, Sendable {
    case delay(milliseconds: UInt32)
    /// gRPC calls get the code that belongs to the status.
    case abort(status: UInt16)
  }

  package var effect: Effect
  /// Of ten thousand requests.
  package var share: UInt16
  package var headers: [FieldMatch]

  package init(_ effect: Effect, share: UInt16, headers: [FieldMatch] = []) {
    self.effect = effect
    self.share = share
    self.headers = headers
  }
}
