import CMeshBPF
import Glibc
import MeshBase

/// How `edge` is attached to interfaces.
package enum EdgeAttachment: Sendable {
  /// By a link where the kernel has them at tc (since 6.6), else by a filter.
  case best
  /// By a filter on every kernel.
  case filter
}

/// Kernels before 6.6 have no links at tc: there `edge` is a filter on the clsact qdisc of the interface, at a handle and a
/// priority that are ours. A filter belongs to its interface and outlives every process; it goes with the interface. So
/// that a later process and `purge` know where filters are, the program is pinned a second time, under
/// `filters/edge-INTERFACE`; and under `filters/qdisc-INTERFACE` where the qdisc is ours too. The note is made before the
/// filter: whoever is killed in between leaves a note without a filter, never a filter without a note.
///
/// Interfaces are those of the caller's network namespace.
struct EdgeFilters: Sendable {
  enum State: Equatable {
    /// There is no filter at our place.
    case absent
    /// Somebody else's program is at our place.
    case foreign
    /// The id of our program.
    case ours(UInt32)
    case noInterface
  }

  static let programName = "mesh_edge"
  private static let filterPrefix = "edge-"
  private static let qdiscPrefix = "qdisc-"

  /// `filters` in the directory of a layout.
  let directory: String

  init(pinDirectory: String, layout: String = PinDirectory.layoutName) {
    self.directory = pinDirectory + "/" + layout + "/filters"
  }

  /// Those of which there is a note.
  func interfaces() -> [UInt32] {
    PinDirectory.list(self.directory).filter { $0.hasPrefix(Self.filterPrefix) }
      .compactMap { UInt32($0.dropFirst(Self.filterPrefix.count)) }.sorted()
  }

  func isRecorded(_ interface: UInt32) -> Bool { access(self.path(Self.filterPrefix, interface), F_OK) == 0 }

  static func state(of interface: UInt32) -> State {
    var identifier: UInt32 = 0
    switch cmesh_clsact_query(interface, &identifier) {
    case 0 where identifier != 0: break
    case -ENODEV: return .noInterface
    default: return .absent
    }
    // By its name: the program may be an earlier process's.
    guard let program = try? OwnedDescriptor.owning(cmesh_program_by_id(identifier), "program", "cannot be opened"),
      let status = try? DatapathInventory.status(program.rawValue, "program")
    else { return .absent }
    return status.name == self.programName ? .ours(identifier) : .foreign
  }

  /// Attaches, or puts the program in place of what is there, in one step.
  func attach(_ program: CInt, _ interface: UInt32) throws(MeshError) {
    let name = Self.filterPrefix + String(interface)
    try PinDirectory.makeDirectory(self.directory)
    try self.record(program, Self.filterPrefix, interface)
    var isQdiscNew: CInt = 0
    let result = cmesh_clsact_attach(program, interface, &isQdiscNew)
    if result == 0, isQdiscNew == 1 { try self.record(program, Self.qdiscPrefix, interface) }
    guard result == 0 else {
      let error = BPFFailure.error(
        result, name, "cannot attach the edge filter",
        next: "the kernel needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF (modules sch_ingress, cls_bpf)")
      if isQdiscNew == 1 { _ = cmesh_clsact_remove_empty(interface) }
      if case .ours = Self.state(of: interface) { throw error }
      unlink(self.path(Self.filterPrefix, interface))
      throw error
    }
  }

  /// Removes our filter, the qdisc if we made it and nobody uses it, and the notes. What is somebody else's stays.
  func detach(_ interface: UInt32) {
    if case .ours = Self.state(of: interface) { _ = cmesh_clsact_detach(interface) }
    let qdisc = self.path(Self.qdiscPrefix, interface)
    if access(qdisc, F_OK) == 0 {
      _ = cmesh_clsact_remove_empty(interface)
      unlink(qdisc)
    }
    unlink(self.path(Self.filterPrefix, interface))
  }

  private func path(_ prefix: String, _ interface: UInt32) -> String {
    self.directory + "/" + prefix + String(interface)
  }

  /// Pins in place of an older pin: never a moment without.
  private func record(_ program: CInt, _ prefix: String, _ interface: UInt32) throws(MeshError) {
    let path = self.path(prefix, interface)
    let fresh = "\(self.directory)/new-\(prefix)\(interface)"
    unlink(fresh)
    let result = cmesh_pin(program, fresh)
    guard result == 0 else { throw BPFFailure.error(result, path, "cannot note the edge filter") }
    guard rename(fresh, path) == 0 else {
      let failure = -errno
      unlink(fresh)
      throw BPFFailure.error(failure, path, "cannot note the edge filter")
    }
  }
}

extension KernelDatapath {
  var filters: EdgeFilters { EdgeFilters(pinDirectory: self.pins.path) }
}

extension PinDirectory {
  /// Detaches every filter of a layout.
  ///
  /// - Returns: names, as of links.
  @discardableResult
  package func detachFilters(layout: String) -> [String] {
    let filters = EdgeFilters(pinDirectory: self.path, layout: layout)
    return filters.interfaces().map { interface in
      filters.detach(interface)
      return KernelDatapath.edgeName(interface)
    }
  }
}
