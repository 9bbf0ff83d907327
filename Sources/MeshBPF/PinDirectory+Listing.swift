import Glibc
import MeshBase
import Synchronization

/// What is pinned, as of one reading of the directories.
struct PinListing: Sendable {
  let maps: Set<String>
  let links: Set<String>
  fileprivate let marks: [PinDirectory.Mark]
  /// Of this reading: another one has another number, and may say something else.
  let reading: UInt64

  private static let readings = Atomic<UInt64>(0)

  fileprivate init(maps: Set<String>, links: Set<String>, marks: [PinDirectory.Mark]) {
    self.maps = maps
    self.links = links
    self.marks = marks
    self.reading = Self.readings.add(1, ordering: .relaxed).newValue
  }
}

/// An agent looks every two seconds whether its pins are all there, and they hardly ever are not: names are read again when
/// the directories have changed.
extension PinDirectory {
  /// A directory that names came to or went from has another one.
  struct Mark: Equatable, Sendable {
    fileprivate var device: UInt64
    fileprivate var inode: UInt64
    fileprivate var changed: Int64

    /// Nil if there is no directory.
    fileprivate init?(of path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      self.device = UInt64(status.st_dev)
      self.inode = UInt64(status.st_ino)
      self.changed = Self.nanoseconds(status.st_mtim)
    }

    fileprivate static func nanoseconds(_ time: timespec) -> Int64 {
      Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
  }

  /// Nil if the directory is not the one that is locked, or has no maps and links.
  func listing() -> PinListing? {
    guard self.isLocked, let maps = Mark(of: self.mapsPath), let links = Mark(of: self.linksPath) else { return nil }
    if let known = self.known.withLock({ $0 }), known.marks == [maps, links] { return known }
    var now = timespec()
    // The clock that the kernel dates files by.
    clock_gettime(CLOCK_REALTIME_COARSE, &now)
    let fresh = PinListing(
      maps: Set(Self.list(self.mapsPath)), links: Set(Self.list(self.linksPath)), marks: [maps, links])
    // What changes in this very tick has the date that was just read: such a reading is not kept.
    let isSettled = fresh.marks.allSatisfy { $0.changed < Mark.nanoseconds(now) }
    self.known.withLock { $0 = isSettled ? fresh : nil }
    return fresh
  }
}
