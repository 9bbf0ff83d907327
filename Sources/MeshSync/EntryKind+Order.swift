package import MeshSnapshot

extension EntryKind {
  /// The kinds that entries of this kind need to have their meaning, directly or through others. They are brought before
  /// it and go after it: the workload that names a policy is not there without the policy.
  package var refersTo: [EntryKind] {
    switch self {
    case .config, .policy: []
    case .workload: [.policy]
    case .endpoints: [.policy, .workload]
    case .service: [.config, .policy, .workload, .endpoints]
    }
  }

  package var referredBy: [EntryKind] {
    EntryKind.allCases.filter { $0.refersTo.contains(self) }
  }
}
