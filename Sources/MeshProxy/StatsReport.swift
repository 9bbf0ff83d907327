import MeshLink

/// When the proxy counts and when it tells the agent. Both wake threads, so at rest they are rare: what has not changed is
/// counted every third second, and told every sixth, for an agent that is new.
struct StatsReport {
  private static let quietTurns = 3

  private var last: ProxyStats?
  private var lastNames: [NamedCount] = []
  private var isQuiet = false
  private var turns = 0
  private var quietReports = 0

  /// Called once a second. True if it is time to count.
  mutating func isDue() -> Bool {
    self.turns += 1
    guard !self.isQuiet || self.turns >= Self.quietTurns else { return false }
    self.turns = 0
    return true
  }

  /// True if it is to be told.
  mutating func isNews(_ stats: ProxyStats, _ names: [NamedCount]) -> Bool {
    self.isQuiet = stats == self.last && names == self.lastNames
    self.last = stats
    self.lastNames = names
    self.quietReports = self.isQuiet ? (self.quietReports + 1) % 2 : 0
    return self.quietReports == 0
  }
}
