import MeshBase
import MeshSnapshot

// As of rules for requests, what is not understood is refused: half of a setting is another one.

extension Martlet_Entries_V1_Traffic {
  init(_ traffic: TrafficSettings) {
    self.init()
    self.origin = traffic.origin.description
    switch traffic.balancer {
    case nil: self.balancer = .unspecified
    case .roundRobin: self.balancer = .roundRobin
    case .random: self.balancer = .random
    case .leastRequest: self.balancer = .leastRequest
    case .ringHash(let keys):
      self.balancer = .ringHash
      self.hashKeys = keys.map { Martlet_Entries_V1_HashKey($0) }
    case .maglev(let keys):
      self.balancer = .maglev
      self.hashKeys = keys.map { Martlet_Entries_V1_HashKey($0) }
    }
    if let locality = traffic.locality {
      var message = Martlet_Entries_V1_LocalityPreference()
      message.minimum = UInt32(locality.minimum)
      message.failover = locality.failover
      self.locality = [message]
    }
    if let slowStart = traffic.slowStart {
      var message = Martlet_Entries_V1_SlowStart()
      message.windowMilliseconds = slowStart.windowMilliseconds
      message.minimum = UInt32(slowStart.minimum)
      self.slowStart = [message]
    }
    self.panicThreshold = UInt32(traffic.panicThreshold)
    self.outliers = traffic.outliers.map { [Martlet_Entries_V1_OutlierDetection($0)] } ?? []
    if traffic.limits != ConnectionLimits() { self.limits = [Martlet_Entries_V1_ConnectionLimits(traffic.limits)] }
    if traffic.pool != PoolSettings() { self.pool = [Martlet_Entries_V1_PoolSettings(traffic.pool)] }
    self.retries = [Martlet_Entries_V1_RetrySettings(traffic.retries)]
    self.faults = traffic.faults.map { Martlet_Entries_V1_Fault($0) }
  }
}

extension TrafficSettings {
  init(_ message: Martlet_Entries_V1_Traffic, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      origin: try field["origin"].resourceName(message.origin), balancer: try Balancer.of(message, field),
      locality: try field["locality"].atMostOne(message.locality) { part, field throws(MeshError) in
        try LocalityPreference(part, field)
      },
      slowStart: try field["slow_start"].atMostOne(message.slowStart) { part, field throws(MeshError) in
        try SlowStart(part, field)
      },
      panicThreshold: try field["panic_threshold"].number(message.panicThreshold, in: Self.panicThresholds),
      outliers: try field["outliers"].atMostOne(message.outliers) { part, field throws(MeshError) in
        try OutlierDetection(part, field)
      },
      limits: try field["limits"].atMostOne(message.limits) { part, field throws(MeshError) in
        try ConnectionLimits(part, field)
      } ?? ConnectionLimits(),
      pool: try field["pool"].atMostOne(message.pool) { part, field throws(MeshError) in
        try PoolSettings(part, field)
      } ?? PoolSettings(),
      faults: try field["faults"].list(message.faults) { part, field throws(MeshError) in try Fault(part, field) })
    let retries = try field["retries"].atMostOne(message.retries) { part, field throws(MeshError) in
      try RetrySettings(part, field)
    }
    guard let retries else { throw field["retries"].error("missing") }
    self.retries = retries
  }
}

extension Balancer {
  fileprivate static func of(_ message: Martlet_Entries_V1_Traffic, _ field: FieldPath) throws(MeshError) -> Balancer? {
    let keys = try field["hash_keys"].list(message.hashKeys) { key, field throws(MeshError) in try HashKey(key, field) }
    let balancer: Balancer?
    switch message.balancer {
    case .ringHash, .maglev:
      guard !keys.isEmpty else { throw field["hash_keys"].error("missing") }
      return message.balancer == .maglev ? .maglev(keys) : .ringHash(keys)
    case .unspecified: balancer = nil
    case .roundRobin: balancer = .roundRobin
    case .random: balancer = .random
    case .leastRequest: balancer = .leastRequest
    case .UNRECOGNIZED(let value): throw field["balancer"].error("\(value) is unknown to this version")
    }
    guard keys.isEmpty else { throw field["hash_keys"].error("beside a balancer that hashes nothing") }
    return balancer
  }
}

