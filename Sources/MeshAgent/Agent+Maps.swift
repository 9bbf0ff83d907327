import Logging
import MeshBPF
import MeshBase

/// The alarm of maps that are almost full.
extension Agent {
  private static let fillMilliseconds: Int64 = 5000
  /// While the agent writes nothing: only what programs write can fill up then, and counting goes through a million buckets.
  private static let idleFillMilliseconds: Int64 = 30_000

  /// Looks from time to time; counting runs on a task of its own. Called from the scan.
  func measureMaps() {
    let now = MonotonicClock.milliseconds
    guard now >= self.nextMapFill else { return }
    guard self.revision != self.measuredRevision || now >= self.nextMapFill + Self.idleFillMilliseconds else { return }
    self.nextMapFill = .max
    self.measuredRevision = self.revision
    let kernel = self.kernel
    Task.detached {
      let status = try? kernel.mapStatus()
      await self.measured(status.map { MapFill($0) })
    }
  }

  private func measured(_ fill: MapFill?) {
    self.nextMapFill = MonotonicClock.milliseconds + Self.fillMilliseconds
    guard let fill else { return }
    let known = Set(self.mapFill.full.map(\.name))
    for map in fill.full where !known.contains(map.name) {
      self.logger.warning(
        "map almost full",
        metadata: ["map": "\(map.name.rawValue)", LogKey.count: "\(map.entries)", "capacity": "\(map.capacity)"])
    }
    self.mapFill = fill
  }
}
