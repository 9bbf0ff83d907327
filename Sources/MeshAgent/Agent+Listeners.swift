import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux
import MeshSnapshot

/// Who listens where, from time to time: on the mesh's own ports in a workload's namespace, and on the ports that workloads
/// of the host declared. And in which cgroups: the programs have to run for those.
extension Agent {
  /// Everything that is wrong with the listeners of one workload now.
  struct ListenerAlarm: Equatable {
    /// On the mesh's own ports.
    var foreign: [SocketEndpoint] = []
    /// On its declared ports, in the host's namespace.
    var disowned: [SocketEndpoint] = []
  }

  /// The listeners of a workload's namespace, judged. True if programs do not run for the cgroup of one of them.
  func survey(_ name: ResourceName, _ workload: EnrolledWorkload, _ watch: CanaryWatch) -> Bool {
    do throws(MeshError) {
      let listeners = try watch.listeners(now: MonotonicClock.milliseconds)
      // By cookie: one that was adopted was made in the cgroup of an earlier agent, which may be gone.
      let own = Set(
        workload.listeners.map(\.cookie) + (self.naming.sockets[self.namesOwner(workload)] ?? []).map(\.cookie))
      var alarm = ListenerAlarm()
      alarm.foreign = ListenerFindings.foreign(listeners, own: own, agentCgroup: self.cgroups.agent.id).map(\.local)
      if let cgroup = workload.cgroup {
        let ports = self.snapshot.workloads[name]?.value.ports ?? []
        alarm.disowned = ListenerFindings.disowned(listeners, ports: ports) { listener in
          watch.owns(listener, cgroup: cgroup)
        }.map(\.local)
      }
      self.note(alarm, name)
      self.report("listeners cannot be judged", nil)
      return try self.isIneffective(workload, listeners, own)
    } catch {
      // Nothing is known; what is known stays.
      self.report("listeners cannot be judged", error)
      return watch.isIneffective
    }
  }

  /// Asks the relay listeners themselves, in every turn: a list of sockets that changes while it is read can miss one,
  /// and their number stays as it was if others came in the same moment.
  ///
  /// Somebody ended one (SOCK_DESTROY): another takes its place, and the proxy is given it.
  func keepListeners() {
    if self.rest.isNew(for: .listeners) { self.pollListeners() }
    guard let ended = self.listenerPoll?.ended(), !ended.isEmpty else { return }
    for owner in Set(ended.map { self.polledOwners[$0] }) {
      if let workload = self.enrolled[owner] { self.keepListeners(of: workload) }
    }
  }

  private func pollListeners() {
    var descriptors: [CInt] = []
    self.polledOwners = []
    for (name, workload) in self.enrolled where workload.isAttached {
      descriptors += workload.listeners.map { $0.descriptor.rawValue }
      self.polledOwners += workload.listeners.map { _ in name }
    }
    do throws(MeshError) {
      self.listenerPoll = try ListenerPoll(descriptors)
      self.report("relay listeners cannot be watched", nil)
    } catch {
      self.listenerPoll = nil
      self.rest.again(.listeners)
      self.report("relay listeners cannot be watched", error)
    }
  }

  private func keepListeners(of workload: EnrolledWorkload) {
    // Workloads of the host share theirs: the first of them had it done.
    guard !workload.listeners.allSatisfy({ $0.descriptor.isListening }) else { return }
    do throws(MeshError) {
      try self.reopenListeners(of: workload)
      self.report("a relay listener cannot be opened again", nil)
    } catch {
      self.report("a relay listener cannot be opened again", error)
    }
  }

  private func reopenListeners(of workload: EnrolledWorkload) throws(MeshError) {
    let cookie = workload.namespace.cookie
    var kept: [ListenerAdoption.Key: RelayListener] = [:]
    for listener in workload.listeners {
      let key = listener.key(in: cookie)
      self.adoptedListeners[key] = nil
      if listener.descriptor.isListening { kept[key] = listener }
    }
    let listeners = try RelayListener.open(
      in: workload.namespace, withTunnels: self.configuration.opensTunnels, adopted: kept)
    // Workloads of the host share theirs.
    for (name, other) in self.enrolled where other.namespace.cookie == cookie {
      self.enrolled[name]?.listeners = listeners
    }
    if let changed = self.enrolled[workload.name] { self.sendListeners(of: changed) }
    self.logger.error(
      "somebody ended the relay listener: a relay listener is open again",
      metadata: [LogKey.workload: "\(workload.name)", LogKey.namespace: "\(workload.namespace.name)"])
  }