extension Martlet_Entries_V1_HashKey {
  fileprivate init(_ key: HashKey) {
    self.init()
    self.key =
      switch key {
      case .header(let name): .header(name)
      case .cookie(let name): .cookie(name)
      case .query(let name): .query(name)
      case .source: .source(true)
      }
  }
}

extension HashKey {
  fileprivate init(_ message: Martlet_Entries_V1_HashKey, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    switch message.key {
    case .header(let name): self = .header(try field["header"].headerName(name))
    case .cookie(let name): self = .cookie(try field["cookie"].token(name))
    case .query(let name): self = .query(try field["query"].text(name, limit: 256))
    case .source(let isSource):
      guard isSource else { throw field["source"].error("must be true") }
      self = .source
    case nil: throw field.error("missing, or unknown to this version")
    }
  }
}

extension LocalityPreference {
  fileprivate init(_ message: Martlet_Entries_V1_LocalityPreference, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      minimum: try field["minimum"].number(message.minimum, in: Self.minimums),
      failover: try field["failover"].list(message.failover) { region, field throws(MeshError) in
        guard Locality.isPart(region) else { throw field.error("no name of a region") }
        return region
      })
  }
}

extension SlowStart {
  fileprivate init(_ message: Martlet_Entries_V1_SlowStart, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      windowMilliseconds: try field["window_milliseconds"].number(message.windowMilliseconds, in: Self.windows),
      minimum: try field["minimum"].number(message.minimum, in: Self.minimums))
  }
}

extension Martlet_Entries_V1_OutlierDetection {
  fileprivate init(_ outliers: OutlierDetection) {
    self.init()
    self.consecutiveErrors = outliers.consecutiveErrors
    self.consecutiveGatewayErrors = outliers.consecutiveGatewayErrors
    if let rate = outliers.successRate {
      var message = Martlet_Entries_V1_SuccessRate()
      message.endpoints = rate.endpoints
      message.requests = rate.requests
      message.deviations = rate.deviations
      self.successRate = [message]
    }
    self.intervalMilliseconds = outliers.intervalMilliseconds
    self.baseEjectionMilliseconds = outliers.baseEjectionMilliseconds
    self.maximumEjectionMilliseconds = outliers.maximumEjectionMilliseconds
    self.maximumEjectionPercent = UInt32(outliers.maximumEjectionPercent)
  }
}

extension OutlierDetection {
  fileprivate init(_ message: Martlet_Entries_V1_OutlierDetection, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      consecutiveErrors: try field["consecutive_errors"].number(message.consecutiveErrors, in: Self.counts),
      consecutiveGatewayErrors: try field["consecutive_gateway_errors"].number(
        message.consecutiveGatewayErrors, in: Self.counts),
      successRate: try field["success_rate"].atMostOne(message.successRate) { part, field throws(MeshError) in
        try SuccessRate(part, field)
      },
      intervalMilliseconds: try field["interval_milliseconds"].number(message.intervalMilliseconds, in: Self.times),
      baseEjectionMilliseconds: try field["base_ejection_milliseconds"].number(
        message.baseEjectionMilliseconds, in: Self.times),
      maximumEjectionMilliseconds: try field["maximum_ejection_milliseconds"].number(
        message.maximumEjectionMilliseconds, in: Self.times),
      maximumEjectionPercent: try field["maximum_ejection_percent"].number(
        message.maximumEjectionPercent, in: Self.percents))
  }
}

extension OutlierDetection.SuccessRate {
  fileprivate init(_ message: Martlet_Entries_V1_SuccessRate, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      endpoints: try field["endpoints"].number(message.endpoints, in: Self.counts),
      requests: try field["requests"].number(message.requests, in: Self.counts),
      deviations: try field["deviations"].number(message.deviations, in: Self.allDeviations))
  }
}

extension Martlet_Entries_V1_ConnectionLimits {
  fileprivate init(_ limits: ConnectionLimits) {
    self.init()
    if let number = limits.connections { self.connections = number }
    if let number = limits.pendingRequests { self.pendingRequests = number }
    if let number = limits.requests { self.requests = number }
    if let number = limits.retries { self.retries = number }
  }
}

