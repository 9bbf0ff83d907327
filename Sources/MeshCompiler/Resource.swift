package import MeshBase
package import MeshSnapshot

/// The kinds of resources that this version knows.
package enum ResourceKind: String, Hashable, Sendable, CaseIterable, Comparable {
  case meshConfig = "MeshConfig"
  case namespace = "Namespace"
  case workload = "Workload"
  case service = "Service"
  case endpointSlice = "EndpointSlice"
  case httpRoute = "HTTPRoute"
  case grpcRoute = "GRPCRoute"
  case tcpRoute = "TCPRoute"
  case tlsRoute = "TLSRoute"
  case referenceGrant = "ReferenceGrant"
  case authorizationPolicy = "AuthorizationPolicy"
  case peerAuthentication = "PeerAuthentication"
  case trafficPolicy = "TrafficPolicy"

  /// Every `apiVersion` that it is accepted with.
  package var versions: [String] {
    switch self {
    case .meshConfig, .workload, .trafficPolicy: ["martlet.dev/v1alpha1"]
    case .namespace, .service: ["v1"]
    case .endpointSlice: ["discovery.k8s.io/v1"]
    case .httpRoute: ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    case .grpcRoute, .tcpRoute: ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
    case .tlsRoute:
      [
        "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3", "gateway.networking.k8s.io/v1alpha2",
      ]
    case .referenceGrant: ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    case .authorizationPolicy, .peerAuthentication: ["security.istio.io/v1", "security.istio.io/v1beta1"]
    }
  }

  package var isNamespaced: Bool { self != .meshConfig && self != .namespace }

  package var isRoute: Bool {
    switch self {
    case .httpRoute, .grpcRoute, .tcpRoute, .tlsRoute: true
    default: false
    }
  }

  /// It says something of Services, in which another object may go before it: of several the older goes first, and its status
  /// has conditions for each Service.
  package var hasConditions: Bool { self.isRoute || self == .trafficPolicy }

  /// Of several that say something of the same, the older goes first.
  var hasAge: Bool { self.hasConditions || self == .peerAuthentication }

  /// It forbids something: where it cannot be read, something that forbids more stands in for it.
  var isProtective: Bool { self == .authorizationPolicy || self == .peerAuthentication }

  /// Its rules choose by request, not by connection.
  var routesRequests: Bool { self == .httpRoute || self == .grpcRoute }

  package static func < (a: ResourceKind, b: ResourceKind) -> Bool { a.rawValue < b.rawValue }
}

/// Names a resource. `namespace` is empty for kinds that have none.
package struct ResourceKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var kind: ResourceKind
  package var namespace: String
  package var name: String

  package init(_ kind: ResourceKind, namespace: String = "", name: String) {
    self.kind = kind
    self.namespace = namespace
    self.name = name
  }

  package var description: String {
    self.namespace.isEmpty
      ? "\(self.kind.rawValue) \(self.name)" : "\(self.kind.rawValue) \(self.namespace)/\(self.name)"
  }

  package static func < (a: ResourceKey, b: ResourceKey) -> Bool {
    (a.kind, a.namespace, a.name) < (b.kind, b.namespace, b.name)
  }
}

/// What a user wrote, read and checked by itself; what it refers to is checked when it is compiled.
package struct Resource: Hashable, Sendable {
  package var key: ResourceKey
  package var labels: [String: String]
  /// Of a kind with an age, as written: `2026-01-31T00:00:00Z`. Of several the older goes first.
  package var created: String?
  package var spec: ResourceSpec
  /// Of the object within its document.
  package var position: FieldPosition
}

package enum ResourceSpec: Hashable, Sendable {
  case meshConfig(MeshConfigSpec)
  case namespace
  case workload(WorkloadSpec)
  case service(ServiceSpec)
  case endpointSlice(EndpointSliceSpec)
  case requestRoute(RequestRouteSpec)
  case tcpRoute(TCPRouteSpec)
  case tlsRoute(TLSRouteSpec)
  case referenceGrant(ReferenceGrantSpec)
  case authorizationPolicy(AuthorizationPolicySpec)
  case peerAuthentication(PeerAuthenticationSpec)
  case trafficPolicy(TrafficPolicySpec)
}

