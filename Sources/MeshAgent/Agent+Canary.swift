import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux
import MeshSnapshot
import MeshTelemetry

/// Proof of effect: what is attached is believed to work when it has been seen to work, from inside each namespace.
///
/// Called from the scan. A look is a connect that the hook refuses with an error of its own: one or two microseconds, no
/// packet. A dial is a whole connection to the node proxy and costs twenty times that, so of many workloads each is
/// dialled less often (`CanaryMachine.dialInterval`): one in two seconds of each workload while there are four.
extension Agent {
  /// In one turn: after a start all workloads want their first at once.
  private static let mostDials = 16
  private static let mendMilliseconds: Int64 = 200

  func proveEffect() {
    guard self.planner.generation > 0 else { return }
    let now = MonotonicClock.milliseconds
    self.followCanaries(now)
    let interval = CanaryMachine.dialInterval(workloads: self.canaries.count)
    let isAnyUnsteered = self.canaries.values.contains { $0.machine.doubt == .unsteered }
    let part = CanaryMachine.Part(workloads: self.canaries.count, isAnyUnsteered: isAnyUnsteered)
    let mark = self.canaries.isEmpty ? nil : self.hostSockets.mark()
    var dials = 0
    // Of those whose look is due the first is asked for everything, so each hook is asked in each turn.
    var isEachHookAsked = false
    for (name, watch) in self.canaries {
      switch watch.read(now: now) {
      case .nothing: break
      case .answered:
        self.proof.answers += 1
        self.carryOut(watch.machine.answered(), name, watch)
      case .silent: self.carryOut(watch.machine.silent(), name, watch)
      case .strange:
        watch.wasStrange = true
        self.look(name, watch, part, mark, now)
      }
      if watch.machine.wantsLook(now: now) {
        self.look(name, watch, isEachHookAsked ? part : .all, mark, now)
        isEachHookAsked = isEachHookAsked || watch.hasBothFamilies
      }
      if dials < Self.mostDials, !watch.isDialling, watch.machine.wantsDial(now: now) {
        dials += 1
        self.dial(name, watch, now, interval)
      }
    }
    // A hook is everybody's: those whose turn it was not are asked with the next turn, which comes soon now.
    if !isAnyUnsteered, self.canaries.values.contains(where: { $0.machine.doubt == .unsteered }) {
      for watch in self.canaries.values { watch.machine.lookSoon(now: now) }
    }
  }

  /// One for each workload that is attached, made anew with its enrolment.
  private func followCanaries(_ now: Int64) {
    guard self.rest.isNew(for: .canaries) else { return }
    for (name, watch) in self.canaries {
      if let workload = self.enrolled[name], workload.id == watch.id {
        watch.note(workload, mayQuarantine: self.snapshot.workloads[name]?.value.failureMode != .open)
      } else {
        self.canaries[name] = nil
        self.canaryProblems[name] = nil
        self.listenerAlarms[name] = nil
      }
    }
    guard self.canaries.count < self.enrolled.count else { return }
    for (name, workload) in self.enrolled where workload.isAttached && self.canaries[name] == nil {
      do throws(MeshError) {
        let watch = try CanaryWatch(workload, now: now)
        watch.note(workload, mayQuarantine: self.snapshot.workloads[name]?.value.failureMode != .open)
        self.canaries[name] = watch
        self.canaryProblems[name] = nil
      } catch {
        self.tell(name, error)
        self.rest.again(.canaries)
      }
    }
  }

  private func look(
    _ name: ResourceName, _ watch: CanaryWatch, _ part: CanaryMachine.Part, _ mark: UInt64?, _ now: Int64
  ) {
    let isAlarmed = !self.listenerAlarms.isEmpty && self.listenerAlarms[name] != nil
    if watch.wantsSurvey(isAlarmed: isAlarmed, mark: mark, now: now), let workload = self.enrolled[name] {
      watch.isIneffective = self.survey(name, workload, watch)
    }
    let isSteered = watch.pulse(part)
    let doubt: CanaryMachine.Doubt?
    if isSteered == false {
      doubt = .unsteered
    } else if watch.wasStrange {
      doubt = .strangeAnswer
    } else if watch.isIneffective {
      doubt = .ineffective
    } else {
      doubt = self.attachmentDoubt(name) ?? (watch.isEdgeLost ? .edgeLost : nil)
    }
    watch.wasStrange = false
    self.carryOut(watch.machine.looked(doubt, now: now), name, watch)
  }

  /// What the guard could not put back.
  private func attachmentDoubt(_ name: ResourceName) -> CanaryMachine.Doubt? {
    guard !self.unmended.isEmpty, let workload = self.enrolled[name] else { return nil }
    let places: [AttachmentFault.Place] =
      [.cgroup, .lookup(Self.lookupName(workload))] + workload.local.interfaces.map { .edge($0) }
    return places.contains { self.unmended.contains($0) } ? .detached : nil
  }

