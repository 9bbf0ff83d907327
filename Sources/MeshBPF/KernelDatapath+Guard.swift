import CMeshBPF
import Glibc
package import MeshBase
import Synchronization

/// Something that this process attached or pinned and that is not there any more, or not as it was.
package struct AttachmentFault: Hashable, Sendable, CustomStringConvertible {
  package enum Place: Hashable, Sendable {
    /// One of the hooks at the cgroup root.
    case cgroup
    /// At the agent's cgroup.
    case socketOptions
    /// sk_lookup, by the name that `attachLookup` was given.
    case lookup(String)
    /// `edge`, by the interface's index.
    case edge(UInt32)
    /// The pin directory.
    case pins
  }

  package enum Kind: String, Sendable {
    case detached
    case unpinned
    case replaced
  }

  package var place: Place
  /// Of the link or directory.
  package var name: String
  package var kind: Kind

  package var description: String { "\(self.name) \(self.kind.rawValue)" }
}

/// Links can be detached and pins removed by whoever is root. A look at each costs a system call.
extension KernelDatapath {
  /// What this process keeps alive. The descriptors do it: a link whose pin is removed stays attached as long as they are
  /// open.
  struct Held {
    var links: [String: BPFLink] = [:] { didSet { self.watched = nil } }
    /// Interfaces with a clsact filter, where the kernel has no links for them.
    var filters: Set<UInt32> = []
    /// Put together again when links or pins changed.
    private var watched: Watched?

    /// What a look asks of the links, and what one reading of the pins says of them.
    struct Watched {
      /// Nil: there is nothing to read.
      var reading: UInt64?
      /// Those of which the program is known, with its number.
      var links: [(link: BPFLink, program: UInt32?)]
      var unpinned: Set<String>
      var lacksMaps: Bool
    }

    mutating func watched(_ listing: PinListing?, maps: some Collection<String>, programs: [String: UInt32]) -> Watched
    {
      if let watched = self.watched, let listing, watched.reading == listing.reading { return watched }
      let watched = Watched(
        reading: listing?.reading,
        links: self.links.values.map { link in (link, link.program.map { programs[$0] ?? 0 }) },
        unpinned: Set(self.links.keys.filter { listing?.links.contains($0) != true }),
        lacksMaps: listing.map { listing in maps.allSatisfy(listing.maps.contains) } != true)
      self.watched = watched
      return watched
    }
  }

  /// Those of namespaces and interfaces, of which there are as many as workloads, in two halves.
  package enum Half: UInt8, Sendable {
    case even
    case odd

    package var other: Half { self == .even ? .odd : .even }

    /// By the last digit: names end with a number. Nil: it is looked at each time.
    init?(of name: String, _ place: AttachmentFault.Place?) {
      switch place {
      case .lookup, .edge: self = (name.utf8.last ?? 0) & 1 == Self.even.rawValue ? .even : .odd
      case .cgroup, .socketOptions, .pins, nil: return nil
      }
    }
  }

  /// What is not as this process left it. Attaching it again (``attach(cgroup:)`` and its like, ``repairPins()``) mends it.
  /// A target that is gone (a deleted namespace, interface or cgroup) is a fault too, which the caller tells apart.
  ///
  /// - Parameter half: only these links, and all that there are few of.
  package func faults(half: Half? = nil) -> [AttachmentFault] {
    var faults: [AttachmentFault] = []
    let listing = self.pins.listing()
    let (watched, filters) = self.held.withLock { held in
      (held.watched(listing, maps: self.maps.keys, programs: self.programIdentifiers), held.filters)
    }
    if watched.lacksMaps { faults.append(AttachmentFault(place: .pins, name: self.pins.path, kind: .unpinned)) }
    for (link, program) in watched.links where half == nil || link.half == nil || link.half == half {
      guard let kind = Self.fault(of: link, program, watched.unpinned), let place = link.place else { continue }
      faults.append(AttachmentFault(place: place, name: link.name, kind: kind))
    }
    for interface in filters {
      guard let kind = self.fault(ofFilter: interface) else { continue }
      faults.append(AttachmentFault(place: .edge(interface), name: Self.edgeName(interface), kind: kind))
    }
    return faults
  }

  /// Pins maps again whose pins are gone, in the same directory or a new one.
  ///
  /// - Throws: `conflict` if another process has taken the directory meanwhile.
  package func repairPins() throws(MeshError) {
    try self.pins.repair(maps: self.maps.map { ($0.key, $0.value.rawValue) }.sorted { $0.0 < $1.0 })
  }

  private static func fault(of link: BPFLink, _ program: UInt32?, _ unpinned: Set<String>) -> AttachmentFault.Kind? {
    guard let info = try? link.info(), info.target != 0 else { return .detached }
    if let program, info.program != program { return .replaced }
    return unpinned.contains(link.name) ? .unpinned : nil
  }

  private func fault(ofFilter interface: UInt32) -> AttachmentFault.Kind? {
    switch EdgeFilters.state(of: interface) {
    case .absent, .noInterface: .detached
    case .foreign: .replaced
    case .ours(let program) where program != self.identifier(ofProgram: "mesh_edge"): .replaced
    case .ours: self.filters.isRecorded(interface) ? nil : .unpinned
    }
  }

  private func identifier(ofProgram name: String) -> UInt32? { self.programIdentifiers[name] }

  /// Read once: a loaded program keeps its id.
  static func identifiers(of programs: [String: OwnedDescriptor]) throws(MeshError) -> [String: UInt32] {
    var identifiers: [String: UInt32] = [:]
    for (name, program) in programs {
      var info = cmesh_program_info()
      let result = cmesh_program_info(program.rawValue, &info)
      guard result == 0 else { throw BPFFailure.error(result, name, "cannot read the program") }
      identifiers[name] = info.id
    }
    return identifiers
  }
}
