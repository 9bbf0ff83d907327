package import MeshBase
package import MeshPolicy
package import MeshSnapshot

/// How a connection would travel.
package enum Tier: String, Hashable, Sendable, CaseIterable {
  /// Untouched: the mesh has no part in it.
  case none
  /// Decided in the kernel; bytes never leave it.
  case kernel
  /// Through the node proxy.
  case relay
  /// Plaintext from outside, admitted or refused by address.
  case outside
}

/// What would happen to a connection, and why: the decisions of the kernel in words, from the same values that the tables
/// are made of.
package struct Explanation: Hashable, Sendable {
  package enum Verdict: String, Hashable, Sendable {
    case allowed
    case refused
    /// Not every endpoint says the same: see `outcomes`.
    case depends
  }

  /// A workload that connects, by name, or an address.
  package enum Source: Hashable, Sendable {
    case workload(ResourceName)
    case address(IPAddress)
  }

  package enum Destination: Hashable, Sendable {
    case endpoint(SocketEndpoint)
    /// A name of a service, `web.shop`, with or without `.svc` and `.svc.cluster.local`, or `shop/web`.
    case host(String, port: UInt16)
  }

  /// One place that the connection may go to.
  package struct Outcome: Hashable, Sendable {
    /// Share of the connections, 0 to 1.
    package var share: Double
    package var backend: ResourceName?
    /// Nil: the share is refused.
    package var target: SocketEndpoint?
    package var workload: ResourceName?
    package var verdict: PolicyVerdict
    /// It is in another network of this host than the source: the node proxy carries what is allowed.
    package var isRelayed = false

    package var isAllowed: Bool { self.verdict.isAllowed }
    package var reason: Reason { self.verdict.reason }
  }

  /// A policy that was considered.
  package struct ConsideredPolicy: Hashable, Sendable {
    package var destination: ResourceName
    package var name: ResourceName
    /// Nil: it has not arrived.
    package var version: ContentVersion?
    package var action: PolicyEntry.Action?
    /// The first rule that matches the connection.
    package var matchingRule: Int?
    package var decides: Bool
  }

  /// An endpoint of the service and whether it counts.
  package struct EndpointState: Hashable, Sendable {
    package var backend: ResourceName
    package var workload: ResourceName?
    package var addresses: [IPAddress]
    package var isReady: Bool
    package var weight: UInt32
  }

  package var source: Source
  package var sourceWorkload: ResourceName?
  package var sourceIdentity: SPIFFEID?
  package var destination: SocketEndpoint?
  package var tier: Tier = .none
  package var verdict: Verdict = .refused
  /// Of the first refusal; `none` if every outcome is allowed.
  package var reason: Reason = .none
  package var service: ResourceName?
  package var route: ResourceName?
  package var endpoints: [EndpointState] = []
  package var outcomes: [Outcome] = []
  /// Of the request that was asked about: the rule that takes it.
  package var rule: HTTPRule?
  package var answered: Answered?
  /// Of the server name that was asked about: the rule that leads it, or why the proxy closes the connection.
  package var tlsRule: TLSRule?
  package var closed: String?
  package var policies: [ConsideredPolicy] = []
  /// One sentence a step, in the order of the decisions.
  package var steps: [String] = []

  package init(source: Source) { self.source = source }
}
