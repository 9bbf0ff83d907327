import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux

/// What somebody else detaches or unpins is put back. Called from the scan.
extension Agent {
  static let guardMilliseconds: Int64 = 2000

  /// Between two looks nothing is done.
  func guardAttachments() {
    let now = MonotonicClock.milliseconds
    guard now + CanaryMachine.slack >= self.nextGuard else { return }
    self.nextGuard = now + Self.guardMilliseconds
    self.lastGuard = now
    let faults = self.findFaults()
    // Something that is at fault at every look is named once.
    let fresh = Set(faults).subtracting(self.knownFaults)
    self.knownFaults = Set(faults)
    for fault in fresh.sorted(by: { $0.name < $1.name }) {
      self.logger.error(
        "somebody removed an attachment: it is put back",
        metadata: [LogKey.path: "\(fault.name)", LogKey.reason: "\(fault.kind.rawValue)"])
    }
    self.mend(faults, now)
    self.keepOrder()
  }

  private func mend(_ faults: [AttachmentFault], _ now: Int64) {
    guard !faults.isEmpty else {
      self.unmended = []
      return self.report("attachments cannot be put back", nil)
    }
    var failure: MeshError?
    func mend(_ body: () throws(MeshError) -> Void) {
      do throws(MeshError) { try body() } catch { failure = error }
    }
    let places = Set(faults.map(\.place))
    // The directory first: links are pinned in it.
    if places.contains(.pins) { mend { () throws(MeshError) in try self.kernel.repairPins() } }
    if places.contains(.cgroup) {
      mend { () throws(MeshError) in try self.kernel.attach(cgroup: self.cgroups.root.path) }
    }
    if places.contains(.socketOptions) {
      mend { () throws(MeshError) in try self.kernel.attachSocketOptions(cgroup: self.cgroups.agent.path) }
    }
    // Connections may have ended unseen.
    if places.contains(.cgroup) { self.flowSweep.soon(now: now) }
    for workload in self.enrolled.values where workload.isAttached {
      if places.contains(.lookup(Self.lookupName(workload))) {
        mend { () throws(MeshError) in try self.attachLookup(workload) }
      }
      if workload.local.interfaces.contains(where: { places.contains(.edge($0)) }) {
        mend { () throws(MeshError) in try self.mendEdges(workload) }
      }
    }
    self.attachmentsRepaired += UInt64(failure == nil ? faults.count : 0)
    // A pin that is gone governs nothing.
    self.unmended =
      failure == nil ? [] : Set(self.kernel.faults().lazy.filter { $0.kind != .unpinned }.map(\.place))
    self.report("attachments cannot be put back", failure)
  }

  /// At rest one half of the links in each look, so that all are looked at every four seconds; when one is at fault, all at
  /// once.
  private func findFaults() -> [AttachmentFault] {
    defer { self.guardedHalf = self.guardedHalf.other }
    if self.knownFaults.isEmpty, self.unmended.isEmpty, self.kernel.faults(half: self.guardedHalf).isEmpty { return [] }
    return self.kernel.faults()
  }

  /// A veth that was made anew has another index: what is there now counts.
  func mendEdges(_ workload: EnrolledWorkload) throws(MeshError) {
    let present = try workload.namespace.peerInterfaces(in: self.host)
    let old = workload.local.interfaces
    if present != old {
      for interface in old where !present.contains(interface) { self.kernel.detachEdge(interface: interface) }
      self.enrolled[workload.name]?.local.interfaces = present
      // Before the programs: they refuse what the tables do not know.
      self.updateTables()
    }
    for interface in present { try self.kernel.attachEdge(interface: interface) }
  }
}
