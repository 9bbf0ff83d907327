import MeshBase
import MeshSnapshot

/// When which workload is checked: each once a period, spread by jitter, no more than some at a time. Pure: time and chance
/// come in, what to do goes out.
struct ReadinessSchedule: Sendable {
  enum Action: Equatable, Sendable {
    case dial(ResourceName)
    /// The check took too long, or is wanted no longer: its connection is to be dropped.
    case abandon(ResourceName)
    /// Its machine says something else than before.
    case tell(ResourceName)
  }

  private enum Phase: Equatable {
    case resting(until: Duration)
    case dialling(deadline: Duration)
  }

  private struct Entry {
    var check: ReadinessCheck
    var machine: ReadinessMachine
    var phase: Phase
    /// Every outcome since the workload came was a failure, or there was none.
    var isStarting: Bool
  }

  /// A workload that never was ready is asked at least so often: whoever starts should not wait for a long period.
  private static let startingPeriod = Duration.seconds(1)

  let concurrency: Int
  private var entries: [ResourceName: Entry] = [:]
  private(set) var dialling = 0

  init(concurrency: Int = 32) { self.concurrency = concurrency }

  subscript(name: ResourceName) -> ReadinessMachine? { self.entries[name]?.machine }

  var isEmpty: Bool { self.entries.isEmpty }

  /// When `tick` has something to do next. Nil: nothing until something else happens.
  var next: Duration? {
    self.entries.values.compactMap { entry -> Duration? in
      switch entry.phase {
      case .dialling(let deadline): deadline
      // Those that are due wait for a place, which the end of another check gives.
      case .resting(let until): self.dialling < self.concurrency ? until : nil
      }
    }.min()
  }

  /// A workload that is to be checked from now on, at once for the first time. One that is known keeps its verdict.
  mutating func add(_ name: ResourceName, _ check: ReadinessCheck, verdict: ReadinessMachine.Verdict, now: Duration) {
    if self.entries[name] != nil {
      self.entries[name]?.check = check
    } else {
      self.entries[name] = Entry(
        check: check, machine: ReadinessMachine(verdict: verdict), phase: .resting(until: now),
        isStarting: verdict == .pending)
    }
  }

  mutating func remove(_ name: ResourceName) -> [Action] {
    guard let entry = self.entries.removeValue(forKey: name), case .dialling = entry.phase else { return [] }
    self.dialling -= 1
    return [.abandon(name)]
  }

  /// - Parameter chance: 0 ..< 1, asked for each check that ends.
  mutating func tick(now: Duration, chance: () -> Double) -> [Action] {
    var actions: [Action] = []
    for (name, entry) in self.entries.sorted(by: { $0.key < $1.key }) {
      guard case .dialling(let deadline) = entry.phase, deadline <= now else { continue }
      actions.append(.abandon(name))
      actions += self.finished(name, .failure("timeout"), now: now, chance: chance)
    }
    let due = self.entries.compactMap { name, entry -> (ResourceName, Duration)? in
      guard case .resting(let until) = entry.phase, until <= now else { return nil }
      return (name, until)
    }
    // Who waits longest first, so that a full house delays everybody alike.
    for (name, _) in due.sorted(by: { ($0.1, $0.0) < ($1.1, $1.0) }).prefix(self.concurrency - self.dialling) {
      let timeout = Duration.milliseconds(Int64(self.entries[name]?.check.timeoutMilliseconds ?? 1000))
      self.entries[name]?.phase = .dialling(deadline: now + timeout)
      self.dialling += 1
      actions.append(.dial(name))
    }
    return actions
  }

  mutating func finished(
    _ name: ResourceName, _ outcome: ReadinessMachine.Outcome, now: Duration, chance: () -> Double
  ) -> [Action] {
    guard var entry = self.entries[name], case .dialling = entry.phase else { return [] }
    self.dialling -= 1
    let isNews = entry.machine.finished(outcome, entry.check)
    if entry.machine.isReady { entry.isStarting = false }
    var period = Duration.milliseconds(Int64(entry.check.periodMilliseconds))
    if entry.isStarting { period = min(period, Self.startingPeriod) }
    // Earlier, never later: the bound that the thresholds promise holds.
    let jitter = Double(entry.check.jitterPercent) / 100 * min(max(chance(), 0), 1)
    entry.phase = .resting(until: now + period * (1 - jitter))
    self.entries[name] = entry
    return isNews ? [.tell(name)] : []
  }
}