package struct MeshConfigSpec: Hashable, Sendable {
  package var trustDomain = "cluster.local"
  /// Policies of this namespace apply to every workload.
  package var rootNamespace = "istio-system"
  package var vipRangeV4: IPPrefix?
  package var vipRangeV6: IPPrefix?
  package var connectTimeoutMilliseconds: UInt32 = 10_000
  package var proxy = ProxySettings.defaults

  /// 65,536 addresses of 240.0.0.0/4, which no network routes, and a prefix of RFC 4193's unique local addresses.
  package static let defaults = MeshConfigSpec(
    vipRangeV4: IPPrefix("240.240.0.0/16"), vipRangeV6: IPPrefix("fd6d:6172:746c:6574::/64"))
}

package struct WorkloadSpec: Hashable, Sendable {
  package var node: String
  package var serviceAccount = "default"
  package var addresses: [IPAddress] = []
  /// `.none`: by `addresses`.
  package var location: WorkloadLocation = .none
  package var weight: UInt32 = 1
  package var failureMode: FailureMode = .closed
  /// Names of the mesh resolve in it.
  package var dns = false
  /// Who is asked for other names.
  package var nameServers: [IPAddress] = []
  /// Port numbers that a Service may ask for by name; in the host's namespace also what is governed.
  package var ports: [String: UInt16] = [:]
  package var readiness: ReadinessCheck?
  package var locality = Locality.nowhere
  /// In which its addresses mean something. Nil: its node's own.
  package var network: String?
}

package struct ServiceSpec: Hashable, Sendable {
  package enum TargetPort: Hashable, Sendable {
    case number(UInt16)
    case name(String)
  }

  package struct Port: Hashable, Sendable {
    package var name: String
    package var port: UInt16
    package var target: TargetPort
    /// Nil: nothing is said.
    package var appProtocol: AppProtocol?
    package var position: FieldPosition
  }

  /// Nil: endpoints come from EndpointSlices.
  package var selector: [String: String]?
  package var ports: [Port] = []
  package var clusterIPs: [IPAddress] = []
  /// `clusterIP: None`: no address of its own.
  package var isHeadless = false
  /// Families that it gets addresses of.
  package var wantsV4 = true
  package var wantsV6 = true
}

package struct EndpointSliceSpec: Hashable, Sendable {
  package struct Port: Hashable, Sendable {
    package var name: String
    package var port: UInt16
  }

  package struct Endpoint: Hashable, Sendable {
    package var addresses: [IPAddress]
    package var isReady: Bool
    /// The workload that serves it; nil for an address outside of the mesh.
    package var workload: ResourceName?
    /// Where it is, if that is said here.
    package var zone: String?
    package var position: FieldPosition
  }

  package var service: String
  package var ports: [Port]
  package var endpoints: [Endpoint]
}

package struct AuthorizationPolicySpec: Hashable, Sendable {
  /// Empty: every workload of the namespace.
  package var selector: [String: String]
  package var action: PolicyEntry.Action
  package var rules: [PolicyRule]
}

package struct PeerAuthenticationSpec: Hashable, Sendable {
  /// Empty: every workload of the namespace; of the root namespace: of the mesh.
  package var selector: [String: String]
  /// Nil: as the next wider one says (`UNSET`).
  package var mode: PeerModes.Mode?
  package var ports: [UInt16: PeerModes.Mode]
}

package struct TrafficPolicySpec: Hashable, Sendable {
  package static let mostFaults = 16

  /// Services of its namespace, or ports of them by name.
  package var targets: [RouteParent]
  package var settings: TrafficSettings
  /// Of the Services' workloads that have no check of their own. Its port is the Service's: 0 here.
  package var healthCheck: ReadinessCheck?
  package var healthCheckPosition: FieldPosition?
}
