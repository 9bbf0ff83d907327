import MeshBase
import MeshPolicy
import MeshSnapshot

/// Who may call a workload of this node through a tunnel. The kernel decides on everybody else by the same policies; of a caller
/// on another node it sees only that node's proxy, whose certificate is what tells.
struct InboundAccess: Sendable {
  private let workloads: [ResourceName: Versioned<WorkloadEntry>]
  private let policies: [ResourceName: Versioned<PolicyEntry>]

  init(_ snapshot: Snapshot = Snapshot()) {
    self.workloads = snapshot.workloads
    self.policies = snapshot.policies
  }

  /// Whether verdicts about these workloads may be others.
  func mayDiffer(from other: InboundAccess, about workloads: some Sequence<ResourceName>) -> Bool {
    self.policies != other.policies || workloads.contains { self.workloads[$0] != other.workloads[$0] }
  }

  /// Nil: it is not known.
  func entry(of workload: ResourceName) -> WorkloadEntry? { self.workloads[workload]?.value }

  /// - source: what the caller's certificate says.
  /// - address: the caller's, as its packets come: for rules with ipBlocks.
  func verdict(
    source: SPIFFEID, address: IPAddress, to workload: ResourceName, port: UInt16
  ) -> PolicyVerdict {
    guard let entry = self.entry(of: workload) else { return PolicyVerdict(isAllowed: false, reason: .policyMissing) }
    if MeshPort.all.contains(port) { return PolicyVerdict(isAllowed: false, reason: .meshPort) }
    if entry.location.isInHost, !entry.ports.contains(port) {
      // What it did not declare is somebody else's (`ports`).
      return PolicyVerdict(isAllowed: false, reason: .unknownAddress)
    }
    let policies = entry.policies.compactMap { self.policies[$0] }
    guard policies.count == entry.policies.count else {
      switch entry.failureMode {
      case .closed: return PolicyVerdict(isAllowed: false, reason: .policyMissing)
      case .open: return .allowed
      }
    }
    return evaluate(policies: policies, source: PolicySource(identity: source, address: address), port: port)
  }
}
