package import MeshBase

/// What is distributed: the only words that both wings know. Resources (what users write) are compiled to entries by the
/// control plane; tables (what the kernel and the proxy look up) are made of entries by the node.

/// The mesh as a whole. There is one, named `mesh`.
package struct ConfigEntry: Hashable, Sendable {
  package static let name = "mesh"
  /// Roots of a trust domain: one, and one that takes its place.
  package static let mostRoots = 16
  /// Bytes of a root's DER.
  package static let largestRoot = 16_384

  package var trustDomain: String
  /// Ranges that addresses of services without a `clusterIP` are taken from. A destination inside of them that is no
  /// service is refused.
  package var vipRangeV4: IPPrefix?
  package var vipRangeV6: IPPrefix?
  /// How long the proxy tries to reach an upstream.
  package var connectTimeoutMilliseconds: UInt32
  package var proxy: ProxySettings
  /// DER of the roots that certificates of the trust domain may lead to; the one that signs now comes first. Empty: there
  /// is no authority, and nobody of another host is known.
  package var trustRoots: [[UInt8]]
  /// Certificates that are not accepted though they have not expired, sorted.
  package var revoked: [RevokedCertificate]

  package init(
    trustDomain: String, vipRangeV4: IPPrefix? = nil, vipRangeV6: IPPrefix? = nil,
    connectTimeoutMilliseconds: UInt32 = 10_000, proxy: ProxySettings = .defaults, trustRoots: [[UInt8]] = [],
    revoked: [RevokedCertificate] = []
  ) {
    self.proxy = proxy
    self.trustRoots = trustRoots
    self.revoked = revoked
    self.trustDomain = trustDomain
    self.vipRangeV4 = vipRangeV4
    self.vipRangeV6 = vipRangeV6
    self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
  }
}

/// Names a certificate by who signed it and its number.
package struct RevokedCertificate: Hashable, Sendable, Comparable {
  /// Key identifier of the authority, as its certificates bear it.
  package var authorityKey: [UInt8]
  /// Big-endian.
  package var serial: [UInt8]

  package init(authorityKey: [UInt8], serial: [UInt8]) {
    self.authorityKey = authorityKey
    self.serial = serial
  }

  package static func < (a: RevokedCertificate, b: RevokedCertificate) -> Bool {
    a.authorityKey == b.authorityKey
      ? a.serial.lexicographicallyPrecedes(b.serial) : a.authorityKey.lexicographicallyPrecedes(b.authorityKey)
  }
}

/// What holds while something that a decision needs is not there.
package enum FailureMode: Sendable, Hashable {
  /// Connections are refused.
  case closed
  /// Connections pass.
  case open
}

/// How a node finds a workload of its own.
package enum WorkloadLocation: Hashable, Sendable {
  /// Path of a network namespace, `/run/netns/web` or `/proc/1/ns/net`.
  case networkNamespace(path: String)
  /// The processes below a cgroup, in the host's own namespace. Path below the cgroup2 root, `/system.slice/web.service`.
  case cgroup(path: String)
  /// The processes of a systemd unit, in the host's own namespace: `web.service`.
  case systemdUnit(name: String)
  /// A container that has a network namespace of its own.
  case container(ContainerSelector)
  /// The workload is known by its addresses only.
  case none

  /// It lives in the host's namespace, with the host's addresses: only {address, port} pairs are its own.
  package var isInHost: Bool {
    switch self {
    case .cgroup, .systemdUnit: true
    case .networkNamespace, .container, .none: false
    }
  }
}

/// One workload: an instance with an identity, on a node.
package struct WorkloadEntry: Hashable, Sendable {
  package var name: ResourceName
  package var node: String
  package var identity: SPIFFEID
  /// May be empty for a workload that its node finds: the node knows its addresses.
  package var addresses: [IPAddress]
  /// In which its addresses mean something: of another network the same address is somebody else's. Its node's name where
  /// nobody says otherwise.
  package var network: String
  package var location: WorkloadLocation
  /// TCP ports that it serves, sorted. In the host's namespace these and no others are governed; elsewhere empty: all are.
  package var ports: [UInt16]
  package var failureMode: FailureMode
  /// What it asks port 53 goes to the node proxy, which answers for the names of the mesh.
  package var resolvesNames: Bool
  /// Who is asked for other names, on port 53, in this order. Empty: whoever its node finds.
  package var nameServers: [IPAddress]
  /// Every policy that selects it, sorted. A policy that is not in the snapshot refuses connections to it
  /// (`failureMode`).
  package var policies: [ResourceName]
  /// `service.istio.io/canonical-name`, else label `app`, else the name. For metric labels.
  package var app: String
  /// `service.istio.io/canonical-revision`, else label `version`, else `latest`. For metric labels.
  package var appVersion: String
  /// How its node finds out whether it can serve. Nil: it can while it runs.
  package var readiness: ReadinessCheck?
  /// False: its node says that it cannot serve, because it does not run or its check fails. The node itself knows better,
  /// so it goes by what it finds.
  package var isHealthy: Bool
  /// That its node found, where nobody wrote any: for other nodes.
  package var foundAddresses: [IPAddress] = []
  /// Its node's, where tunnels to it are dialled from other networks.
  package var gateways: [IPAddress]
  /// Enforced by one of `policies`; callers on other nodes go by it.
  package var peerModes: PeerModes

  package init(
    name: ResourceName, node: String, identity: SPIFFEID, addresses: [IPAddress] = [],
    location: WorkloadLocation = .none, ports: [UInt16] = [], failureMode: FailureMode = .closed,
    policies: [ResourceName] = [], app: String? = nil, appVersion: String = "latest", resolvesNames: Bool = false,
    nameServers: [IPAddress] = [], readiness: ReadinessCheck? = nil, isHealthy: Bool = true, network: String? = nil,
    peerModes: PeerModes = .permissive, gateways: [IPAddress] = []
  ) {
    self.gateways = gateways
    self.peerModes = peerModes
    self.network = network ?? node
    self.resolvesNames = resolvesNames
    self.nameServers = nameServers
    self.name = name
    self.node = node
    self.identity = identity
    self.addresses = addresses
    self.location = location
    self.ports = ports
    self.failureMode = failureMode
    self.policies = policies
    self.app = app ?? name.name
    self.appVersion = appVersion
    self.readiness = readiness
    self.isHealthy = isHealthy
  }
}

