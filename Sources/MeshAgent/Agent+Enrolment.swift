import CMeshABI
import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshSnapshot

/// Workloads of this node: found, enrolled, let go.
extension Agent {
  /// Looks at every namespace path, and at the addresses of a few. Called when something happened on the host, and after
  /// a while without.
  func scan() {
    defer { self.hostWatch.setInterval(self.scanInterval) }
    self.measureMaps()
    guard self.isComplete else { return self.guardAttachments() }
    let changed = self.followNamespaces()
    self.followDirectories()
    let readdressed = self.refreshAddresses()
    let renamed = self.followNames()
    let republished = self.followPublications()
    if self.rest.isNew(for: .readiness) { self.followReadiness() }
    if changed || readdressed || renamed || republished { self.updateTables() } else { self.settleNames() }
    if self.rest.isNew(for: .status) { self.followStatus() }
    self.guardAttachments()
    self.keepListeners()
    self.proveEffect()
    self.sweepFlows()
    self.kernel.config.heartbeat(MonotonicClock.nanoseconds)
  }

  /// After a change of the snapshot.
  func reconcile(_ delta: Delta? = nil) {
    _ = self.followNamespaces()
    self.followReadiness()
    self.updateTables(delta)
    self.followStatus()
    self.scanSoon()
  }

  /// Nil if the node has nothing to find for the workload.
  static func location(of workload: WorkloadEntry, on node: String) -> WorkloadLocation? {
    workload.node == node && workload.location != .none ? workload.location : nil
  }

  func followPaths(_ delta: Delta) {
    for entry in delta.upserts {
      guard case .workload(let workload) = entry.value else { continue }
      self.locations[workload.name] = Self.location(of: workload, on: self.configuration.node)
      // Its ports may be others.
      self.canaries[workload.name]?.surveySoon(now: MonotonicClock.milliseconds)
    }
    for key in delta.removals where key.kind == .workload {
      if let name = ResourceName(key.name) { self.locations[name] = nil }
    }
    self.wakeContainers()
  }

