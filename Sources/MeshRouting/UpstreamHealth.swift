import MeshBase
import MeshSnapshot

/// Which endpoints of a service port are left out because they fail, and when they come back. Holds what is rarely needed; what
/// each choice asks is in the `EndpointRecord`s.
///
/// ```
///   healthy ── too many errors in a row, or a success rate below the others' ──► ejected
///      ▲                                                                             │
///      └── the weight has grown ── starting ◄── base time × ejections in a row ──────┘
/// ```
struct UpstreamHealth {
  private struct Member {
    let record: EndpointRecord
    var ejections: [EjectionReason: UInt64] = [:]
    var reason: EjectionReason?
    /// Ejections in a row: it grows with each and shrinks with each interval in which there was none.
    var row: UInt32 = 0
    var returnedAt: UInt64 = 0
  }

  private var outliers: OutlierDetection?
  private var slowStart: SlowStart?
  private var members: [EndpointIdentity: Member] = [:]
  private var intervalEnd: UInt64 = 0
  private var events: [EndpointEvent] = []
  private(set) var ejections: [EjectionReason: UInt64] = [:]
  private var totals: UpstreamTotals?

  /// What is not told is counted all the same.
  private static let mostEvents = 256
  /// Endpoints whose weight begins to grow when time is next told.
  private static let soon = UInt64.max

  // MARK: endpoints

  mutating func use(
    _ endpoints: [EndpointIdentity], _ traffic: TrafficSettings?, of upstream: UpstreamRecord, _ totals: UpstreamTotals
  ) -> [EndpointRecord] {
    self.totals = totals
    self.outliers = traffic?.outliers
    self.slowStart = traffic?.slowStart
    let known = self.members
    self.members = [:]
    self.members.reserveCapacity(endpoints.count)
    let records = endpoints.map { identity in
      let member = known[identity] ?? Self.join(identity, of: upstream, slowly: !known.isEmpty && self.slowStart != nil)
      self.members[identity] = member
      return member.record
    }
    if self.outliers == nil {
      for identity in self.members.keys where self.members[identity]?.record.isEjected == true {
        self.comeBack(identity, now: 0)
      }
    }
    return records
  }

  private static func join(_ identity: EndpointIdentity, of upstream: UpstreamRecord, slowly: Bool) -> Member {
    let record = EndpointRecord(identity, of: upstream)
    if slowly { record.start(at: Self.soon) }
    return Member(record: record)
  }

  mutating func retire() {
    self.members = [:]
    self.outliers = nil
  }

  // MARK: ejection

  /// False: it stays, because it is out already, or too many are.
  mutating func eject(_ endpoint: EndpointRecord, _ reason: EjectionReason, now: UInt64) -> Bool {
    guard let outliers = self.outliers, var member = self.members[endpoint.identity], member.record === endpoint,
      !endpoint.isEjected
    else { return false }
    // An endpoint of two families is two: whoever dials one of them has no use for the other.
    let isV4 = endpoint.identity.target.address.isV4
    var (count, ejected) = (0, 0)
    for (identity, other) in self.members where identity.target.address.isV4 == isV4 {
      count += 1
      if other.record.isEjected { ejected += 1 }
    }
    guard outliers.mayEject(ejected: ejected, of: count) else { return false }
    member.row = min(member.row, .max - 1) + 1
    member.reason = reason
    member.ejections[reason, default: 0] += 1
    self.ejections[reason, default: 0] += 1
    self.totals?.ejected(reason)
    self.members[endpoint.identity] = member
    let milliseconds = outliers.ejectionMilliseconds(times: member.row)
    endpoint.eject(until: now + milliseconds)
    self.tell(endpoint, .ejected(reason, milliseconds: milliseconds))
    return true
  }

  private mutating func comeBack(_ identity: EndpointIdentity, now: UInt64) {
    guard let record = self.members[identity]?.record else { return }
    record.comeBack()
    record.start(at: self.slowStart == nil ? 0 : now)
    self.members[identity]?.reason = nil
    self.members[identity]?.returnedAt = now
    self.tell(record, .returned)
  }

  private mutating func tell(_ endpoint: EndpointRecord, _ change: EndpointEvent.Change) {
    guard self.events.count < Self.mostEvents else { return }
    let upstream = endpoint.upstream
    self.events.append(
      EndpointEvent(service: upstream.service, port: upstream.port, endpoint: endpoint.identity, change: change))
  }

  mutating func takeEvents() -> [EndpointEvent] {
    guard !self.events.isEmpty else { return [] }
    defer { self.events = [] }
    return self.events
  }

  // MARK: time

  var ticks: Bool { self.outliers != nil || self.slowStart != nil }

  /// True: something changed of what choices go by.
  mutating func tick(now: UInt64) -> Bool {
    guard self.ticks else { return false }
    var changed = false
    for (identity, member) in self.members {
      let record = member.record
      if record.isEjected, record.ejectionEnd <= now {
        self.comeBack(identity, now: now)
        changed = true
      } else if record.startMoment != 0 {
        changed = self.grow(record, now: now) || changed
      }
    }
    guard let outliers = self.outliers, now >= self.intervalEnd else { return changed }
    self.intervalEnd = now + max(1, UInt64(outliers.intervalMilliseconds))
    self.forgive(before: now)
    if let rule = outliers.successRate { changed = self.compare(by: rule, now: now) || changed }
    return changed
  }

  private func grow(_ record: EndpointRecord, now: UInt64) -> Bool {
    guard let slowStart = self.slowStart else {
      record.start(at: 0)
      return true
    }
    if record.startMoment == Self.soon {
      record.start(at: max(1, now))
      return true
    }
    guard slowStart.perMille(of: record, now: now) == 1000 else { return false }
    record.start(at: 0)
    return true
  }

  /// Who was not ejected for an interval was so once less.
  private mutating func forgive(before now: UInt64) {
    guard let interval = self.outliers?.intervalMilliseconds else { return }
    for identity in self.members.keys {
      guard let member = self.members[identity], member.row > 0, !member.record.isEjected,
        now >= member.returnedAt + UInt64(interval)
      else { continue }
      self.members[identity]?.row -= 1
    }
  }

  private mutating func compare(by rule: OutlierDetection.SuccessRate, now: UInt64) -> Bool {
    var rates: [(record: EndpointRecord, rate: Double)] = []
    for member in self.members.values {
      let (requests, successes) = member.record.takeRate()
      guard requests >= max(1, UInt64(rule.requests)), !member.record.isEjected else { continue }
      rates.append((member.record, Double(successes) / Double(requests)))
    }
    guard let threshold = rule.threshold(of: rates.map(\.rate)) else { return false }
    var changed = false
    // The worst first: not all may go.
    for (record, rate) in rates.sorted(by: { $0.rate < $1.rate }) where rate < threshold {
      changed = self.eject(record, .successRate, now: now) || changed
    }
    return changed
  }

  // MARK: for `show`

  func states(now: UInt64) -> [EndpointState] {
    self.members.values.sorted { $0.record.identity.target < $1.record.identity.target }.map { member in
      let record = member.record
      var health = EndpointState.Health.healthy
      if record.isEjected, let reason = member.reason {
        health = .ejected(reason, until: record.ejectionEnd)
      } else if let slowStart = self.slowStart, record.startMoment != 0 {
        health = .starting(UInt8(slowStart.perMille(of: record, now: now) / 10))
      }
      return EndpointState(
        endpoint: record.identity, health: health, openAttempts: record.openAttempts,
        latencyMicroseconds: record.lastLatency, ejections: member.ejections)
    }
  }
}