/// What is spoken on a service port. It chooses the tier: everything but `tcp` and `tls` goes through the node proxy, and those
/// too where a TLSRoute is attached.
package enum AppProtocol: String, Hashable, Sendable, CaseIterable {
  case tcp
  case tls
  case http
  case http2
  case grpc

  package var needsProxy: Bool {
    switch self {
    case .tcp, .tls: false
    case .http, .http2, .grpc: true
    }
  }
}

/// A share of a service port's connections.
package struct Backend: Hashable, Sendable {
  package var service: ResourceName
  package var port: UInt16
  /// Relative to the other backends of the port; 0 receives nothing.
  package var weight: UInt32
  /// False: the reference does not resolve; its share of the connections is refused (Gateway API, BackendRef).
  package var isValid: Bool

  package init(service: ResourceName, port: UInt16, weight: UInt32 = 1, isValid: Bool = true) {
    self.service = service
    self.port = port
    self.weight = weight
    self.isValid = isValid
  }
}

package struct ServicePort: Hashable, Sendable {
  package var port: UInt16
  package var name: String
  package var appProtocol: AppProtocol
  /// Never empty: the service itself where no route says otherwise.
  package var backends: [Backend]
  /// The route that set the backends.
  package var route: ResourceName?
  /// Nil: no HTTPRoute or GRPCRoute is attached, so every request goes to the backends.
  package var routing: HTTPRouting?
  /// Empty: no TLSRoute is attached. Else connections go where these lead, and all others are closed.
  package var tlsRules: [TLSRule]
  /// Nil: no TrafficPolicy names it.
  package var traffic: TrafficSettings?

  package init(
    port: UInt16, name: String = "", appProtocol: AppProtocol = .tcp, backends: [Backend], route: ResourceName? = nil,
    routing: HTTPRouting? = nil, tlsRules: [TLSRule] = [], traffic: TrafficSettings? = nil
  ) {
    self.traffic = traffic
    self.port = port
    self.name = name
    self.appProtocol = appProtocol
    self.backends = backends
    self.route = route
    self.routing = routing
    self.tlsRules = tlsRules
  }

  /// Its connections go through the node proxy. A consumer route has its clients' requests parsed where the Service says
  /// nothing: connections of all others go through it too, as bytes.
  package var needsProxy: Bool { self.appProtocol.needsProxy || self.routing != nil || !self.tlsRules.isEmpty }

  /// Whether what clients in a namespace send there is parsed.
  package func speaksHTTP(toClientsIn namespace: String) -> Bool {
    self.appProtocol.needsProxy || !(self.routing?.rules(forClientsIn: namespace).isEmpty ?? true)
  }
}

/// What is called: addresses and ports. Every node has all of them.
package struct ServiceEntry: Hashable, Sendable {
  package var name: ResourceName
  package var addresses: [IPAddress]
  package var ports: [ServicePort]

  package init(name: ResourceName, addresses: [IPAddress], ports: [ServicePort]) {
    self.name = name
    self.addresses = addresses
    self.ports = ports
  }
}

/// A port of a service and where it is served at one endpoint.
package struct PortMapping: Hashable, Sendable {
  package var servicePort: UInt16
  package var targetPort: UInt16

  package init(servicePort: UInt16, targetPort: UInt16) {
    self.servicePort = servicePort
    self.targetPort = targetPort
  }
}

package struct Endpoint: Hashable, Sendable {
  /// Nil: an address outside of the mesh (a manual EndpointSlice).
  package var workload: ResourceName?
  /// Empty: the addresses of the workload, as its node knows them.
  package var addresses: [IPAddress]
  /// What the control plane knows; the node of the workload adds whether it runs.
  package var isReady: Bool
  package var weight: UInt32
  package var ports: [PortMapping]
  /// Its workload is on another node: no address leads there from here. Only a node knows, for its proxy.
  package var needsTunnel: Bool
  package var locality: Locality

  package init(
    workload: ResourceName? = nil, addresses: [IPAddress] = [], isReady: Bool = true, weight: UInt32 = 1,
    ports: [PortMapping], needsTunnel: Bool = false, locality: Locality = .nowhere
  ) {
    self.locality = locality
    self.needsTunnel = needsTunnel
    self.workload = workload
    self.addresses = addresses
    self.isReady = isReady
    self.weight = weight
    self.ports = ports
  }
}

/// Where a service is served. Apart from the service, because it changes far more often.
package struct EndpointsEntry: Hashable, Sendable {
  package var service: ResourceName
  package var endpoints: [Endpoint]

  package init(service: ResourceName, endpoints: [Endpoint]) {
    self.service = service
    self.endpoints = endpoints
  }
}
