import Synchronization

/// How near the process is to the end of its memory, and what it does no more. Each step holds besides those before it: first
/// goes what nobody waits for, then new work, at last whoever comes, and who stands still. What moves is never cut for it.
package enum Strain: UInt8, Comparable, Sendable, CaseIterable {
  case none = 0
  /// No copies to mirrors; upstream connections at rest are closed.
  case trim = 1
  /// New requests, and those whose head is not whole, are answered with 503; new connections of other ports are closed with RST.
  case shed = 2
  /// Every new connection is closed with RST before anything is read of it; clients that take nothing of what waits for them too.
  case full = 3

  /// Percent of the limit from which on it holds.
  package var threshold: UInt64 {
    switch self {
    case .none: 0
    case .trim: 80
    case .shed: 85
    case .full: 95
    }
  }

  package static func < (a: Strain, b: Strain) -> Bool { a.rawValue < b.rawValue }
}

/// Memory that is used, of what there is, as `Strain`. A step is left only when its threshold is undercut by five percent of
/// the limit, so that it does not come and go with each request.
package struct StrainGauge: Sendable {
  private static let slack: UInt64 = 5

  package private(set) var strain = Strain.none

  package init() {}

  /// Bytes. True: the strain is another one than before.
  package mutating func measure(used: UInt64, limit: UInt64) -> Bool {
    let before = self.strain
    let percent = limit == 0 ? 0 : Double(used) / Double(limit) * 100
    self.strain =
      Strain.allCases.last { step in
        percent >= Double(step > before ? step.threshold : step.threshold - min(step.threshold, Self.slack))
      } ?? .none
    return self.strain != before
  }

  /// Bytes that a process may come to hold in a millisecond: what a fast network brings.
  private static let growth = 256_000.0

  /// When to look again: before the room up to the first step can be used up, but seldom while there is much, because each look wakes
  /// a thread.
  package static func pause(used: UInt64, limit: UInt64) -> Duration {
    let room = Double(limit) * Double(Strain.trim.threshold) / 100 - Double(used)
    return .milliseconds(Int(min(1000, max(25, room / Self.growth))))
  }
}

/// The strain as all loops see it.
package final class SharedStrain: Sendable {
  private let value = Atomic<UInt8>(0)

  package init() {}

  package var now: Strain {
    get { Strain(rawValue: self.value.load(ordering: .relaxed)) ?? .none }
    set { self.value.store(newValue.rawValue, ordering: .relaxed) }
  }
}
