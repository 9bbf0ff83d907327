import MeshBPF
import MeshBase
import MeshTelemetry

/// How full the maps are, as of the last look: the alarm comes before the first row that does not fit.
struct MapFill: Sendable {
  static let alarmPercent = 80

  struct Map: Hashable, Sendable {
    var name: MapSizes.Name
    var entries: Int
    /// Half of what a map of rows with a generation holds: two have to fit while one replaces the other.
    var capacity: Int

    var percent: Int { self.capacity == 0 ? 100 : self.entries * 100 / self.capacity }
  }

  /// Those past the alarm, the fullest first.
  let full: [Map]

  init() { self.full = [] }

  init(_ status: [MapStatus]) {
    self.full = status.compactMap { status -> Map? in
      // Edges are counters: the kernel forgets the oldest, and nothing is decided by them.
      guard let name = MapSizes.Name(map: status.name), name != .edges, let entries = status.entries else { return nil }
      return Map(
        name: name, entries: entries, capacity: Int(status.maxEntries) / (name.holdsTwoGenerations ? 2 : 1))
    }
    .filter { $0.percent >= Self.alarmPercent }
    .sorted { ($1.percent, $0.name.rawValue) < ($0.percent, $1.name.rawValue) }
  }

  var check: HealthCheck {
    guard !self.full.isEmpty else { return HealthCheck("maps", .ok, "all below \(Self.alarmPercent) %") }
    let maps = self.full.map { "\($0.name.rawValue) \($0.entries) of \($0.capacity) (\($0.percent) %)" }
    return HealthCheck(
      "maps", .warn, "almost full: \(maps.joined(separator: ", "))",
      next: "a larger --map-limit of the agent, after martlet purge")
  }
}
