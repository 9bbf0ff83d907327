import MeshBase
import MeshProto
import MeshSnapshot

/// One round of compiling: resources that are right by themselves become entries. A reference that does not resolve
/// degrades the object that holds it, and nothing else.
struct Compilation {
  let standIns: [ResourceKey: StandInPolicy]
  let previous: Snapshot
  var vips: VIPAllocator
  var snapshot = Snapshot()
  var problems: [Problem] = []
  var selected: [ResourceName: Int] = [:]

  var config = MeshConfigSpec.defaults
  var workloads: [Placed<WorkloadSpec>] = []
  var services: [Placed<ServiceSpec>] = []
  var serviceIndex: [ResourceName: Int] = [:]
  var slices: [Placed<EndpointSliceSpec>] = []
  var requestRoutes: [Placed<RequestRouteSpec>] = []
  var routes: [Placed<TCPRouteSpec>] = []
  var tlsRoutes: [Placed<TLSRouteSpec>] = []
  var routeStatuses: [RouteStatus] = []
  var grants: [Placed<ReferenceGrantSpec>] = []
  var policies: [Placed<AuthorizationPolicySpec>] = []
  var peerAuthentications: [Placed<PeerAuthenticationSpec>] = []
  var trafficPolicies: [Placed<TrafficPolicySpec>] = []
  var index = LabelIndex()

  /// A resource's spec with its name and place.
  struct Placed<Spec> {
    var name: ResourceName
    var spec: Spec
    var claim: Claim

    /// The order of routes and policies in Gateway API: older first, then by namespace and name. One without a time is younger than one
    /// with a time.
    func isBefore(_ other: Placed) -> Bool {
      switch (self.claim.resource.created, other.claim.resource.created) {
      case (let a?, let b?) where a != b: a < b
      case (.some, nil): true
      case (nil, .some): false
      default: self.name < other.name
      }
    }
  }

  init(claims: [Claim], standIns: [ResourceKey: StandInPolicy], previous: Snapshot, vips: VIPAllocator) {
    self.standIns = standIns
    self.previous = previous
    self.vips = vips
    for claim in claims {
      let key = claim.resource.key
      if case .meshConfig(let spec) = claim.resource.spec { self.config = spec }
      guard let name = ResourceName(namespace: key.namespace, name: key.name) else { continue }
      switch claim.resource.spec {
      case .meshConfig, .namespace: break
      case .workload(let spec): self.workloads.append(Placed(name: name, spec: spec, claim: claim))
      case .service(let spec): self.services.append(Placed(name: name, spec: spec, claim: claim))
      case .endpointSlice(let spec): self.slices.append(Placed(name: name, spec: spec, claim: claim))
      case .requestRoute(let spec): self.requestRoutes.append(Placed(name: name, spec: spec, claim: claim))
      case .tlsRoute(let spec): self.tlsRoutes.append(Placed(name: name, spec: spec, claim: claim))
      case .tcpRoute(let spec): self.routes.append(Placed(name: name, spec: spec, claim: claim))
      case .referenceGrant(let spec): self.grants.append(Placed(name: name, spec: spec, claim: claim))
      case .authorizationPolicy(let spec): self.policies.append(Placed(name: name, spec: spec, claim: claim))
      case .peerAuthentication(let spec):
        self.peerAuthentications.append(Placed(name: name, spec: spec, claim: claim))
      case .trafficPolicy(let spec): self.trafficPolicies.append(Placed(name: name, spec: spec, claim: claim))
      }
    }
    // One order, whatever the order of files and documents was.
    self.workloads.sort { $0.name < $1.name }
    self.services.sort { $0.name < $1.name }
    self.slices.sort { $0.name < $1.name }
    self.requestRoutes.sort { $0.isBefore($1) }
    self.routes.sort { $0.isBefore($1) }
    self.tlsRoutes.sort { $0.isBefore($1) }
    self.grants.sort { $0.name < $1.name }
    self.policies.sort { $0.name < $1.name }
    self.peerAuthentications.sort { $0.isBefore($1) }
    self.trafficPolicies.sort { $0.isBefore($1) }
    for (index, service) in self.services.enumerated() { self.serviceIndex[service.name] = index }
    for (index, workload) in self.workloads.enumerated() {
      self.index.insert(index, namespace: workload.name.namespace, labels: workload.claim.resource.labels)
    }
  }

