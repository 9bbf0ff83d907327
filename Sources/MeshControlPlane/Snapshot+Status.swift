import MeshBase
import MeshProto
package import MeshSnapshot
package import MeshSync

/// Adds to a snapshot what the nodes say of their workloads: those that cannot serve are marked, so that every node takes them out
/// of its tables; where there are other nodes, what the node found of addresses that nobody wrote, and where it is itself reached,
/// for tunnels. A node is believed about workloads that are placed on it, and about no others.
package struct StatusMarker: Sendable {
  private struct Mark: Equatable {
    var isHealthy: Bool
    var found: [IPAddress]
    var gateways: [IPAddress]
  }

  private struct Made {
    var of: ContentVersion
    var mark: Mark
    var entry: VersionedEntry
  }

  /// What was marked the last time: an entry that is the same is not encoded again for its version.
  private var made: [ResourceName: Made] = [:]

  package init() {}

  package mutating func marked(_ snapshot: Snapshot, by ledger: StatusLedger) -> Snapshot {
    var result = snapshot
    var made: [ResourceName: Made] = [:]
    let first = snapshot.workloads.values.first?.value.node
    let hasOthers = snapshot.workloads.values.contains { $0.value.node != first }
    for (name, workload) in snapshot.workloads where workload.value.location != .none {
      let entry = workload.value
      let status = ledger.status(of: name, on: entry.node)
      let mark = Mark(
        isHealthy: status?.isReady ?? true,
        found: hasOthers && entry.addresses.isEmpty ? status?.addresses ?? [] : [],
        gateways: hasOthers ? ledger.gateways(of: entry.node) : [])
      guard mark != Mark(isHealthy: true, found: [], gateways: []) else { continue }
      let known = self.made[name].flatMap { $0.of == workload.version && $0.mark == mark ? $0 : nil }
      let new = known ?? Made(of: workload.version, mark: mark, entry: Self.entry(entry, mark))
      made[name] = new
      result.insert(new.entry)
    }
    self.made = made
    return result
  }

  private static func entry(_ workload: WorkloadEntry, _ mark: Mark) -> VersionedEntry {
    var workload = workload
    workload.isHealthy = mark.isHealthy
    workload.foundAddresses = mark.found
    workload.gateways = mark.gateways
    return VersionedEntry(.workload(workload))
  }
}