  /// True if a workload came or went.
  func followNamespaces() -> Bool {
    self.followHostListeners()
    if self.allAreWhereTheyWere() {
      self.awaited = [:]
      return false
    }
    let wanted = self.pathsToFind()
    let now = MonotonicClock.milliseconds
    let actions = Enrolment.actions(wanted: wanted, enrolled: self.enrolled.mapValues(\.id)) { path in
      (try? DiskFile.status(path))?.id
    }
    defer { self.awaited = wanted.filter { self.enrolled[$0.key] == nil } }
    for name in self.enrolmentProblems.keys where wanted[name] == nil { self.enrolmentProblems[name] = nil }
    for name in wanted.keys where self.enrolled[name] == nil && self.enrolmentProblems[name] == nil {
      self.enrolmentProblems[name] = MeshError(
        .notFound, "workload \(name)", self.absence(of: name, at: wanted[name] ?? ""))
    }
    var changed = false
    for action in actions {
      switch action {
      case .withdraw(let name, let reason):
        self.withdraw(name, reason)
        changed = true
      case .enrol(let name, let path, let id):
        if let retry = self.retryEnrolment[name], retry.id == id, now < retry.next { continue }
        do throws(MeshError) {
          try self.enrol(name, path: path, id)
          self.enrolmentProblems[name] = nil
          self.retryEnrolment[name] = nil
          changed = true
        } catch {
          if self.enrolmentProblems[name]?.description != error.description {
            self.logger.error(
              "workload cannot be enrolled",
              metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
          }
          self.enrolmentProblems[name] = error
          // The port of a listener that the proxy is about to let go is free soon.
          self.retryEnrolment[name] = (id, now + (error.code == .conflict ? 100 : 2000))
        }
      case .refuse(let name, let path, let owner):
        self.enrolmentProblems[name] = MeshError(
          .conflict, "workload \(name)", "\(self.place(of: name)) \(path) belongs to \(owner)",
          next: "give each workload one of its own")
      }
    }
    return changed
  }

  private func enrol(_ name: ResourceName, path: String, _ id: FileID) throws(MeshError) {
    if self.locations[name]?.isInHost == true { return try self.enrolInHost(name, path: path, id) }
    let namespace = try NetworkNamespace.open(path: path)
    guard namespace.inode == id.inode else {
      throw MeshError(.conflict, path, "was replaced while it was opened", next: "it is tried again")
    }
    guard namespace.cookie != self.host.cookie else {
      throw MeshError(
        .invalid, "workload \(name)", "its network namespace is the host's own",
        next: "give the workload a namespace of its own, or name its systemdUnit or cgroup")
    }
    let listeners = try RelayListener.open(
      in: namespace, withTunnels: self.configuration.opensTunnels, adopted: self.adoptedListeners)
    var local = LocalWorkload(
      name: name, netnsCookie: namespace.cookie, addresses: try namespace.addresses(),
      interfaces: try namespace.peerInterfaces(in: self.host))
    let pod = try self.kernel.pods.get(namespace.cookie)
    var segment = NetworkSegment()
    segment.looked(
      try self.host.places(of: local.interfaces), now: MonotonicClock.milliseconds, isNew: pod == nil)
    local.segment = segment.name
    self.publicationsAreStale = true
    if let pod {
      self.planner.restore(workload: name, number: pod.workload)
      if let entry = self.snapshot.workloads[name]?.value, let name = segment.name {
        self.planner.restore(network: entry.network, segment: name, number: pod.network)
      }
    }
    if !segment.isSettled { self.refreshWanted.insert(name) }
    self.enrolled[name] = EnrolledWorkload(
      name: name, id: id, namespace: namespace, listeners: listeners, local: local, segment: segment)
  }

  /// Attaches admission and edge once the tables know the workload: attached before, they would refuse everything.
  func attachEnrolled() {
    for (name, workload) in self.enrolled where !workload.isAttached {
      do throws(MeshError) {
        try self.attachLookup(workload)
        for interface in workload.local.interfaces { try self.kernel.attachEdge(interface: interface) }
        guard try self.isKnown(workload) else {
          // Guarded as a destination, but what it dials is not steered: tried again with the tables.
          self.enrolmentProblems[name] = MeshError(
            .exhausted, "workload \(name)", "does not fit into the map of \(workload.isInHost ? "units" : "pods")",
            next: "a larger --map-limit \(workload.isInHost ? "units" : "pods") of the agent, after martlet purge")
          continue
        }
        self.enrolled[name]?.isAttached = true
        self.enrolmentProblems[name] = nil
        self.logger.info(
          "workload enrolled",
          metadata: [
            LogKey.workload: "\(name)", LogKey.namespace: "\(workload.namespace.name)",
            "addresses": "\(workload.local.addresses.map(\.description).joined(separator: " "))",
          ])
        self.noteMissingHook(of: name)
        if workload.local.interfaces.isEmpty, !workload.isInHost {
          self.logger.warning(
            "no veth leads to the workload: its source addresses are not checked",
            metadata: [LogKey.workload: "\(name)"])
        }
        self.sendListeners(of: workload)
      } catch {
        self.logger.error(
          "programs cannot be attached", metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
        self.enrolmentProblems[name] = error
        self.retryEnrolment[name] = (workload.id, MonotonicClock.milliseconds + 2000)
        self.withdraw(name, .removed)
      }
    }
  }

  /// The connect hook knows its callers.
  private func isKnown(_ workload: EnrolledWorkload) throws(MeshError) -> Bool {
    if let cgroup = workload.cgroup { return try self.kernel.units.get(cgroup.id) != nil }
    return try self.kernel.pods.get(workload.namespace.cookie) != nil
  }

  func attachLookup(_ workload: EnrolledWorkload) throws(MeshError) {
    try workload.namespace.withDescriptor { descriptor throws(MeshError) in
      try self.kernel.attachLookup(namespace: descriptor, name: Self.lookupName(workload))
    }
    if workload.isInHost { self.watchHost(true) }
  }

  private func withdraw(_ name: ResourceName, _ reason: Enrolment.Reason) {
    guard let workload = self.enrolled.removeValue(forKey: name) else { return }
    if let number = self.planner.identifiers.number(.workload, name.description) {
      self.link?.withdraw(workload: number)
    }
    self.awaitNoMore(workload)
    if !self.sharesNamespace(workload) {
      // Those of the host's namespace are kept, see `followHostListeners`.
      for key in workload.isInHost
        ? [] : workload.listeners.map({ $0.key(in: workload.namespace.cookie) })
      {
        self.adoptedListeners[key] = nil
      }
      if workload.isInHost { self.watchHost(false) }
      self.naming.forget(name, cookie: workload.namespace.cookie)
      self.detachLookup(Self.lookupName(workload))
    }
    for interface in workload.local.interfaces { self.kernel.detachEdge(interface: interface) }
    self.logger.info(
      "workload withdrawn", metadata: [LogKey.workload: "\(name)", LogKey.reason: "\(reason.rawValue)"])
  }

  /// Links are named by the namespace's cookie: unique, and the same after the agent's restart.
  static func lookupName(_ workload: EnrolledWorkload) -> String {
    (workload.isInHost ? "host-" : "ns-") + "\(workload.namespace.cookie)"
  }

  private func detachLookup(_ name: String) {
    do throws(MeshError) {
      try self.kernel.detachLookup(name: name)
    } catch {
      // The link of a deleted namespace is dead already; its pin goes here or with the next start.
      self.logger.debug("link cannot be removed", metadata: [LogKey.error: "\(error)"])
    }
  }

  /// What a predecessor attached to namespaces that no workload has any more. Only a whole snapshot can tell; before, what is
  /// attached stays and decides by the old tables.
  func letForeignersGo() {
    guard self.isComplete, !self.foreignersAreGone else { return }
    self.foreignersAreGone = true
    self.retainListeners()
    _ = self.kernel.removeDeadLinks()
    let ours = Set(self.enrolled.values.map { Self.lookupName($0) })
    if !self.enrolled.values.contains(where: \.isInHost) { self.watchHost(false) }
    for name in self.kernel.lookups() where !ours.contains(name) { self.detachLookup(name) }
    let interfaces = self.enrolled.values.reduce(into: Set<UInt32>()) { $0.formUnion($1.local.interfaces) }
    for interface in self.kernel.edgeInterfaces().subtracting(interfaces) {
      self.kernel.detachEdge(interface: interface)
    }
  }
}
