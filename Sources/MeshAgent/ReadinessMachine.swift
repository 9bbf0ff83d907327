import MeshSnapshot

/// Whether one workload can serve, from the outcomes of its checks. Thresholds as Kubernetes has them: so many failures in
/// a row make a ready workload unready, so many successes in a row an unready one ready.
struct ReadinessMachine: Equatable, Sendable {
  enum Verdict: Equatable, Sendable {
    /// Never ready yet. Not ready.
    case pending
    case ready
    /// Was ready once. Not ready.
    case failing
  }

  enum Outcome: Equatable, Sendable {
    case success
    /// `ECONNREFUSED`, `timeout`, …
    case failure(String)
  }

  private(set) var verdict: Verdict
  /// Outcomes in a row against the verdict.
  private(set) var contrary: UInt32 = 0
  /// Of the last check that failed, until one succeeds.
  private(set) var failure: String?

  init(verdict: Verdict = .pending) { self.verdict = verdict }

  var isReady: Bool { self.verdict == .ready }

  /// True if the verdict is another one now, or its cause.
  mutating func finished(_ outcome: Outcome, _ check: ReadinessCheck) -> Bool {
    let before = (self.verdict, self.failure)
    switch outcome {
    case .success:
      self.failure = nil
      self.count(against: self.isReady, check.successThreshold, then: .ready)
    case .failure(let cause):
      self.failure = cause
      self.count(against: !self.isReady, check.failureThreshold, then: .failing)
    }
    return self.verdict != before.0 || (!self.isReady && self.failure != before.1)
  }

  /// - Parameter confirms: the outcome agrees with the verdict.
  private mutating func count(against confirms: Bool, _ threshold: UInt32, then verdict: Verdict) {
    guard !confirms else { return self.contrary = 0 }
    self.contrary += 1
    if self.contrary >= threshold {
      self.contrary = 0
      self.verdict = verdict
    }
  }
}
