package import MeshBase
import Synchronization

/// Which endpoint of an upstream. An address that another workload has now is another one.
package struct EndpointIdentity: Hashable, Sendable {
  package let target: SocketEndpoint
  package let workload: ResourceName?

  package init(target: SocketEndpoint, workload: ResourceName?) {
    self.target = target
    self.workload = workload
  }
}

/// The numbers of an endpoint of a service port, as this proxy sees it. One for all tables and loops.
package final class EndpointRecord: Sendable {
  package let identity: EndpointIdentity
  let upstream: UpstreamRecord
  /// Attempts that are under way.
  private let open = Atomic<Int>(0)
  /// A `PeakLatency`.
  private let latency = Atomic<UInt64>(0)
  /// Milliseconds; 0: never.
  private let failedAt = Atomic<UInt64>(0)
  private let errorsInARow = Atomic<UInt32>(0)
  private let gatewayErrorsInARow = Atomic<UInt32>(0)
  /// Of this interval: requests above, those that succeeded below.
  private let rate = Atomic<UInt64>(0)
  /// Milliseconds; 0: it is not ejected.
  private let ejectedUntil = Atomic<UInt64>(0)
  /// When its weight began to grow, in milliseconds; 0: it has all of it.
  private let startedAt = Atomic<UInt64>(0)

  init(_ identity: EndpointIdentity, of upstream: UpstreamRecord) {
    self.identity = identity
    self.upstream = upstream
  }

  package var openAttempts: Int { self.open.load(ordering: .relaxed) }

  // MARK: what happens

  func began() {
    self.open.wrappingAdd(1, ordering: .relaxed)
    self.upstream.isUsed()
  }

  func left() { self.open.wrappingSubtract(1, ordering: .relaxed) }

  func answered(after microseconds: UInt64, now: UInt64) {
    var known = self.latency.load(ordering: .relaxed)
    while true {
      let (done, found) = self.latency.weakCompareExchange(
        expected: known, desired: PeakLatency(word: known).heard(microseconds, now: now).word, ordering: .relaxed)
      if done { return }
      known = found
    }
  }

  func ended(as outcome: AttemptOutcome, now: UInt64) {
    guard let verdict = outcome.verdict else { return }
    if self.upstream.limits.countsRates.load(ordering: .relaxed) {
      self.rate.wrappingAdd(1 << 32 | (verdict == .success ? 1 : 0), ordering: .relaxed)
    }
    if verdict == .success {
      if self.errorsInARow.load(ordering: .relaxed) != 0 { self.errorsInARow.store(0, ordering: .relaxed) }
    } else {
      self.failedAt.store(max(1, now), ordering: .relaxed)
      self.count(self.errorsInARow, self.upstream.limits.errors, .consecutiveErrors, now: now)
    }
    if verdict == .gatewayError {
      self.count(self.gatewayErrorsInARow, self.upstream.limits.gatewayErrors, .consecutiveGatewayErrors, now: now)
    } else if self.gatewayErrorsInARow.load(ordering: .relaxed) != 0 {
      self.gatewayErrorsInARow.store(0, ordering: .relaxed)
    }
  }

  private func count(
    _ row: borrowing Atomic<UInt32>, _ limit: borrowing Atomic<UInt32>, _ reason: EjectionReason, now: UInt64
  ) {
    let limit = limit.load(ordering: .relaxed)
    guard limit > 0, row.wrappingAdd(1, ordering: .relaxed).newValue >= limit else { return }
    row.store(0, ordering: .relaxed)
    if !self.isEjected { self.upstream.failedInARow(self, reason, now: now) }
  }

  // MARK: for choices

  /// How long a new request would take, in whatever unit, if the mean of the weights divided by its own is `scale`: its latency,
  /// times the requests that are there and the new one, elevenfold when it has just failed. Nil latency: it has not answered yet.
  func cost(scale: Float, now: UInt64) -> (load: Float, latency: Float?) {
    // One is added to the scaled count, not to the count: endpoints at rest get shares by weight, like endpoints under load.
    var load = Float(self.open.load(ordering: .relaxed)) * scale + 1
    let failedAt = self.failedAt.load(ordering: .relaxed)
    if failedAt != 0 {
      let age = now > failedAt ? now - failedAt : 0
      load *= 1 + Self.penalty * PeakLatency.decay(UInt32(clamping: age))
    }
    let latency = PeakLatency(word: self.latency.load(ordering: .relaxed))
    return (load, latency.isKnown ? latency.mean(now: now) : nil)
  }

  private static let penalty: Float = 10

  var isEjected: Bool { self.ejectedUntil.load(ordering: .relaxed) != 0 }

  var startMoment: UInt64 { self.startedAt.load(ordering: .relaxed) }

  // MARK: for the upstream's health

  func eject(until: UInt64) { self.ejectedUntil.store(max(1, until), ordering: .relaxed) }

  func comeBack() {
    self.ejectedUntil.store(0, ordering: .relaxed)
    self.errorsInARow.store(0, ordering: .relaxed)
    self.gatewayErrorsInARow.store(0, ordering: .relaxed)
    self.failedAt.store(0, ordering: .relaxed)
  }

  func start(at moment: UInt64) { self.startedAt.store(moment, ordering: .relaxed) }

  var ejectionEnd: UInt64 { self.ejectedUntil.load(ordering: .relaxed) }

  func takeRate() -> (requests: UInt64, successes: UInt64) {
    let rate = self.rate.exchange(0, ordering: .relaxed)
    return (rate >> 32, rate & 0xffff_ffff)
  }

  /// Microseconds, the mean when it answered last.
  var lastLatency: UInt64? { PeakLatency(word: self.latency.load(ordering: .relaxed)).last }
}
