import Logging
import MeshBPF
import MeshBase

/// The alarm of maps that are almost full.
extension Agent {
  private static let fillMilliseconds: Int64 = 5000
  /// While the agent writes nothing: only maps that programs fill are counted then; all together have a million buckets.
  private static let idleFillMilliseconds: Int64 = 30_000

  /// Looks from time to time; counting runs on a task of its own. Called from the scan.
  func measureMaps() {
    let now = MonotonicClock.milliseconds
    guard now >= self.nextMapFill else { return }
    guard self.revision != self.measuredRevision || now >= self.nextMapFill + Self.idleFillMilliseconds else { return }
    self.nextMapFill = .max
    let isIdle = self.revision == self.measuredRevision
    self.measuredRevision = self.revision
    let kernel = self.kernel
    Task.detached { await self.measured(try? kernel.mapStatus(filledByPrograms: isIdle)) }
  }

  private func measured(_ counted: [MapStatus]?) {
    self.nextMapFill = MonotonicClock.milliseconds + Self.fillMilliseconds
    guard let counted else { return self.measuredRevision = .max }
    for status in counted { self.mapCounts[status.name] = status }
    let fill = MapFill(Array(self.mapCounts.values))
    let known = Set(self.mapFill.full.map(\.name))
    for map in fill.full where !known.contains(map.name) {
      self.logger.warning(
        "map almost full",
        metadata: ["map": "\(map.name.rawValue)", LogKey.count: "\(map.entries)", "capacity": "\(map.capacity)"])
    }
    self.mapFill = fill
  }
}
