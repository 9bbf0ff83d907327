/// Why a connection was refused. Raw values equal `MESH_REASON_*` of `mesh_abi.h` (a test of MeshDatapath compares them);
/// `word` is what flow records, metrics, logs and the command line print.
package enum Reason: UInt8, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case none = 0
  /// A DENY rule matched.
  case policyDenied = 1
  /// ALLOW policies apply and none matched.
  case notAllowed = 2
  /// The service has no ready endpoint.
  case noEndpoint = 3
  /// The address is a service's, the port is not.
  case noServicePort = 4
  /// Inside the VIP range, no such service.
  case unknownVIP = 5
  /// The destination refers to policy that is not there yet.
  case policyMissing = 6
  /// A map is full, a look-up failed, or the policy does not fit into the tables.
  case mapError = 7
  /// The node proxy dialled with a socket that the agent did not tag.
  case untagged = 8
  /// One of the mesh's own ports as a target.
  case meshPort = 9
  /// The destination is on another node and there is no tunnel to it.
  case noTunnel = 10
  /// Dialled an address of the namespace that no workload declares.
  case unknownAddress = 11
  /// The weighted pick fell on a backend that does not exist or serves nothing.
  case invalidBackend = 12
  /// The packet's source is not the workload's.
  case forgedSource = 13
  /// The agent has not published a complete generation yet.
  case notReady = 14
  /// The endpoint's address is a service's.
  case serviceLoop = 15
  /// The destination is placed on this node, but it is not enrolled here.
  case notEnrolled = 16
  /// The redirection of one end is lost and could not be repaired.
  case quarantined = 17

  package var word: String {
    switch self {
    case .none: "none"
    case .policyDenied: "policy_denied"
    case .notAllowed: "not_allowed"
    case .noEndpoint: "no_endpoint"
    case .noServicePort: "no_service_port"
    case .unknownVIP: "unknown_vip"
    case .policyMissing: "policy_missing"
    case .mapError: "map_error"
    case .untagged: "untagged"
    case .meshPort: "mesh_port"
    case .noTunnel: "no_tunnel"
    case .unknownAddress: "unknown_address"
    case .invalidBackend: "invalid_backend"
    case .forgedSource: "forged_source"
    case .notReady: "not_ready"
    case .serviceLoop: "service_loop"
    case .notEnrolled: "not_enrolled"
    case .quarantined: "quarantined"
    }
  }

  package init?(word: some StringProtocol) {
    guard let match = Self.allCases.first(where: { $0.word == word }) else { return nil }
    self = match
  }

  package var description: String { self.word }
}
