/// When a dead proxy is started again: at once the first time, later each time if it keeps dying young, so that a binary
/// that crashes at start does not eat a core. Time comes in as a value (milliseconds of a monotonic clock).
struct RestartMachine: Equatable {
  /// A proxy that lived this long died of something new.
  static let settledMilliseconds: Int64 = 10_000
  static let longestDelayMilliseconds: Int64 = 5_000

  enum Action: Equatable {
    case spawn
    case wait(milliseconds: Int64)
    case none
  }

  enum Phase: Equatable {
    case idle
    case running(since: Int64)
    case waiting(until: Int64)
    case stopped
  }

  private(set) var phase: Phase = .idle
  private(set) var restarts = 0
  private var youngDeaths = 0

  /// The supervisor begins; `adopted` if a proxy of an earlier agent is still there.
  mutating func start(at now: Int64, adopted: Bool) -> Action {
    guard case .idle = self.phase else { return .none }
    if adopted {
      self.phase = .running(since: now)
      return .none
    }
    self.phase = .running(since: now)
    return .spawn
  }

  /// The process ended, or could not be started.
  mutating func ended(at now: Int64) -> Action {
    guard case .running(let since) = self.phase else { return .none }
    self.restarts += 1
    self.youngDeaths = now - since >= Self.settledMilliseconds ? 0 : self.youngDeaths + 1
    guard self.youngDeaths > 1 else {
      self.phase = .running(since: now)
      return .spawn
    }
    let delay = min(100 << Int64(min(self.youngDeaths - 2, 6)), Self.longestDelayMilliseconds)
    self.phase = .waiting(until: now + delay)
    return .wait(milliseconds: delay)
  }

  mutating func waited(at now: Int64) -> Action {
    guard case .waiting(let until) = self.phase else { return .none }
    guard now >= until else { return .wait(milliseconds: until - now) }
    self.phase = .running(since: now)
    return .spawn
  }

  mutating func stop() {
    self.phase = .stopped
  }
}
