/// Decides what a listing means: which files are to be read, which are gone, what is only unreachable. Pure; times come
/// in as values.
struct DirectoryState: Sendable {
  struct Timing: Sendable {
    /// A file that changed more recently may still be in the middle of being written. Nanoseconds.
    var settle: Int64 = 100_000_000
    /// A file that changes without a pause is read after this time all the same.
    var patience: Int64 = 2_000_000_000
    /// A name that is missing for a shorter time is being replaced, not removed.
    var removal: Int64 = 400_000_000
  }

  enum Action: Hashable, Sendable {
    case read(String)
    case fail(String, message: String, next: String)
    case remove(String)
  }

  struct Step: Equatable {
    var actions: [Action] = []
    /// Why a directory could not be taken for what it shows: its name ("" is the root) and the reason.
    var directoryProblems: [String: String] = [:]
    /// Something is in motion: look again soon.
    var isUnsettled = false
  }

  private struct Known {
    var found: DirectoryListing.Found?
    var missingSince: Int64?
    var movingSince: Int64?
  }

  let timing: Timing
  private var known: [String: Known] = [:]
  private var devices: [String: UInt64] = [:]
  /// The directory held a file once, be it before a restart.
  private(set) var hasSeenFiles = false

  /// - Parameter restored: files that were known before a restart, with the device of their directory.
  init(timing: Timing = Timing(), restored: [String: UInt64] = [:]) {
    self.timing = timing
    self.hasSeenFiles = !restored.isEmpty
    for (path, device) in restored {
      self.known[path] = Known()
      if device != 0 { self.devices[DirectoryListing.directory(of: path)] = device }
    }
  }

  /// Of the directory that the file stands in.
  func device(of path: String) -> UInt64 { self.devices[DirectoryListing.directory(of: path)] ?? 0 }

  /// The content of a file in this state was taken over.
  mutating func didRead(_ path: String, _ stamp: FileStamp) {
    self.known[path, default: Known()].found = .file(stamp)
    self.known[path]?.movingSince = nil
  }

  mutating func step(_ listing: DirectoryListing, now: Int64) -> Step {
    var step = Step()
    step.directoryProblems = listing.unreadable
    if !listing.files.isEmpty { self.hasSeenFiles = true }
    for (path, found) in listing.files.sorted(by: { $0.key < $1.key }) {
      self.present(path, found, now: now, &step)
    }
    if listing.unreadable[""] == nil {
      if listing.files.isEmpty, !self.known.isEmpty {
        step.directoryProblems[""] =
          "the directory is empty now: what it said before stays in force; to remove everything, leave one empty file"
      } else {
        for path in self.known.keys.sorted() where listing.files[path] == nil {
          self.missing(path, listing, now: now, &step)
        }
      }
    }
    for (directory, device) in listing.devices where step.directoryProblems[directory] == nil {
      self.devices[directory] = device
    }
    return step
  }

  private mutating func present(_ path: String, _ found: DirectoryListing.Found, now: Int64, _ step: inout Step) {
    var known = self.known[path] ?? Known()
    known.missingSince = nil
    defer { self.known[path] = known }
    guard known.found != found else {
      known.movingSince = nil
      return
    }
    switch found {
    case .refused(let message, let next):
      known.found = found
      known.movingSince = nil
      step.actions.append(.fail(path, message: message, next: next))
    case .file(let stamp):
      let since = known.movingSince ?? now
      known.movingSince = since
      let last = max(stamp.modified, stamp.changed)
      // A time in the future says nothing about now.
      let isFresh = last <= now && now - last < self.timing.settle
      if isFresh, now - since < self.timing.patience {
        step.isUnsettled = true
      } else {
        step.actions.append(.read(path))
      }
    }
  }

  private mutating func missing(_ path: String, _ listing: DirectoryListing, now: Int64, _ step: inout Step) {
    let directory = DirectoryListing.directory(of: path)
    if listing.unreadable[directory] != nil { return }
    if let device = listing.devices[directory], let before = self.devices[directory], device != before,
      !listing.files.keys.contains(where: { DirectoryListing.directory(of: $0) == directory })
    {
      step.directoryProblems[directory] =
        "another file system is mounted here, and it is empty: what was there before stays in force"
      return
    }
    let since = self.known[path]?.missingSince ?? now
    if now - since >= self.timing.removal {
      self.known[path] = nil
      step.actions.append(.remove(path))
    } else {
      self.known[path]?.missingSince = since
      step.isUnsettled = true
    }
  }
}
