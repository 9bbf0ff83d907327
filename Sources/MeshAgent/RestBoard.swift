import MeshBase
import MeshLinux

/// What a scan has to look at, kept from one scan to the next while workloads, their places and what is wrong with them stay
/// the same. A scan at rest makes a few hundred system calls; putting together what to ask would cost as much again.
struct RestBoard {
  /// Where a workload is, and what was there when it was enrolled.
  struct Place {
    let path: String
    let id: FileID
    /// What is there was mounted there, so it is another only after another mount, which the kernel tells when it is asked.
    var isMount = false
  }

  /// Counts changes of what is kept here.
  private(set) var revision: UInt64 = 1
  /// All are enrolled from here. Nil: it takes more to tell whether they are where they were.
  private(set) var places: [Place]?
  /// Of enrolled workloads that resolve names, or did.
  private(set) var named: [ResourceName] = []
  /// Above the cgroups of those that are enrolled in the host's namespace.
  private(set) var directories: Set<String> = []
  private var seen: [Reader: UInt64] = [:]
  /// Of the places, those whose turn it is.
  private var part = 0
  private static let parts = 2
  private static let partsOfMounts = 16

  /// Who reads all of it only after a change.
  enum Reader: Hashable { case places, named, directories, canaries, listeners, watches, readiness, status }

  mutating func changed() { self.revision &+= 1 }

  /// True if something changed since this reader asked for the last time.
  mutating func isNew(for reader: Reader) -> Bool {
    guard self.seen[reader] != self.revision else { return false }
    self.seen[reader] = self.revision
    return true
  }

  /// This reader is not done.
  mutating func again(_ reader: Reader) { self.seen[reader] = nil }

  mutating func keep(places: [Place]?) { self.places = places }

  mutating func keep(named: [ResourceName]) { self.named = named }

  mutating func keep(directories: Set<String>) { self.directories = directories }

  /// Whether each place holds what it held. A half in each look, so all of them in four seconds at rest, and a sixteenth of
  /// those that were mounted; after something happened on the host, or was mounted, all at once.
  mutating func areAsTheyWere(afterEvent: Bool, _ id: (String) -> FileID?) -> Bool {
    guard let places = self.places else { return false }
    self.part = (self.part + 1) % Self.partsOfMounts
    for index in places.indices {
      let parts = places[index].isMount ? Self.partsOfMounts : Self.parts
      guard afterEvent || index % parts == self.part % parts else { continue }
      if id(places[index].path) != places[index].id { return false }
    }
    return true
  }
}
