/// `GET /v1/workloads`: a workload that this node knows.
package struct WorkloadReport: Codable, Sendable, Hashable {
  /// `namespace/name`.
  package var name: String
  package var node: String
  /// On this node.
  package var local: Bool
  /// Its namespace is found and its programs and listeners are in place.
  package var enrolled: Bool
  /// Why a local workload is not enrolled.
  package var problem: String?
  package var identity: String
  package var addresses: [String]
  package var networkNamespace: String?
  /// `closed` or `open`.
  package var failureMode: String
  package var policies: [String]
  package var app: String
  package var version: String
  /// In which its addresses mean something.
  package var network: String
  /// The network of its host that it is in: the name of a bridge, or empty. Null in the host's own namespace, and elsewhere.
  package var segment: String?
  /// The number that stands for it in the maps of this node.
  package var id: UInt32

  package init(
    name: String, node: String, local: Bool, enrolled: Bool, problem: String? = nil, identity: String,
    addresses: [String] = [], networkNamespace: String? = nil, failureMode: String = "closed",
    policies: [String] = [], app: String = "", version: String = "", network: String = "", segment: String? = nil,
    id: UInt32 = 0
  ) {
    self.network = network
    self.segment = segment
    self.name = name
    self.node = node
    self.local = local
    self.enrolled = enrolled
    self.problem = problem
    self.identity = identity
    self.addresses = addresses
    self.networkNamespace = networkNamespace
    self.failureMode = failureMode
    self.policies = policies
    self.app = app
    self.version = version
    self.id = id
  }
}

/// `GET /v1/services`: what is called, and where it is served.
package struct ServiceReport: Codable, Sendable, Hashable {
  package struct Port: Codable, Sendable, Hashable {
    package var port: UInt16
    package var name: String
    package var appProtocol: String
    package var tier: FlowTier
    package var route: String?
    package var backends: [Backend]

    package init(
      port: UInt16, name: String = "", appProtocol: String = "tcp", tier: FlowTier = .kernel, route: String? = nil,
      backends: [Backend] = []
    ) {
      self.port = port
      self.name = name
      self.appProtocol = appProtocol
      self.tier = tier
      self.route = route
      self.backends = backends
    }
  }

  package struct Backend: Codable, Sendable, Hashable {
    package var service: String
    package var port: UInt16
    package var weight: UInt32
    /// False: the reference does not resolve, its share is refused.
    package var valid: Bool

    package init(service: String, port: UInt16, weight: UInt32 = 1, valid: Bool = true) {
      self.service = service
      self.port = port
      self.weight = weight
      self.valid = valid
    }
  }

  package struct Endpoint: Codable, Sendable, Hashable {
    package var workload: String?
    package var addresses: [String]
    package var ready: Bool
    /// Why it is not ready.
    package var reason: String?
    package var weight: UInt32
    /// `servicePort:targetPort`.
    package var ports: [String]

    package init(
      workload: String? = nil, addresses: [String] = [], ready: Bool, reason: String? = nil, weight: UInt32 = 1,
      ports: [String] = []
    ) {
      self.workload = workload
      self.addresses = addresses
      self.ready = ready
      self.reason = reason
      self.weight = weight
      self.ports = ports
    }
  }

  package var name: String
  package var addresses: [String]
  package var ports: [Port]
  package var endpoints: [Endpoint]
  package var id: UInt32

  package init(
    name: String, addresses: [String] = [], ports: [Port] = [], endpoints: [Endpoint] = [], id: UInt32 = 0
  ) {
    self.name = name
    self.addresses = addresses
    self.ports = ports
    self.endpoints = endpoints
    self.id = id
  }

  package var readyEndpoints: Int { self.endpoints.count { $0.ready } }
}

/// `GET /v1/policies`: an authorization policy and whom it protects here.
package struct PolicyReport: Codable, Sendable, Hashable {
  package var name: String
  /// `allow` or `deny`.
  package var action: String
  /// Content version: what flow records name after `@`.
  package var version: String
  package var rules: UInt64
  /// Workloads that refer to it.
  package var workloads: [String]
  /// Workloads refer to it and it has not arrived.
  package var missing: Bool

  package init(
    name: String, action: String, version: String, rules: UInt64 = 0, workloads: [String] = [], missing: Bool = false
  ) {
    self.name = name
    self.action = action
    self.version = version
    self.rules = rules
    self.workloads = workloads
    self.missing = missing
  }
}

/// `GET /v1/connections`: a connection that is open now.
package struct ConnectionReport: Codable, Sendable, Hashable {
  package var source: FlowPeer
  package var destination: FlowPeer
  package var dialled: String?
  package var service: String?
  package var tier: FlowTier
  /// Of the TCP state machine: `established`, `close_wait`, …
  package var state: String
  package var ageSeconds: UInt64
  /// So far, by the source.
  package var sentBytes: UInt64
  package var receivedBytes: UInt64
  package var policy: String?

  package init(
    source: FlowPeer, destination: FlowPeer, dialled: String? = nil, service: String? = nil, tier: FlowTier,
    state: String, ageSeconds: UInt64 = 0, sentBytes: UInt64 = 0, receivedBytes: UInt64 = 0, policy: String? = nil
  ) {
    self.source = source
    self.destination = destination
    self.dialled = dialled
    self.service = service
    self.tier = tier
    self.state = state
    self.ageSeconds = ageSeconds
    self.sentBytes = sentBytes
    self.receivedBytes = receivedBytes
    self.policy = policy
  }
}

/// `GET /v1/programs`: a loaded BPF program. Runs and time stay 0 unless `kernel.bpf_stats_enabled` is 1.
package struct ProgramReport: Codable, Sendable, Hashable {
  package var name: String
  package var id: UInt32
  /// Where: a cgroup's path, a namespace, an interface.
  package var attached: String?
  package var runs: UInt64
  package var runNanoseconds: UInt64
  /// Instructions that the verifier processed.
  package var verifiedInstructions: UInt64
  /// The budget from `bpf/limits.json`.
  package var instructionLimit: UInt64?

  package init(
    name: String, id: UInt32, attached: String? = nil, runs: UInt64 = 0, runNanoseconds: UInt64 = 0,
    verifiedInstructions: UInt64 = 0, instructionLimit: UInt64? = nil
  ) {
    self.name = name
    self.id = id
    self.attached = attached
    self.runs = runs
    self.runNanoseconds = runNanoseconds
    self.verifiedInstructions = verifiedInstructions
    self.instructionLimit = instructionLimit
  }

  package var nanosecondsPerRun: UInt64 { self.runs == 0 ? 0 : self.runNanoseconds / self.runs }
}

/// `GET /v1/maps`: a BPF map and how full it is.
package struct MapReport: Codable, Sendable, Hashable {
  package var name: String
  package var type: String
  package var id: UInt32
  package var entries: UInt64
  package var capacity: UInt64

  package init(name: String, type: String, id: UInt32 = 0, entries: UInt64, capacity: UInt64) {
    self.name = name
    self.type = type
    self.id = id
    self.entries = entries
    self.capacity = capacity
  }

  package var percent: UInt64 { Quantity.percent(self.entries, of: self.capacity) }
}