  private func isIneffective(
    _ workload: EnrolledWorkload, _ listeners: [SocketRecord], _ own: Set<UInt64>
  ) throws(MeshError) -> Bool {
    var cgroups: Set<UInt64> = []
    if let cgroup = workload.cgroup {
      cgroups.insert(cgroup.id)
    } else {
      cgroups = ListenerFindings.cgroups(listeners, own: own, agentCgroup: self.cgroups.agent.id)
    }
    for id in cgroups {
      // One that is gone makes no more calls.
      guard let directory = self.cgroups.unified.sibling(id: id) else { continue }
      if try !self.kernel.ineffectiveHooks(cgroup: directory.rawValue).isEmpty { return true }
    }
    return false
  }

  /// Says once what is new, and refuses the ports that somebody else serves, unless the workload declared `failureMode: Open`.
  private func note(_ alarm: ListenerAlarm, _ name: ResourceName) {
    let old = self.listenerAlarms[name] ?? ListenerAlarm()
    self.listenerAlarms[name] = alarm == ListenerAlarm() ? nil : alarm
    for place in alarm.foreign where !old.foreign.contains(place) {
      self.logger.error(
        "somebody else listens on a port of the mesh",
        metadata: [LogKey.workload: "\(name)", "local": "\(place)"])
    }
    for place in alarm.disowned where !old.disowned.contains(place) {
      self.logger.error(
        "somebody else listens on a declared port",
        metadata: [LogKey.workload: "\(name)", "local": "\(place)"])
    }
    let isOpen = self.snapshot.workloads[name]?.value.failureMode == .open
    let ports = isOpen ? [] : Set(alarm.disowned.map(\.port))
    guard let workload = self.enrolled[name], workload.local.disownedPorts != ports else { return }
    self.enrolled[name]?.local.disownedPorts = ports
    self.updateTables()
  }

  func listenerProblem(_ name: ResourceName) -> MeshError? {
    guard let alarm = self.listenerAlarms[name] else { return nil }
    func list(_ places: [SocketEndpoint]) -> String { places.map(\.description).joined(separator: ", ") }
    if !alarm.disowned.isEmpty {
      let isRefused = self.enrolled[name]?.local.disownedPorts.isEmpty == false
      return MeshError(
        .conflict, "workload \(name)",
        "somebody else than its unit listens on \(list(alarm.disowned))"
          + (isRefused ? ": calls to that port are refused" : ""),
        next: "ss -ltnp: whose process is it? stop it, or correct systemdUnit, cgroup or ports of the Workload")
    }
    return MeshError(
      .conflict, "workload \(name)", "somebody else listens on \(list(alarm.foreign)), a port of the mesh",
      next: "ss -ltnp in its namespace: whose process is it?")
  }

  /// For metrics.
  var foreignListeners: [String: UInt64] {
    [
      "mesh_port": UInt64(self.listenerAlarms.values.reduce(0) { $0 + $1.foreign.count }),
      "unit_port": UInt64(self.listenerAlarms.values.reduce(0) { $0 + $1.disowned.count }),
    ]
  }

  /// A program of somebody else that runs after the connect hook could change what that decided. Ours goes to the end
  /// again; one that goes there each time, or stands above our root, is named.
  func keepOrder() {
    do throws(MeshError) {
      let later = try self.kernel.laterOwners(cgroup: self.cgroups.root.path)
      guard !later.isEmpty else {
        self.reorders = 0
        return self.report("another program runs after the connect hook", nil)
      }
      if self.reorders < Self.mostReorders {
        self.reorders += 1
        try self.kernel.moveLast(later.map(\.hook), cgroup: self.cgroups.root.path)
        for owner in later {
          self.logger.error(
            "another program ran after ours: ours is the last again",
            metadata: [LogKey.path: "\(owner.hook)", LogKey.program: "\(owner.program)"])
        }
      } else {
        self.report(
          "another program runs after the connect hook",
          MeshError(
            .conflict, later.map(\.hook).joined(separator: ", "),
            "\(later[0].program) runs after the mesh's program and may change where calls go",
            next: "martlet check names it; one that rewrites addresses must be off"))
      }
    } catch {
      self.report("programs at the hooks cannot be listed", error)
    }
  }

  private static let mostReorders = 3

  private func namesOwner(_ workload: EnrolledWorkload) -> Naming.Owner {
    workload.isInHost ? .host : .workload(workload.name)
  }
}
