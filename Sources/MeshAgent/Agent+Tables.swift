import Glibc
import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshPolicy
import MeshSnapshot
import MeshTelemetry

/// The kernel's tables follow the snapshot and the enrolled workloads.
extension Agent {
  /// `delta`: what changed since the last call, if that is known: it saves the comparison of everything.
  func updateTables(_ delta: Delta? = nil) {
    // What did not fit the last time is tried again from what is there.
    if self.tablesAreShort { self.adoptPresent() }
    _ = self.followNames()
    let locals = self.enrolled.values.map(\.local)
    let now = MonotonicClock.duration
    let plan =
      if let delta, self.tablesFollow {
        self.planner.plan(applying: delta, locals: locals, now: now)
      } else {
        self.planner.plan(for: self.snapshot, locals: locals, now: now)
      }
    self.tablesFollow = plan.deferredUntil == nil
    if let moment = plan.deferredUntil {
      self.planAgain(at: moment)
      return
    }
    self.planProblems = plan.problems
    // Before the kernel knows its connections.
    self.tellNames()
    let shortfall: MapShortfall
    do throws(MeshError) {
      shortfall = try self.driver.run(plan.steps)
      try self.driver.refuse(shortfall.addresses, insteadOf: self.refusedAddresses)
      self.refusedAddresses = shortfall.addresses
      self.report("tables cannot be written", nil)
    } catch {
      self.report("tables cannot be written", error)
      self.recoverTables()
      return
    }
    self.note(shortfall)
    self.attachEnrolled()
    self.letForeignersGo()
    self.settleNames()
    self.followStore()
    if plan.startsAnew || plan.delta.upserts.count >= Self.largeChange { self.giveBackMemorySoon() }
    guard !plan.isEmpty || !plan.delta.isEmpty else { return }
    self.revision += 1
    self.inForce(plan)
    if plan.startsAnew || !self.linkFollows {
      self.linkFollows = true
      self.link?.publish(self.planner.resolved.snapshot, revision: self.revision)
    } else {
      self.link?.publish(self.planner.resolved.snapshot, change: plan.delta, revision: self.revision)
    }
    self.names.replace(
      FlowNames(identifiers: self.planner.identifiers, directory: NameDirectory(self.planner.resolved.snapshot)))
    // Rows of the generation that was to be replaced are in use still.
    if !plan.later.isEmpty, !shortfall.concernsAccess { self.retire(plan) }
    if plan.changesAccess { self.cutConnections() }
  }

  /// Says how long it took since the first batch came that the tables did not have.
  private func inForce(_ plan: Plan) {
    let isFirst = self.firstHeard != 0 && !self.wasInForce
    let elapsed = self.firstHeard == 0 ? 0 : (MonotonicClock.nanoseconds - self.firstHeard) / 1000
    self.logger.log(
      level: isFirst ? .info : .debug, isFirst ? "snapshot in force" : "tables written",
      metadata: [
        LogKey.revision: "\(self.revision)", "generation": "\(plan.generation)", "entries": "\(self.snapshot.count)",
        "microseconds": "\(elapsed)",
      ])
    if self.firstHeard != 0 { self.wasInForce = true }
    self.firstHeard = 0
  }

  /// What was written in part is closed, not open; what is there is listed, and everything is planned anew.
  private func recoverTables() {
    self.adoptPresent()
    self.planAgain(at: MonotonicClock.duration + .seconds(1))
  }

  private func adoptPresent() {
    self.tablesAreShort = false
    self.tablesFollow = false
    self.linkFollows = false
    if let present = try? self.driver.presentKeys() { self.planner.adopt(present, now: MonotonicClock.duration) }
  }

  /// Counts and tells what did not fit. Room may come with a change, or by itself when old rows are deleted.
  private func note(_ shortfall: MapShortfall) {
    for (map, count) in shortfall.rows { self.mapInsertErrors[map.rawValue, default: 0] += UInt64(count) }
    self.report("tables do not fit", shortfall.error { self.kernel.capacity(of: $0) })
    guard !shortfall.isEmpty else { return }
    self.tablesAreShort = true
    self.tablesFollow = false
    self.planAgain(at: MonotonicClock.duration + .seconds(10))
  }

  private func planAgain(at moment: Duration) {
    guard !self.planIsScheduled else { return }
    self.planIsScheduled = true
    let wait = max(moment - MonotonicClock.duration, .milliseconds(1))
    Task {
      try? await Task.sleep(for: wait)
      self.plannedAgain()
    }
  }

  private func plannedAgain() {
    self.planIsScheduled = false
    self.updateTables()
  }

  /// A second later nobody uses the old rows any more. Connections are judged once more then: those that were let in by
  /// the old generation in the moment of the flip.
  private func retire(_ plan: Plan) {
    Task {
      try? await Task.sleep(for: .milliseconds(self.configuration.retireMilliseconds))
      self.retireNow(plan)
    }
  }

  private func retireNow(_ plan: Plan) {
    do throws(MeshError) {
      _ = try self.driver.run([.changes(plan.later)])
      self.planner.didRunLater(of: plan)
      self.measuredRevision = .max
      self.report("old rows cannot be deleted", nil)
    } catch {
      self.report("old rows cannot be deleted", error)
    }
    if plan.changesAccess { self.cutConnections() }
  }

  /// Ends the connections that would be refused now. The dumps run on a task of their own; one sweep at a time, and one more
  /// if something changed meanwhile.
  func cutConnections() {
    guard !self.cutsRunning else {
      self.cutsWanted = true
      return
    }
    self.cutsRunning = true
    self.cutsWanted = false
    let identifiers = self.planner.identifiers
    let sweep = ConnectionSweep(
      cut: ConnectionCut(self.planner.resolved, clientCookies: [], ephemeralPorts: ConnectionSweep.ephemeralPorts),
      workloads: self.enrolled.values.filter { !$0.isInHost }.map { ($0.name, $0.namespace) },
      units: self.enrolled.values.compactMap { workload in workload.cgroup.map { (workload.name, $0) } },
      host: self.host, kernel: self.kernel,
      name: { identifiers.name(.workload, $0).flatMap { ResourceName($0) } }, logger: self.logger)
    Task.detached {
      sweep.run()
      await self.cutsDone()
    }
  }

  private func cutsDone() {
    self.cutsRunning = false
    if self.cutsWanted { self.cutConnections() }
  }
}
