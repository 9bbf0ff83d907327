import MeshBase
import MeshLinux
import MeshSnapshot

/// When the agent looks at its host. At rest every two seconds, and when `HostWatch` says that something happened; several
/// times a second while something is awaited that nobody tells of, or in doubt.
extension Agent {
  static let restMilliseconds: Int32 = 2000
  private static let dueMilliseconds: Int64 = 250

  /// From the last scan to the next.
  var scanInterval: Int32 {
    self.isAtRest ? Self.restMilliseconds : Int32(clamping: self.configuration.scanMilliseconds)
  }

  private var isAtRest: Bool {
    guard self.refreshWanted.isEmpty, self.unmended.isEmpty, self.canaries.count == self.enrolled.count,
      self.canaries.values.allSatisfy(\.machine.isAtRest)
    else { return false }
    let now = MonotonicClock.milliseconds
    return !self.awaited.contains { name, path in
      // Processes come without a word.
      if path.hasPrefix("/proc/"), path != Self.nowhere { return true }
      guard let retry = self.retryEnrolment[name] else { return false }
      return abs(retry.next - now) <= Self.dueMilliseconds
    }
  }

  /// One for each moment at which a scan is due, the first at once. Several that are due become one.
  nonisolated func scans() throws(MeshError) -> AsyncStream<Void> {
    let (moments, moment) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let watch = self.hostWatch
    moment.onTermination = { _ in watch.stop() }
    moment.yield()
    try watch.start { moment.yield() }
    return moments
  }

  /// After a change that did not come from a scan: its proof is to come.
  func scanSoon() { self.hostWatch.setInterval(self.scanInterval) }

  /// A network namespace appears by a mount and a container by its process; a cgroup, in the directory above it.
  func followDirectories() {
    if self.rest.isNew(for: .directories) {
      self.rest.keep(
        directories: Set(self.enrolled.values.compactMap { $0.cgroup.map { HostWatch.parent(of: $0.path) } }))
    }
    var directories = self.rest.directories
    for (name, path) in self.awaited where self.locations[name]?.isInHost == true {
      directories.insert(HostWatch.parent(of: path))
    }
    guard !directories.isEmpty || self.watchesDirectories else { return }
    self.watchesDirectories = !directories.isEmpty
    self.hostWatch.follow(directories: directories)
  }

  /// Every workload that this node is to find is enrolled, from what is at its path now: one system call for each says so.
  /// False if it takes more to tell.
  func allAreWhereTheyWere() -> Bool {
    // Taken in any case: what happened before a whole look counts no more.
    let (hasHappened, isMounted) = (self.hostWatch.takeHappened(), self.hostWatch.takeMounts())
    let isNew = self.rest.isNew(for: .places)
    if isNew {
      self.rest.keep(places: self.placesAtRest)
      self.hostWatch.followMoves(
        of: Set(self.rest.places?.lazy.filter(\.isMount).map { HostWatch.parent(of: $0.path) } ?? []))
    }
    // What was renamed before it was followed is seen by the look that comes after.
    return self.rest.areAsTheyWere(afterEvent: hasHappened || isMounted || isNew) {
      ((try? DiskFile.status($0)) ?? nil)?.id
    }
  }

  private var placesAtRest: [RestBoard.Place]? {
    guard self.enrolled.count == self.locations.count, self.enrolmentProblems.isEmpty else { return nil }
    var places: [RestBoard.Place] = []
    var links: [String: Bool] = [:]
    for (name, workload) in self.enrolled {
      let path: String
      var isMount = false
      switch self.locations[name] {
      case .networkNamespace(let named):
        path = named
        // A namespace has a name only by a mount, or as one of a process. A link to it, or above it, leads elsewhere without one.
        isMount =
          !named.hasPrefix("/proc/") && !Self.isLink(named) && !Self.hasLink(HostWatch.parent(of: named), &links)
      case .cgroup(let named): path = self.cgroups.unified.path + named
      case .systemdUnit(let unit):
        path = workload.cgroup?.path ?? ""
        guard path.hasSuffix("/" + unit), self.unitPaths[unit] ?? path == path else { return nil }
      case .container, .some(.none), nil: return nil
      }
      places.append(RestBoard.Place(path: path, id: workload.id, isMount: isMount))
    }
    return places
  }

  /// Whether the directory or one above it is a link. `known`: of directories that were asked for before.
  private static func hasLink(_ directory: String, _ known: inout [String: Bool]) -> Bool {
    guard directory.utf8.count > 1 else { return false }
    if let isKnown = known[directory] { return isKnown }
    let isOne = Self.isLink(directory) || Self.hasLink(HostWatch.parent(of: directory), &known)
    known[directory] = isOne
    return isOne
  }

  /// Another name can be put in its place without a mount.
  private static func isLink(_ path: String) -> Bool {
    guard let status = try? DiskFile.status(path, followLinks: false) else { return true }
    return status.isLink
  }
}
