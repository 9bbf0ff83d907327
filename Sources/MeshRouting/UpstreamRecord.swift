package import MeshBase
package import MeshSnapshot
import Synchronization

/// The numbers of a service port: what is open toward it, what its callers may still repeat, and how its endpoints are. One for all
/// tables and loops, so that counts outlive a change of endpoints. Everything on the way of a request is a relaxed atomic; the lock
/// is for ejections and for `tick`.
package final class UpstreamRecord: Sendable {
  package enum Resource: Int, Sendable, CaseIterable {
    case connections
    /// Requests that wait for a connection.
    case pendingRequests
    case requests
    case retries

    /// For metrics.
    package var word: String {
      switch self {
      case .connections: "connections"
      case .pendingRequests: "pending_requests"
      case .requests: "requests"
      case .retries: "retries"
      }
    }
  }

  package let service: ResourceName
  package let port: UInt16
  private let open = InlineArray<4, Atomic<Int>> { _ in Atomic<Int>(0) }
  private let overflows = InlineArray<4, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
  private let budget = RetryBudget()
  private let spent = Atomic<UInt64>(0)
  /// Whose turn it is, of the endpoints of either family.
  let turns = InlineArray<2, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
  /// Moves with every change of an endpoint's health.
  let epoch = Atomic<UInt64>(1)
  let limits = HealthLimits()
  private let health: Mutex<UpstreamHealth>
  private let totals: UpstreamTotals
  private let used = Atomic<Bool>(false)
  /// Time means something to its endpoints.
  private let ticks = Atomic<Bool>(false)
  /// Requests that wait because there may be no more connections (`+Pending`), and how many they are.
  let pending = Mutex(PendingQueue<PendingLane, PendingWaiter>())
  let waiting = Atomic<Int>(0)
  /// Connections at rest.
  private let resting = Atomic<Int>(0)

  package init(service: ResourceName, port: UInt16, totals: UpstreamTotals = UpstreamTotals()) {
    self.service = service
    self.port = port
    self.totals = totals
    self.health = Mutex(UpstreamHealth())
  }

  // MARK: limits

  /// Counts one more until the permit goes. Nil: the limit is reached.
  package func admit(_ resource: Resource, _ limits: ConnectionLimits?) -> Permit? {
    let limit: UInt32? =
      switch resource {
      case .connections: limits?.connections
      case .pendingRequests: limits?.pendingRequests
      case .requests: limits?.requests
      case .retries: limits?.retries
      }
    if self.counts(resource, upTo: limit) { return Permit(self, resource) }
    self.overflowed(resource)
    return nil
  }

  /// One more connection, if that needs no waiting.
  package func admitConnection(_ limits: ConnectionLimits?) -> Permit? {
    let limit = limits?.connections
    if limit != nil, self.isWaitedFor { return nil }
    return self.counts(.connections, upTo: limit) ? Permit(self, .connections) : nil
  }

  /// One more, which somebody has to uncount. False: there are as many as may be. Never more are counted than there are: who ends
  /// one meanwhile would find no room for those that wait.
  func counts(_ resource: Resource, upTo limit: UInt32?) -> Bool {
    guard let limit else {
      self.open[resource.rawValue].wrappingAdd(1, ordering: .sequentiallyConsistent)
      return true
    }
    var open = self.open[resource.rawValue].load(ordering: .sequentiallyConsistent)
    while open < limit {
      let (isDone, now) = self.open[resource.rawValue].compareExchange(
        expected: open, desired: open + 1, ordering: .sequentiallyConsistent)
      if isDone { return true }
      open = now
    }
    return false
  }

  func uncount(_ resource: Resource) {
    self.open[resource.rawValue].wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  /// It was not admitted.
  package func overflowed(_ resource: Resource) {
    self.overflows[resource.rawValue].wrappingAdd(1, ordering: .relaxed)
    self.totals.overflowed(resource)
  }

  package func open(_ resource: Resource) -> Int { self.open[resource.rawValue].load(ordering: .relaxed) }

  /// How many were not admitted.
  package func overflows(_ resource: Resource) -> UInt64 { self.overflows[resource.rawValue].load(ordering: .relaxed) }

  /// One of something that is open, counted until it is dropped: it cannot be copied, so that nothing is given back twice.
  package struct Permit: ~Copyable, Sendable {
    private let record: UpstreamRecord
    private let resource: Resource

    /// It is counted already.
    init(_ record: UpstreamRecord, _ resource: Resource) {
      self.record = record
      self.resource = resource
    }

    deinit {
      self.record.uncount(self.resource)
      if self.resource == .connections { self.record.grant() }
    }
  }

  /// A connection that waits for a request, for as long as this is there.
  package struct Resting: ~Copyable, Sendable {
    private let record: UpstreamRecord

    fileprivate init(_ record: UpstreamRecord) { self.record = record }

    deinit { self.record.resting.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
  }

  package func rests() -> Resting {
    self.resting.wrappingAdd(1, ordering: .sequentiallyConsistent)
    return Resting(self)
  }

  /// Some connection, on whichever loop, waits for a request.
  package var hasResting: Bool { self.resting.load(ordering: .sequentiallyConsistent) > 0 }

  // MARK: the budget of retries

  /// A request of a client began, in milliseconds: what retries are measured by.
  package func countRequest(now: UInt64) { self.budget.countRequest(now: now) }

  /// Whether one more attempt may follow; it is counted then.
  package func affordsRetry(_ budget: RetrySettings.Budget, now: UInt64) -> Bool {
    if self.budget.affords(budget, now: now) { return true }
    self.spent.wrappingAdd(1, ordering: .relaxed)
    self.totals.wasOverBudget()
    return false
  }

  /// Retries that the budget refused.
  package var retriesOverBudget: UInt64 { self.spent.load(ordering: .relaxed) }

  // MARK: endpoints

  /// The endpoints from here on, each with the record that it had, and how they are looked at. Of what is new the weight grows slowly
  /// (`slowStart`), but not if all are.
  func use(_ endpoints: [EndpointIdentity], _ traffic: TrafficSettings?) -> [EndpointRecord] {
    self.limits.use(traffic?.outliers)
    // After the last of it once more: what was ejected comes back, and that is told.
    defer { self.ticks.store(true, ordering: .relaxed) }
    let records = self.health.withLock { $0.use(endpoints, traffic, of: self, self.totals) }
    self.epoch.wrappingAdd(1, ordering: .releasing)
    return records
  }

  /// Nothing leads there any more.
  func retire() { self.health.withLock { $0.retire() } }

  /// So many failures in a row are too many.
  func failedInARow(_ endpoint: EndpointRecord, _ reason: EjectionReason, now: UInt64) {
    if self.health.withLock({ $0.eject(endpoint, reason, now: now) }) {
      self.epoch.wrappingAdd(1, ordering: .releasing)
    }
  }

  /// Once a second, in milliseconds, by one thread.
  func tick(now: UInt64, into events: inout [EndpointEvent]) {
    guard self.ticks.load(ordering: .relaxed) else { return }
    let (changed, news) = self.health.withLock { health in
      self.ticks.store(health.ticks, ordering: .relaxed)
      return (health.tick(now: now), health.takeEvents())
    }
    if changed { self.epoch.wrappingAdd(1, ordering: .releasing) }
    for event in news { events.append(event) }
  }

  /// An attempt began, ever.
  var wasUsed: Bool { self.used.load(ordering: .relaxed) }

  func isUsed() { if !self.wasUsed { self.used.store(true, ordering: .relaxed) } }

  /// How often endpoints were ejected.
  package var ejections: [EjectionReason: UInt64] { self.health.withLock { $0.ejections } }

  /// How every endpoint is.
  func states(now: UInt64) -> [EndpointState] { self.health.withLock { $0.states(now: now) } }
}

/// What an endpoint may do in a row before its upstream looks at it; 0: anything.
struct HealthLimits: ~Copyable {
  let errors = Atomic<UInt32>(0)
  let gatewayErrors = Atomic<UInt32>(0)
  let countsRates = Atomic<Bool>(false)

  func use(_ outliers: OutlierDetection?) {
    self.errors.store(outliers?.consecutiveErrors ?? 0, ordering: .relaxed)
    self.gatewayErrors.store(outliers?.consecutiveGatewayErrors ?? 0, ordering: .relaxed)
    self.countsRates.store(outliers?.successRate != nil, ordering: .relaxed)
  }
}