extension ConnectionLimits {
  fileprivate init(_ message: Martlet_Entries_V1_ConnectionLimits, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    let counts = Self.counts
    let some = 1...counts.upperBound
    self.init(
      connections: message.hasConnections ? try field["connections"].number(message.connections, in: some) : nil,
      pendingRequests: message.hasPendingRequests
        ? try field["pending_requests"].number(message.pendingRequests, in: counts) : nil,
      requests: message.hasRequests ? try field["requests"].number(message.requests, in: some) : nil,
      retries: message.hasRetries ? try field["retries"].number(message.retries, in: counts) : nil)
  }
}

extension Martlet_Entries_V1_PoolSettings {
  fileprivate init(_ pool: PoolSettings) {
    self.init()
    if let number = pool.idleMilliseconds { self.idleMilliseconds = number }
    if let number = pool.lifetimeMilliseconds { self.lifetimeMilliseconds = number }
    if let number = pool.requestsPerConnection { self.requestsPerConnection = number }
    if let number = pool.streamsPerConnection { self.streamsPerConnection = number }
    if let number = pool.warmConnections { self.warmConnections = number }
  }
}

extension PoolSettings {
  fileprivate init(_ message: Martlet_Entries_V1_PoolSettings, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      idleMilliseconds: message.hasIdleMilliseconds
        ? try field["idle_milliseconds"].number(message.idleMilliseconds, in: Self.times) : nil,
      lifetimeMilliseconds: message.hasLifetimeMilliseconds
        ? try field["lifetime_milliseconds"].number(message.lifetimeMilliseconds, in: Self.times) : nil,
      requestsPerConnection: message.hasRequestsPerConnection
        ? try field["requests_per_connection"].number(message.requestsPerConnection, in: Self.counts) : nil,
      streamsPerConnection: message.hasStreamsPerConnection
        ? try field["streams_per_connection"].number(message.streamsPerConnection, in: Self.counts) : nil,
      warmConnections: message.hasWarmConnections
        ? try field["warm_connections"].number(message.warmConnections, in: Self.warmCounts) : nil)
  }
}

extension Martlet_Entries_V1_RetrySettings {
  fileprivate init(_ retries: RetrySettings) {
    self.init()
    self.budgetPercent = UInt32(retries.budget.percent)
    self.budgetPerSecond = retries.budget.perSecond
    self.rule = retries.rule.map { [Martlet_Entries_V1_HTTPRetry($0)] } ?? []
    self.repeatsAll = retries.repeatsAll
    if let time = retries.perTryMilliseconds { self.perTryMilliseconds = time }
    self.bodyBytes = retries.bodyBytes
  }
}

extension RetrySettings {
  fileprivate init(_ message: Martlet_Entries_V1_RetrySettings, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      budget: Budget(
        percent: try field["budget_percent"].number(message.budgetPercent, in: Self.percents),
        perSecond: try field["budget_per_second"].number(message.budgetPerSecond, in: Self.rates)),
      rule: try field["rule"].atMostOne(message.rule) { rule, field throws(MeshError) in try HTTPRetry(rule, field) },
      repeatsAll: message.repeatsAll,
      perTryMilliseconds: message.hasPerTryMilliseconds
        ? try field["per_try_milliseconds"].number(message.perTryMilliseconds, in: Self.times) : nil,
      bodyBytes: try field["body_bytes"].number(message.bodyBytes, in: Self.bodies))
  }
}

extension Martlet_Entries_V1_Fault {
  fileprivate init(_ fault: Fault) {
    self.init()
    self.effect =
      switch fault.effect {
      case .delay(let milliseconds): .delayMilliseconds(milliseconds)
      case .abort(let status): .abortStatus(UInt32(status))
      }
    self.share = UInt32(fault.share)
    self.headers = fault.headers.map { Martlet_Entries_V1_FieldMatch($0) }
  }
}

extension Fault {
  fileprivate init(_ message: Martlet_Entries_V1_Fault, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    let effect: Effect
    switch message.effect {
    case .delayMilliseconds(let time):
      effect = .delay(milliseconds: try field["delay_milliseconds"].number(time, in: Self.delays))
    case .abortStatus(let status):
      effect = .abort(status: try field["abort_status"].number(status, in: Self.statuses))
    case nil: throw field.error("missing, or unknown to this version")
    }
    self.init(
      effect, share: try field["share"].number(message.share, in: Self.shares),
      headers: try FieldMatch.list(message.headers, field["headers"]))
    for (index, header) in self.headers.enumerated() {
      _ = try field["headers"][index]["name"].headerName(header.name)
    }
  }
}
