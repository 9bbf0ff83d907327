/// The answer of `GET /v1/status`: whether this node's mesh works, and what is wrong if not.
package struct AgentStatus: Codable, Sendable, Hashable {
  package var version: String
  package var node: String
  package var pid: UInt32
  package var uptimeSeconds: UInt64
  /// Counts the snapshots that were applied since the agent started.
  package var revision: UInt64
  /// True once a complete generation is in the kernel and the proxy, if one is needed, is up.
  package var ready: Bool
  package var controlPlane: ControlPlaneStatus
  package var proxy: ProxyStatus
  package var datapath: DatapathStatus
  package var health: [HealthCheck]
  package var problems: [Problem]
  package var instance: InstancePaths?

  package init(
    version: String, node: String, pid: UInt32 = 0, uptimeSeconds: UInt64 = 0, revision: UInt64 = 0,
    ready: Bool = false, controlPlane: ControlPlaneStatus = ControlPlaneStatus(), proxy: ProxyStatus = ProxyStatus(),
    datapath: DatapathStatus = DatapathStatus(), health: [HealthCheck] = [], problems: [Problem] = [],
    instance: InstancePaths? = nil
  ) {
    self.version = version
    self.node = node
    self.pid = pid
    self.uptimeSeconds = uptimeSeconds
    self.revision = revision
    self.ready = ready
    self.controlPlane = controlPlane
    self.proxy = proxy
    self.datapath = datapath
    self.health = health
    self.problems = problems
    self.instance = instance
  }
}

/// The paths that belong to one agent, so that several can share a kernel.
package struct InstancePaths: Codable, Sendable, Hashable {
  package var cgroupRoot: String
  package var pinDir: String
  package var runDir: String
  package var stateDir: String

  package init(cgroupRoot: String, pinDir: String, runDir: String, stateDir: String) {
    self.cgroupRoot = cgroupRoot
    self.pinDir = pinDir
    self.runDir = runDir
    self.stateDir = stateDir
  }
}

package struct ControlPlaneStatus: Codable, Sendable, Hashable {
  package enum State: String, LenientWord {
    case connected
    case connecting
    /// No session; the last good snapshot, from memory or disk, is served.
    case disconnected
    /// The agent was started without a control plane.
    case unused
    case unknown
  }

  package var state: State
  /// Where it listens.
  package var address: String?
  /// Where the snapshot in force came from: `session`, `disk`, `none`.
  package var snapshotSource: String
  package var snapshotAgeSeconds: UInt64
  /// Entries of the snapshot.
  package var entries: UInt64
  /// Entries that were refused and answered with a NACK.
  package var rejectedEntries: UInt64
  package var lastError: String?

  package init(
    state: State = .disconnected, address: String? = nil, snapshotSource: String = "none",
    snapshotAgeSeconds: UInt64 = 0, entries: UInt64 = 0, rejectedEntries: UInt64 = 0, lastError: String? = nil
  ) {
    self.state = state
    self.address = address
    self.snapshotSource = snapshotSource
    self.snapshotAgeSeconds = snapshotAgeSeconds
    self.entries = entries
    self.rejectedEntries = rejectedEntries
    self.lastError = lastError
  }
}

package struct ProxyStatus: Codable, Sendable, Hashable {
  package enum State: String, LenientWord {
    case running
    case starting
    /// It ended and waits for its next start.
    case restarting
    case stopped
    /// The agent was told to run none.
    case unused
    case unknown
  }

  package var state: State
  package var pid: UInt32
  package var version: String?
  package var restarts: UInt64
  package var appliedRevision: UInt64
  /// Nil: from an agent that does not tell.
  package var upgrade: ProxyUpgradeStatus?

  package init(
    state: State = .stopped, pid: UInt32 = 0, version: String? = nil, restarts: UInt64 = 0, appliedRevision: UInt64 = 0,
    upgrade: ProxyUpgradeStatus? = nil
  ) {
    self.upgrade = upgrade
    self.state = state
    self.pid = pid
    self.version = version
    self.restarts = restarts
    self.appliedRevision = appliedRevision
  }
}

package struct DatapathStatus: Codable, Sendable, Hashable {
  /// Version of the map layouts.
  package var layout: UInt32
  /// What the kernel decides by; 0: nothing is published yet.
  package var generation: UInt32
  package var programs: UInt64
  package var maps: UInt64
  package var enrolledWorkloads: UInt64
  package var lostEvents: UInt64
  /// Links and pins that somebody else removed and the agent put back.
  package var attachmentsRepaired: UInt64
  /// Workloads whose redirection is lost and could not be repaired: nothing of them passes.
  package var quarantinedWorkloads: UInt64

  package init(
    layout: UInt32 = 0, generation: UInt32 = 0, programs: UInt64 = 0, maps: UInt64 = 0, enrolledWorkloads: UInt64 = 0,
    lostEvents: UInt64 = 0, attachmentsRepaired: UInt64 = 0, quarantinedWorkloads: UInt64 = 0
  ) {
    self.layout = layout
    self.generation = generation
    self.programs = programs
    self.maps = maps
    self.enrolledWorkloads = enrolledWorkloads
    self.lostEvents = lostEvents
    self.attachmentsRepaired = attachmentsRepaired
    self.quarantinedWorkloads = quarantinedWorkloads
  }
}

/// One line of a list of checks: of the agent's health, or of `martlet check`.
package struct HealthCheck: Codable, Sendable, Hashable {
  package enum State: String, LenientWord {
    case ok
    case warn
    case fail
    case unknown
  }

  package var name: String
  package var state: State
  package var message: String
  /// What to do about it.
  package var next: String?

  package init(_ name: String, _ state: State, _ message: String, next: String? = nil) {
    self.name = name
    self.state = state
    self.message = message
    self.next = next
  }
}

/// Something that is wrong now, with the object that it concerns.
package struct Problem: Codable, Sendable, Hashable {
  package var object: String
  package var message: String
  package var next: String?

  package init(object: String, message: String, next: String? = nil) {
    self.object = object
    self.message = message
    self.next = next
  }
}
