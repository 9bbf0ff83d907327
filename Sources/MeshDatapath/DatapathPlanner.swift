import CMeshABI
import MeshBase
package import MeshSnapshot

/// Keeps what the maps should say and answers a change of the snapshot or of the node's workloads with what to write.
///
/// One planner per pin directory. Its state follows the plans that it gave: each plan has to be carried out before the next
/// is asked for. If carrying out fails, or a new agent finds old maps, `adopt` with the keys that are there, and the next
/// plan writes everything and deletes what is stale.
package struct DatapathPlanner: Sendable {
  package struct Configuration: Sendable {
    package var node: String
    /// Slots of an endpoint table at most.
    package var maximumSlots = 256
    /// Policy rows of one group at most; a group that needs more refuses everything.
    package var maximumRowsPerGroup = 65_536
    /// How long after a flip nothing may be deleted that programs were still using then. A run takes microseconds; a
    /// preempted one is refused if it is later than this, never let through.
    package var grace: Duration = .milliseconds(20)
    /// The relay listener in each namespace.
    package var outboundPort: UInt16 = MeshPort.outbound
    /// The name server there.
    package var namesPort: UInt16 = MeshPort.dns
    /// The canary's rows are in the tables.
    package var hasCanary = false
    /// The node proxy parses requests.
    package var parsesRequests = true
    /// The node has certificates.
    package var opensTunnels = false
    /// The cgroup from which the canary of the host's namespace is dialled, while workloads are enrolled there.
    package var probeCgroup: UInt64?

    package init(node: String) { self.node = node }
  }

  package let configuration: Configuration
  /// What the proxy is to be told.
  package internal(set) var resolved: ResolvedSnapshot
  package internal(set) var identifiers: Identifiers
  /// In use; 0: none yet.
  package internal(set) var generation: UInt32

  var services: ServiceTables
  var access: AccessTables?
  var config: PlannedConfig?
  var workloads: [IPAddress: WorkloadRow] = [:]
  var ports: [SocketEndpoint: WorkloadRow] = [:]
  var pods: [UInt64: PodRow] = [:]
  var units: [UInt64: PodRow] = [:]
  var veths: [UInt32: VethRow] = [:]
  /// The generation before the one in use, and the deletion of its rows.
  var old: (generation: UInt32, deletions: MapChanges)?
  var lastFlip: Duration?
  var adopted: PresentKeys?
  /// Identifiers may have names that nothing uses: they were restored.
  var needsSweep = true

  struct WorkloadRow: Hashable, Sendable {
    var workload: UInt32
    var flags: UInt32
    /// 0: the host's own.
    var network: UInt32 = 0
  }

  struct PodRow: Hashable, Sendable {
    var workload: UInt32
    var flags: UInt32
    /// 0: port 53 is left alone.
    var namesPort: UInt16 = 0
    var network: UInt32 = 0
  }

  struct VethRow: Hashable, Sendable {
    var workload: UInt32
    var v4: IPAddress?
    var v6: IPAddress?
  }

  /// `generation`: the last one that was used; the planner begins with the next.
  package init(_ configuration: Configuration, identifiers: Identifiers = Identifiers(), generation: UInt32 = 0) {
    self.configuration = configuration
    self.resolved = ResolvedSnapshot(
      node: configuration.node, parsesRequests: configuration.parsesRequests,
      opensTunnels: configuration.opensTunnels)
    self.identifiers = identifiers
    self.generation = generation
    self.services = ServiceTables(maximumSlots: configuration.maximumSlots, node: configuration.node)
  }

  /// What leads from what was planned last to this. `now` is monotonic, from any fixed moment.
  package mutating func plan(for snapshot: Snapshot, locals: [LocalWorkload], now: Duration) -> Plan {
    self.plan(applying: snapshot.diff(from: self.resolved.source), locals: locals, now: now)
  }

  /// The same for a known change; costs what changed. `locals`: all of them, nil if they are the same as before.
  package mutating func plan(applying delta: Delta, locals: [LocalWorkload]? = nil, now: Duration) -> Plan {
    var plan = Plan()
    plan.generation = self.generation
    if self.old != nil, let last = self.lastFlip, now < last + self.configuration.grace,
      self.resolved.touchesAccess(delta, locals: locals)
    {
      plan.deferredUntil = last + self.configuration.grace
      return plan
    }
    self.identifiers.expire(now: now)
    let adopted = self.adopted
    self.adopted = nil
    let change = self.resolved.apply(delta, locals: locals)
    plan.delta = change.delta
    plan.startsAnew = adopted != nil
    plan.changesAccess = change.touchesAccess || adopted != nil

    var switching = MapChanges()
    self.planWorkloads(change, &switching, &plan.after, now)
    self.planCanary(&switching)
    self.planServices(change, &plan, &switching, now)
    var podPuts = MapChanges()
    var podDeletions = MapChanges()
    if change.touchesAccess || self.access == nil { self.planPods(&podPuts, &podDeletions, &plan.after, now) }
    let config = self.planAccess(change, &plan, now)
    self.releaseWorkloads(change.delta, now)

    if let adopted { self.sweep(adopted, &plan, &podDeletions) }
    if self.needsSweep { self.sweepIdentifiers(now) }
    if !podDeletions.isEmpty { plan.flip.append(.changes(podDeletions)) }
    if let config { plan.flip.append(.config(config)) }
    if !switching.isEmpty { plan.flip.append(.changes(switching)) }
    if !podPuts.isEmpty { plan.flip.append(.changes(podPuts)) }
    plan.generation = self.generation
    plan.problems = self.problems
    return plan
  }

  /// After the `later` of a plan and of all plans before it was carried out: the old generation need not be deleted again.
  package mutating func didRunLater(of plan: Plan) {
    if plan.generation == self.generation { self.old = nil }
  }

  /// Makes the next plan complete: it writes every row, makes a new generation, and deletes of `present` what should not be
  /// there. Call `plan(for:locals:now:)` next. For an agent that finds maps, and after a failure to carry out a plan.
  package mutating func adopt(_ present: PresentKeys, now: Duration) {
    self.resolved = ResolvedSnapshot(
      node: self.configuration.node, parsesRequests: self.configuration.parsesRequests,
      opensTunnels: self.configuration.opensTunnels)
    self.services = ServiceTables(maximumSlots: self.configuration.maximumSlots, node: self.configuration.node)
    self.access = nil
    self.config = nil
    self.workloads = [:]
    self.ports = [:]
    self.pods = [:]
    self.units = [:]
    self.veths = [:]
    self.old = nil
    self.lastFlip = nil
    self.adopted = present
    self.needsSweep = true
    for name in self.identifiers.names(.table) { self.identifiers.release(.table, name, now: now) }
    for key in present.endpoints { self.identifiers.reserve(.table, key.table, now: now) }
    for number in present.workloadNumbers { self.identifiers.reserve(.workload, number, now: now) }
    for number in present.networkNumbers { self.identifiers.reserve(.network, number, now: now) }
    self.generation = max(self.generation, present.generation)
    for key in present.guards { self.generation = max(self.generation, key.generation) }
    for key in present.classes { self.generation = max(self.generation, key.generation) }
    for key in present.networks { self.generation = max(self.generation, key.generation) }
    for key in present.policy { self.generation = max(self.generation, key.generation) }
  }
}
