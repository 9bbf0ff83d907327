import MeshBase
import MeshSnapshot

// TrafficPolicy: how calls of a Service are spread, limited, retried and failed on purpose.

extension ResourceDecoder {
  func trafficPolicy(_ top: inout Fields) -> TrafficPolicySpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    let targets = self.targets(&spec)
    guard let key = self.key, let name = ResourceName(namespace: key.namespace, name: key.name) else { return nil }
    var result = TrafficPolicySpec(targets: targets, settings: TrafficSettings(origin: name))
    if let field = spec.optional("loadBalancing") { Self.loadBalancing(field, &result.settings) }
    if let field = spec.optional("outlierDetection") { result.settings.outliers = Self.outliers(field) }
    if let field = spec.optional("limits") { result.settings.limits = Self.limits(field) }
    if let field = spec.optional("connectionPool") { result.settings.pool = Self.pool(field) }
    if let field = spec.optional("retries") { result.settings.retries = Self.retries(field) }
    result.settings.faults = Self.items(spec.optional("faults"), TrafficPolicySpec.mostFaults).compactMap {
      Self.fault($0)
    }
    if let field = spec.optional("healthCheck") {
      result.healthCheck = Self.healthCheck(field)
      result.healthCheckPosition = field.position
    }
    spec.refuse(
      ["hedging"],
      because:
        "a second copy of a request that is only slow adds load when there is least room for it, and is wrong for all that may not be repeated",
      next: "use retries.perTryTimeout, which gives an attempt up before another begins, and LeastRequest")
    spec.refuse(
      ["timeouts"], because: "time limits are a route's", next: "write timeouts at a rule of an HTTPRoute")
    spec.refuse(
      ["mirrors"], because: "mirrors are a route's", next: "use the filter RequestMirror of an HTTPRoute")
    spec.finish()
    return result
  }

  /// Services of the policy's own namespace, each once, or ports of them.
  private func targets(_ spec: inout Fields) -> [RouteParent] {
    var result: [RouteParent] = []
    let list = spec.required("targetRefs")?.list() ?? []
    Self.limit(list, 16)
    for field in list {
      guard var item = field.fields() else { continue }
      if let group = item.optional("group"), let text = group.text(), !text.isEmpty {
        group.fail("group \(quotedForMessage(text)) has nothing that is called", next: "write group: \"\" or remove it")
      }
      if let kind = item.optional("kind"), let text = kind.text(), text != "Service" {
        kind.fail("\(quotedForMessage(text)) is nothing that is called", next: "write kind: Service")
      }
      item.refuse(
        ["namespace"], because: "a policy is for Services of its own namespace",
        next: "write the policy into the Service's namespace")
      let name = Self.serviceName(&item)
      let section = item.optional("sectionName").flatMap { Self.sectionName($0) }
      item.finish()
      guard let name, let namespace, let service = ResourceName(namespace: namespace, name: name) else { continue }
      if result.contains(where: { $0.service == service && $0.portName == section }) {
        field.fail("the same target stands twice", next: "remove one of them")
      }
      result.append(RouteParent(service: service, portName: section, position: field.position))
    }
    return result
  }

  private static func loadBalancing(_ field: Field, _ settings: inout TrafficSettings) {
    guard var fields = field.fields() else { return }
    let hashField = fields.optional("hashOn")
    let keys = hashField.flatMap { $0.list() }?.compactMap { Self.hashKey($0) } ?? []
    if let field = fields.optional("policy") {
      let words = ["RoundRobin", "Random", "LeastRequest", "RingHash", "Maglev"]
      switch Self.word(field, of: words) {
      case "RoundRobin": settings.balancer = .roundRobin
      case "Random": settings.balancer = .random
      case "LeastRequest": settings.balancer = .leastRequest
      case "RingHash": settings.balancer = .ringHash(keys)
      case "Maglev": settings.balancer = .maglev(keys)
      default: break
      }
    }
    switch settings.balancer {
    case .ringHash, .maglev:
      if hashField == nil {
        field.fail("nothing says what is hashed", next: "add hashOn, as in hashOn: [{header: x-user}]")
      }
    case nil, .roundRobin, .random, .leastRequest:
      hashField?.fail("only RingHash and Maglev hash", next: "remove hashOn, or set policy to one of the two")
    }
    settings.slowStart = fields.optional("slowStart").flatMap { Self.slowStart($0) }
    if let percent = fields.count("panicThresholdPercent", TrafficSettings.panicThresholds) {
      settings.panicThreshold = percent
    }
    settings.locality = fields.optional("locality").flatMap { Self.localityPreference($0) }
    fields.finish()
  }

  private static func hashKey(_ field: Field) -> HashKey? {
    guard var item = field.fields() else { return nil }
    var found: [HashKey] = []
    if let name = item.optional("header").flatMap({ RequestRouteDecoder.token($0) }) {
      found.append(.header(name.lowercased()))
    }
    if let name = item.optional("cookie").flatMap({ RequestRouteDecoder.token($0) }) { found.append(.cookie(name)) }
    if let name = item.optional("query").flatMap({ RequestRouteDecoder.text($0, limit: 256, isTrimmed: false) }) {
      found.append(.query(name))
    }
    if let source = item.optional("source")?.fields() {
      source.finish()
      found.append(.source)
    }
    let errors = field.sink.errors
    item.finish()
    guard field.sink.errors == errors else { return nil }
    if item.isEmpty || found.count > 1 {
      field.fail("a key is one thing", next: "write one of header, cookie, query, and source: {}")
    }
    return found.first
  }

  private static func slowStart(_ field: Field) -> SlowStart? {
    guard var fields = field.fields() else { return nil }
    let window = fields.required("window").flatMap { Self.duration($0, in: SlowStart.windows) }
    let minimum = fields.count("minimumPercent", SlowStart.minimums)
    fields.finish()
    guard let window else { return nil }
    var result = SlowStart(windowMilliseconds: window)
    if let minimum { result.minimum = minimum }
    return result
  }

  private static func localityPreference(_ field: Field) -> LocalityPreference? {
    guard var fields = field.fields() else { return nil }
    var result = LocalityPreference()
    if let minimum = fields.count("minimumPercent", LocalityPreference.minimums) { result.minimum = minimum }
    for field in Self.items(fields.optional("failover"), LocalityPreference.mostRegions) {
      guard let region = field.text() else { continue }
      if !Locality.isPart(region) {
        field.fail(
          "\(quotedForMessage(region)) is no name of a region",
          next: "use letters, digits, '-', '_' and '.', as at spec.locality of a Workload")
      } else if result.failover.contains(region) {
        field.fail("\(region) stands twice", next: "remove one of them")
      } else {
        result.failover.append(region)
      }
    }
    fields.finish()
    return result
  }

  private static func outliers(_ field: Field) -> OutlierDetection? {
    guard var fields = field.fields() else { return nil }
    var result = OutlierDetection()
    if let count = fields.count("consecutiveErrors", OutlierDetection.counts) { result.consecutiveErrors = count }
    if let count = fields.count("consecutiveGatewayErrors", OutlierDetection.counts) {
      result.consecutiveGatewayErrors = count
    }
    if let field = fields.optional("successRate"), var rate = field.fields() {
      var successRate = OutlierDetection.SuccessRate()
      let counts = OutlierDetection.SuccessRate.counts
      if let count = rate.count("endpoints", counts) { successRate.endpoints = count }
      if let count = rate.count("requests", counts) { successRate.requests = count }
      if let value = rate.optional("deviations")?.decimal(places: 3, OutlierDetection.SuccessRate.allDeviations) {
        successRate.deviations = value
      }
      rate.finish()
      result.successRate = successRate
    }
    if let time = fields.time("interval", OutlierDetection.times) { result.intervalMilliseconds = time }
    if let time = fields.time("baseEjectionTime", OutlierDetection.times) { result.baseEjectionMilliseconds = time }
    let longest = fields.optional("maxEjectionTime")
    if let time = longest.flatMap({ Self.duration($0, in: OutlierDetection.times) }) {
      result.maximumEjectionMilliseconds = time
    }
    if let percent = fields.count("maxEjectionPercent", OutlierDetection.percents) {
      result.maximumEjectionPercent = percent
    }
    fields.finish()
    if result.maximumEjectionMilliseconds < result.baseEjectionMilliseconds {
      if let longest {
        longest.fail("shorter than baseEjectionTime", next: "write at least as long a time")
      } else {
        result.maximumEjectionMilliseconds = result.baseEjectionMilliseconds
      }
    }
    if result.consecutiveErrors == 0, result.consecutiveGatewayErrors == 0, result.successRate == nil {
      field.warn(
        "nothing is looked at, so that nothing is ejected",
        next: "set consecutiveErrors, consecutiveGatewayErrors or successRate")
    }
    return result
  }

  private static func limits(_ field: Field) -> ConnectionLimits {
    guard var fields = field.fields() else { return ConnectionLimits() }
    let counts = ConnectionLimits.counts
    let some = 1...counts.upperBound
    let result = ConnectionLimits(
      connections: fields.count("connections", some), pendingRequests: fields.count("pendingRequests", counts),
      requests: fields.count("requests", some), retries: fields.count("retries", counts))
    fields.finish()
    return result
  }

  private static func pool(_ field: Field) -> PoolSettings {
    guard var fields = field.fields() else { return PoolSettings() }
    let result = PoolSettings(
      idleMilliseconds: fields.time("idleTimeout", PoolSettings.times),
      lifetimeMilliseconds: fields.time("lifetime", PoolSettings.times),
      requestsPerConnection: fields.count("requestsPerConnection", PoolSettings.counts),
      streamsPerConnection: fields.count("streamsPerConnection", PoolSettings.counts),
      warmConnections: fields.count("warmConnections", PoolSettings.warmCounts))
    fields.finish()
    return result
  }

  private static func retries(_ field: Field) -> RetrySettings {
    guard var fields = field.fields() else { return RetrySettings() }
    var result = RetrySettings()
    if var budget = fields.optional("budget")?.fields() {
      if let percent = budget.count("percent", RetrySettings.percents) { result.budget.percent = percent }
      if let rate = budget.count("perSecond", RetrySettings.rates) { result.budget.perSecond = rate }
      budget.finish()
    }
    result.rule = RequestRouteDecoder.retryRule(&fields, isAsked: false)
    if let flag = fields.optional("nonIdempotent")?.flag() { result.repeatsAll = flag }
    result.perTryMilliseconds = fields.time("perTryTimeout", RetrySettings.times)
    if let bytes = fields.count("bodyBytes", RetrySettings.bodies) { result.bodyBytes = bytes }
    fields.finish()
    return result
  }

  private static func fault(_ field: Field) -> Fault? {
    guard var fields = field.fields() else { return nil }
    let errors = field.sink.errors
    var found: [Fault] = []
    func share(_ fields: inout Fields) -> UInt16? {
      fields.required("percent")?.decimal(places: 2, Fault.shares)
    }
    if var delay = fields.optional("delay")?.fields() {
      let percent = share(&delay)
      let time = delay.required("duration").flatMap { Self.duration($0, in: Fault.delays) }
      delay.finish()
      if let percent, let time { found.append(Fault(.delay(milliseconds: time), share: percent)) }
    }
    if var abort = fields.optional("abort")?.fields() {
      let percent = share(&abort)
      let status = abort.required("status").flatMap { $0.count(Fault.statuses) }
      abort.finish()
      if let percent, let status { found.append(Fault(.abort(status: status), share: percent)) }
    }
    let headers = RequestRouteDecoder.headers(fields.optional("headers"))
    fields.finish()
    guard field.sink.errors == errors else { return nil }
    guard found.count == 1, var fault = found.first else {
      field.fail("a fault is one thing", next: "write one of delay and abort; two faults are two items of the list")
      return nil
    }
    fault.headers = headers
    return fault
  }
}

extension Fields {
  /// A whole number, if the field is there.
  mutating func count<Number: FixedWidthInteger>(_ name: String, _ range: ClosedRange<Number>) -> Number? {
    self.optional(name)?.count(range)
  }

  /// A duration in milliseconds, if the field is there.
  mutating func time(_ name: String, _ range: ClosedRange<UInt32>) -> UInt32? {
    self.optional(name).flatMap { ResourceDecoder.duration($0, in: range) }
  }
}
