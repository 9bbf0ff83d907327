import MeshProto
package import MeshSnapshot
package import MeshSync

extension Snapshot {
  /// With what the nodes say of their workloads: those that cannot serve are marked, so that every node takes them out of
  /// its tables. A node is believed about workloads that are placed on it, and about no others.
  package func marked(by ledger: StatusLedger) -> Snapshot {
    var result = self
    for (node, name) in ledger.unready {
      guard var workload = self.workloads[name]?.value, workload.node == node, workload.location != .none else {
        continue
      }
      workload.isHealthy = false
      result.insert(VersionedEntry(.workload(workload)))
    }
    return result
  }
}
