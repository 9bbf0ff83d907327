import Logging
import MeshBase
import MeshDatapath
import MeshLinux
import MeshSnapshot
import MeshSync
import MeshWire

/// What the agent knows of its workloads' readiness.
struct Readiness: Sendable {
  struct Health: Sendable, Equatable {
    /// Of the namespace or cgroup that was checked.
    var id: FileID
    var machine: ReadinessMachine
  }

  /// Of workloads with a check that are enrolled.
  var health: [ResourceName: Health] = [:]
  /// Those that serve without a check.
  var unchecked: [ResourceName: FileID] = [:]
  var targets: [ReadinessProber.Target] = []
  var prober: ReadinessProber?
  /// Who was ready when the snapshot on disk was written: a restart of the agent takes no endpoint out.
  var restored: Set<ResourceName> = []
  var feed: StatusFeed?
  var told: [ResourceName: WorkloadStatus] = [:]

  static let table = "ready"

  /// For the snapshot file.
  var table: [String: UInt32] {
    Dictionary(
      self.health.filter(\.value.machine.isReady).map { ($0.key.description, 1) },
      uniquingKeysWith: { first, _ in first })
  }

  mutating func restore(_ table: [String: UInt32]?) {
    self.restored = Set((table ?? [:]).keys.compactMap { ResourceName($0) })
  }
}

/// Endpoints of workloads with a check are ready while the check says so. Open connections do not notice; new ones go to
/// other endpoints.
extension Agent {
  /// After its start the agent takes a workload for the one that it was.
  private static let restoreNanoseconds: UInt64 = 60_000_000_000

  /// Called whenever workloads or their entries may have changed, before the tables are written.
  func followReadiness() {
    var targets: [ReadinessProber.Target] = []
    for name in self.readiness.health.keys where self.enrolled[name] == nil { self.readiness.health[name] = nil }
    for name in self.readiness.unchecked.keys where self.enrolled[name] == nil { self.readiness.unchecked[name] = nil }
    for (name, workload) in self.enrolled {
      guard let check = self.snapshot.workloads[name]?.value.readiness else {
        if self.readiness.health[name] != nil { self.readiness.health[name] = nil }
        if !workload.local.isHealthy { self.enrolled[name]?.local.isHealthy = true }
        if workload.isAttached { self.readiness.unchecked[name] = workload.id }
        continue
      }
      if self.readiness.health[name]?.id != workload.id {
        let isRestart = MonotonicClock.nanoseconds - self.started < Self.restoreNanoseconds
        let wasRestored = self.readiness.restored.remove(name) != nil && isRestart
        // A check that is added to a workload which serves takes it out when it fails, not before it is carried out.
        let wasReady = wasRestored || self.readiness.unchecked[name] == workload.id
        self.readiness.health[name] = Readiness.Health(
          id: workload.id, machine: ReadinessMachine(verdict: wasReady ? .ready : .pending))
      }
      self.readiness.unchecked[name] = nil
      guard let machine = self.readiness.health[name]?.machine else { continue }
      if workload.local.isHealthy != machine.isReady { self.enrolled[name]?.local.isHealthy = machine.isReady }
      guard workload.isAttached else { continue }
      if let target = self.target(workload, check, machine.verdict) { targets.append(target) }
    }
    targets.sort { $0.name < $1.name }
    guard targets != self.readiness.targets else { return }
    do throws(MeshError) {
      if self.readiness.prober == nil {
        self.readiness.prober = try ReadinessProber { [weak self] findings in
          Task { await self?.readinessChanged(findings) }
        }
      }
      try self.readiness.prober?.follow(targets)
      self.readiness.targets = targets
      self.report("readiness cannot be checked", nil)
    } catch {
      self.report("readiness cannot be checked", error)
      self.rest.again(.readiness)
    }
  }

  private func target(
    _ workload: EnrolledWorkload, _ check: ReadinessCheck, _ verdict: ReadinessMachine.Verdict
  ) -> ReadinessProber.Target? {
    let namespace = workload.namespace
    var target = ReadinessProber.Target(
      name: workload.name, id: workload.id, check: check, place: .namespace(namespace, workload.local.addresses),
      verdict: verdict)
    guard let cgroup = workload.cgroup else { return target }
    guard let number = self.planner.identifiers.number(.workload, workload.name.description) else { return nil }
    let written = self.snapshot.workloads[workload.name]?.value.addresses ?? []
    let found = workload.local.addresses
    target.place = .host(
      namespace, written.filter(found.contains) + found.filter { !written.contains($0) }, workload: number)
    let kernel = self.kernel
    target.host = HostCheck(
      admit: { ends throws(MeshError) in try kernel.admit(ends, of: number, in: namespace) },
      forget: { kernel.forget($0, in: namespace) },
      // 0: the kernel does not say whose it is.
      owns: {
        $0.cgroup == 0 || cgroup.contains(id: $0.cgroup) == true || cgroup.holdsSocket(inode: $0.inode)
      })
    return target
  }

  private func readinessChanged(_ findings: [ReadinessProber.Finding]) {
    for finding in findings where self.readiness.health[finding.name]?.id == finding.id {
      let wasReady = self.readiness.health[finding.name]?.machine.isReady
      self.readiness.health[finding.name]?.machine = finding.machine
      guard wasReady != finding.machine.isReady else { continue }
      self.logger.notice(
        finding.machine.isReady ? "workload is ready" : "workload is not ready",
        metadata: [
          LogKey.workload: "\(finding.name)", LogKey.reason: "\(finding.machine.failure ?? "its check succeeds")",
        ])
    }
    self.followReadiness()
    if self.isComplete {
      self.updateTables(Delta())
      self.scheduleSave()
    }
    self.followStatus()
  }

  /// Why a workload of this node that runs receives nothing: `CheckFailed(ECONNREFUSED)`. Nil: its check is no reason.
  func readinessProblem(of name: ResourceName) -> String? {
    guard let machine = self.readiness.health[name]?.machine, !machine.isReady else { return nil }
    let reason: WorkloadStatus.Reason = machine.verdict == .pending ? .checkPending : .checkFailed
    return reason.rawValue + (machine.failure.map { "(\($0))" } ?? "")
  }
}
