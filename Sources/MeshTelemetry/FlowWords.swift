/// A word of a fixed list that goes over the agent's socket. A word that the reader does not know becomes `unknown`
/// instead of an error.
package protocol LenientWord: RawRepresentable, Codable, Sendable, Hashable, CaseIterable where RawValue == String {
  static var unknown: Self { get }
}

extension LenientWord {
  package init(from decoder: any Decoder) throws {
    self = Self(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .unknown
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(self.rawValue)
  }
}

/// What happened to a connection. Connections that are open are no records: `martlet show connections` lists them.
package enum FlowKind: String, LenientWord {
  case refused
  case closed
  case unknown

  /// From `enum mesh_event_kind`.
  package init(number: UInt32) {
    switch number {
    case 1: self = .refused
    case 2: self = .closed
    default: self = .unknown
    }
  }
}

/// How a connection travels.
package enum FlowTier: String, LenientWord {
  /// Untouched by the mesh.
  case none
  /// Decided in the kernel, bytes never leave it.
  case kernel
  /// Through the node proxy.
  case relay
  /// Plaintext from outside of the mesh, judged by address.
  case outside
  case unknown

  /// From `enum mesh_tier`. A relayed connection has two halves in the kernel, which tells it once: as the leg (3), or as
  /// the client's half (2) if there never was a leg.
  package init(number: UInt8) {
    switch number {
    case 0: self = .none
    case 1: self = .kernel
    case 2, 3: self = .relay
    case 4: self = .outside
    default: self = .unknown
    }
  }
}

package enum FlowVerdict: String, LenientWord {
  case none
  case allow
  case deny
  case unknown

  /// From `enum mesh_verdict`.
  package init(number: UInt8) {
    switch number {
    case 0: self = .none
    case 1: self = .allow
    case 2: self = .deny
    default: self = .unknown
    }
  }
}

/// Why a connection was refused. The same words stand in `observe`, metrics and logs.
package enum RefusalReason: String, LenientWord {
  case none
  case policyDenied = "policy_denied"
  case notAllowed = "not_allowed"
  case noEndpoint = "no_endpoint"
  case noServicePort = "no_service_port"
  case unknownVIP = "unknown_vip"
  case policyMissing = "policy_missing"
  case mapError = "map_error"
  case untagged
  case meshPort = "mesh_port"
  case noTunnel = "no_tunnel"
  case unknownAddress = "unknown_address"
  case invalidBackend = "invalid_backend"
  case forgedSource = "forged_source"
  case notReady = "not_ready"
  case serviceLoop = "service_loop"
  case notEnrolled = "not_enrolled"
  case quarantined
  case unknown

  /// From `enum mesh_reason`: the order of the cases is the order of the numbers.
  package init(number: UInt8) {
    let all = Self.allCases
    self = Int(number) < all.count - 1 ? all[Int(number)] : .unknown
  }

  /// The number in `enum mesh_reason`; nil for `unknown`.
  package var number: UInt8? {
    guard self != .unknown, let index = Self.allCases.firstIndex(of: self) else { return nil }
    return UInt8(exactly: index)
  }

  /// One sentence for people.
  package var explanation: String {
    switch self {
    case .none: "admitted"
    case .policyDenied: "a DENY rule matches"
    case .notAllowed: "ALLOW policies protect the destination and none matches"
    case .noEndpoint: "the service has no ready endpoint"
    case .noServicePort: "the address is a service's, but the service has no such port"
    case .unknownVIP: "the address is inside the range of services, and no service has it"
    case .policyMissing: "the destination refers to a policy that has not arrived"
    case .mapError: "a BPF map is full or a look-up failed"
    case .untagged: "the node proxy dialled with a socket that the agent did not tag"
    case .meshPort: "the port is one of the mesh's own"
    case .noTunnel: "the destination is on another node and there is no tunnel to it"
    case .unknownAddress: "no workload declares this address of the namespace"
    case .invalidBackend: "the route's share fell on a backend that does not exist"
    case .forgedSource: "the packet's source address is not the workload's"
    case .notReady: "the agent has not published a complete generation yet"
    case .serviceLoop: "the endpoint's address is itself a service's"
    case .notEnrolled: "the destination is placed on this node, and its network namespace is not enrolled"
    case .quarantined: "one end is in quarantine: its calls are not steered, or somebody else listens on its port"
    case .unknown: "a reason that this version does not know"
    }
  }

  /// Where to look next; nil where nothing is wrong.
  package var nextStep: String? {
    switch self {
    case .none: nil
    case .policyDenied, .notAllowed: "martlet explain SRC DST:PORT names the policy; martlet show policies"
    case .noEndpoint: "martlet show services lists endpoints and why one is not ready"
    case .noServicePort, .unknownVIP: "martlet show services lists addresses and ports"
    case .policyMissing: "martlet status: is the control plane connected? martlet show workloads names the policy"
    case .mapError: "martlet show maps; a map at 100 % refuses what does not fit"
    case .untagged: "martlet status: restart martletd; report it if it stays"
    case .meshPort: "dial the service's own port"
    case .noTunnel: "martlet explain SRC DST:PORT names the node of the destination"
    case .unknownAddress: "add the address to the Workload, or dial one that it declares"
    case .invalidBackend: "correct backendRefs of the route that martlet show services names"
    case .forgedSource: "look at what runs in the namespace; martlet observe --reason forged_source"
    case .notReady: "martlet status; wait until it is ready"
    case .serviceLoop: "write the address of what serves the EndpointSlice, or a TCPRoute to that Service"
    case .notEnrolled: "martlet show workloads -o yaml says why: is it running, is networkNamespace right?"
    case .quarantined: "martlet show workloads -o yaml says what is lost; the agent goes on repairing"
    case .unknown: "use a martlet of the agent's version"
    }
  }
}

/// Which program spoke: `enum mesh_hook`.
package enum FlowHook: String, LenientWord {
  case connect
  case sockops
  case lookup
  case edge
  case unknown

  package init(number: UInt32) {
    switch number {
    case 0: self = .connect
    case 1: self = .sockops
    case 2: self = .lookup
    case 3: self = .edge
    default: self = .unknown
    }
  }
}

/// Levels of the agent's log.
package enum LogLevelWord: String, LenientWord {
  case trace
  case debug
  case info
  case notice
  case warning
  case error
  case critical
  case unknown
}