  private func dial(_ name: ResourceName, _ watch: CanaryWatch, _ now: Int64, _ interval: Int64) {
    watch.machine.dialled(now: now, interval: interval)
    // A proxy that is not there cannot answer, and dials would wait in its listener.
    guard self.proxy.state == .running else { return self.carryOut(watch.machine.silent(), name, watch) }
    self.proof.dials += 1
    if watch.dial(now: now) == .silent { self.carryOut(watch.machine.silent(), name, watch) }
  }

  private func carryOut(_ action: CanaryMachine.Action, _ name: ResourceName, _ watch: CanaryWatch) {
    switch action {
    case .none: break
    case .doubt(let doubt):
      self.proof.lost[doubt.rawValue, default: 0] += 1
      self.tell(name, Self.problem(name, doubt, "is being repaired"))
      self.mendNow(name)
    case .repair: self.mendNow(name)
    case .quarantine(let doubt):
      self.proof.quarantines += 1
      self.tell(
        name, Self.problem(name, doubt, "cannot be repaired: the workload is in quarantine, nothing of it passes"))
      self.quarantine(name, true)
    case .repaired(let doubt):
      self.canaryProblems[name] = nil
      self.logger.notice(
        "redirection is repaired", metadata: [LogKey.workload: "\(name)", LogKey.reason: "\(doubt.rawValue)"])
    case .release:
      self.canaryProblems[name] = nil
      self.logger.notice("quarantine ends", metadata: [LogKey.workload: "\(name)"])
      self.quarantine(name, false)
    case .proved:
      self.canaryProblems[name] = nil
      self.logger.debug("canary answered", metadata: [LogKey.workload: "\(name)"])
    case .unproven:
      self.tell(
        name,
        MeshError(
          .unavailable, "workload \(name)", "the node proxy does not answer from its namespace",
          next: "martlet status: does the proxy run?"))
    }
  }

  private static func problem(_ name: ResourceName, _ doubt: CanaryMachine.Doubt, _ state: String) -> MeshError {
    let (what, next) =
      switch doubt {
      case .unsteered: ("its calls do not reach the connect hook", "martlet check names the programs at the hooks")
      case .strangeAnswer:
        ("its canary was answered by somebody else", "ss -ltnp in its namespace: who has port 15001?")
      case .detached: ("its programs are detached", "martlet check names the programs at the hooks")
      case .ineffective:
        (
          "the programs do not run for the cgroup of its processes",
          "start the agent with a --cgroup-root that holds that cgroup"
        )
      case .edgeLost: ("no veth leads to it any more", "ip link: where is its interface?")
      }
    return MeshError(.conflict, "workload \(name)", "\(what); it \(state)", next: next)
  }

  private func tell(_ name: ResourceName, _ error: MeshError) {
    guard self.canaryProblems[name]?.description != error.description else { return }
    self.canaryProblems[name] = error
    self.logger.error(
      "redirection is in doubt", metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
  }

  private func quarantine(_ name: ResourceName, _ isOn: Bool) {
    self.enrolled[name]?.local.isQuarantined = isOn
    self.updateTables()
  }

  /// The guard looks at once, and once for all that are in doubt in one turn.
  private func mendNow(_ name: ResourceName) {
    if MonotonicClock.milliseconds - self.lastGuard >= Self.mendMilliseconds {
      self.nextGuard = 0
      self.guardAttachments()
    }
    // Its veth may be back, and nobody have told.
    if self.canaries[name]?.isEdgeLost == true { self.refreshWanted.insert(name) }
  }

  var redirectionCheck: HealthCheck {
    let doubted = self.canaries.filter { $0.value.machine.doubt != nil }.keys.sorted()
    let unproven = self.enrolled.keys.filter { !self.isProven($0) }.count
    guard let first = doubted.first else {
      return HealthCheck(
        "redirection", unproven == 0 ? .ok : .warn,
        unproven == 0
          ? "the canaries of \(self.canaries.count) workloads were answered"
          : "\(unproven) of \(self.enrolled.count) workloads have no proof yet")
    }
    let quarantined = self.canaries.values.count { $0.machine.isQuarantined }
    return HealthCheck(
      "redirection", .warn,
      "\(doubted.count) workloads are in doubt, \(quarantined) of them in quarantine; \(first) first",
      next: self.canaryProblems[first]?.next)
  }

  /// The workload is enrolled and its canary was answered.
  func isProven(_ name: ResourceName) -> Bool {
    self.enrolled[name]?.isAttached == true && self.canaries[name]?.machine.isProven == true
  }
}