  mutating func run(now: Int64) {
    self.insert(
      .config(
        ConfigEntry(
          trustDomain: self.config.trustDomain, vipRangeV4: self.config.vipRangeV4, vipRangeV6: self.config.vipRangeV6,
          connectTimeoutMilliseconds: self.config.connectTimeoutMilliseconds, proxy: self.config.proxy)))
    let peers = self.compilePeerAuthentications()
    let policies = self.compilePolicies(peers)
    let traffic = self.compileTrafficPolicies()
    self.compileWorkloads(policies, peers, traffic)
    let requests = self.compileRequestRoutes()
    let names = self.compileTLSRoutes(requests)
    let backends = self.compileConnectionRoutes(requests, names)
    self.compileServices(backends, requests, names, traffic, now: now)
    self.warnOfKernelPorts()
    self.compileEndpoints()
  }

  /// Adds the entry, with the version that it had if it is the same.
  mutating func insert(_ entry: Entry) {
    switch entry {
    case .config(let value):
      self.snapshot.config =
        self.previous.config.flatMap { $0.value == value ? $0 : nil } ?? Self.version(value, entry)
    case .policy(let value):
      self.snapshot.policies[value.name] =
        self.previous.policies[value.name].flatMap { $0.value == value ? $0 : nil } ?? Self.version(value, entry)
    case .workload(let value):
      self.snapshot.workloads[value.name] =
        self.previous.workloads[value.name].flatMap { $0.value == value ? $0 : nil } ?? Self.version(value, entry)
    case .endpoints(let value):
      self.snapshot.endpoints[value.service] =
        self.previous.endpoints[value.service].flatMap { $0.value == value ? $0 : nil } ?? Self.version(value, entry)
    case .service(let value):
      self.snapshot.services[value.name] =
        self.previous.services[value.name].flatMap { $0.value == value ? $0 : nil } ?? Self.version(value, entry)
    }
  }

  private static func version<Value>(_ value: Value, _ entry: Entry) -> Versioned<Value> {
    Versioned(value, version: VersionedEntry(entry).version)
  }

  mutating func report(
    _ claim: Claim, at position: FieldPosition? = nil, severity: Problem.Severity = .error, _ message: String,
    next: String
  ) {
    self.problems.append(
      Problem(
        severity, file: claim.file, position: (position ?? claim.resource.position).shifted(by: claim.firstLine),
        object: claim.resource.key.description, message: message, next: next))
  }
}

/// Workloads by namespace and label, so that a selector costs what it selects.
struct LabelIndex {
  private struct Key: Hashable {
    var namespace: String
    var label: String
    var value: String
  }

  private var byLabel: [Key: [Int]] = [:]
  private var byNamespace: [String: [Int]] = [:]
  private var all: [Int] = []

  /// In ascending order of `index`.
  mutating func insert(_ index: Int, namespace: String, labels: [String: String]) {
    self.all.append(index)
    self.byNamespace[namespace, default: []].append(index)
    for (label, value) in labels {
      self.byLabel[Key(namespace: namespace, label: label, value: value), default: []].append(index)
      self.byLabel[Key(namespace: "", label: label, value: value), default: []].append(index)
    }
  }

  /// Workloads that bear every label of the selector, ascending. An empty selector selects all. Nil: every namespace.
  func select(_ selector: [String: String], namespace: String?, has: (Int, String, String) -> Bool) -> [Int] {
    guard !selector.isEmpty else { return namespace.map { self.byNamespace[$0] ?? [] } ?? self.all }
    var smallest: [Int]?
    for (label, value) in selector {
      let candidates = self.byLabel[Key(namespace: namespace ?? "", label: label, value: value)] ?? []
      if candidates.count < smallest?.count ?? Int.max { smallest = candidates }
    }
    guard selector.count > 1 else { return smallest ?? [] }
    return (smallest ?? []).filter { index in selector.allSatisfy { has(index, $0.key, $0.value) } }
  }
}
