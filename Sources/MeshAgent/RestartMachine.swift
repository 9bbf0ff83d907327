/// When a dead proxy is started again: at once the first time, later each time if it keeps dying young, so that a binary
/// that crashes at start does not eat a core. Time comes in as a value (milliseconds of a monotonic clock).
struct RestartMachine: Equatable {
  /// A proxy that lived this long died of something new.
  static let settledMilliseconds: Int64 = 10_000
  /// One that served is no binary that crashes at start: it need not have served for long.
  static let servedMilliseconds: Int64 = 250
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
  /// Since when the one that runs accepts.
  private var servedSince: Int64?

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
    let hasServed = self.servedSince.map { now - $0 >= Self.servedMilliseconds } ?? false
    self.youngDeaths = now - since >= Self.settledMilliseconds || hasServed ? 0 : self.youngDeaths + 1
    self.servedSince = nil
    guard self.youngDeaths > 1 else {
      self.phase = .running(since: now)
      return .spawn
    }
    let delay = min(100 << Int64(min(self.youngDeaths - 2, 6)), Self.longestDelayMilliseconds)
    self.phase = .waiting(until: now + delay)
    return .wait(milliseconds: delay)
  }

  /// The one that runs accepts connections.
  mutating func served(at now: Int64) {
    if case .running = self.phase, self.servedSince == nil { self.servedSince = now }
  }

  /// Another one took its place, and serves.
  mutating func replaced(at now: Int64) {
    guard self.phase != .stopped else { return }
    self.phase = .running(since: now)
    self.youngDeaths = 0
    self.servedSince = now
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
