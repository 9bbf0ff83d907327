import CMeshABI
import MeshBase
import MeshSnapshot

extension DatapathPlanner {
  mutating func planWorkloads(
    _ change: ResolvedChange, _ puts: inout MapChanges, _ after: inout MapChanges, _ now: Duration
  ) {
    for address in change.addresses {
      var row: WorkloadRow?
      if let owner = self.resolved.workload(at: address) {
        row = self.row(of: owner, now)
      } else if self.resolved.isShared(address) {
        row = WorkloadRow(workload: 0, flags: MESH_WORKLOAD_HOST)
      }
      guard row != self.workloads[address] else { continue }
      self.workloads[address] = row
      if let row {
        puts.workloads.put(mesh_addr(address), row.abi)
      } else {
        after.workloads.delete(mesh_addr(address))
      }
    }
    for place in change.places {
      let row = self.resolved.workload(servedAt: place).map { owner in
        var row = self.row(of: owner, now)
        if self.resolved.isDisowned(place.port, of: owner.name) { row.flags |= MESH_WORKLOAD_QUARANTINED }
        return row
      }
      guard row != self.ports[place] else { continue }
      self.ports[place] = row
      if let row {
        puts.ports.put(mesh_port_key(place), row.abi)
      } else {
        after.ports.delete(mesh_port_key(place))
      }
    }
  }

  private mutating func row(of owner: WorkloadEntry, _ now: Duration) -> WorkloadRow {
    WorkloadRow(
      workload: self.identifiers.take(.workload, owner.name.description, now: now),
      flags: (self.resolved.isEnrolled(owner.name) ? MESH_WORKLOAD_LOCAL : 0)
        | (owner.node == self.resolved.node ? MESH_WORKLOAD_PLACED : 0)
        | (owner.failureMode == .open ? MESH_WORKLOAD_OPEN : 0)
        | (self.resolved.isQuarantined(owner.name) ? MESH_WORKLOAD_QUARANTINED : 0) | self.tunnelFlags(of: owner),
      network: self.network(of: owner.name, now))
  }

  private func tunnelFlags(of owner: WorkloadEntry) -> UInt32 {
    guard self.resolved.opensTunnels else { return 0 }
    if owner.node == self.resolved.node {
      return self.resolved.isEnrolled(owner.name) ? MESH_WORKLOAD_TUNNEL : 0
    }
    return MESH_WORKLOAD_TUNNEL | (owner.peerModes.takesPlaintext ? MESH_WORKLOAD_PLAIN : 0)
  }

  private mutating func network(of workload: ResourceName, _ now: Duration) -> UInt32 {
    self.resolved.network(of: workload).map { self.identifiers.take(.network, $0, now: now) } ?? 0
  }

  mutating func planServices(
    _ change: ResolvedChange, _ plan: inout Plan, _ puts: inout MapChanges, _ now: Duration
  ) {
    var affected = Set(change.publishers.map { RowOwner.workload($0) })
    func affect(_ services: some Sequence<ResourceName>) { affected.formUnion(services.map { RowOwner.service($0) }) }
    for entry in change.delta.upserts {
      switch entry.content {
      case .service(let service): affect([service.value.name])
      case .endpoints(let endpoints): affect(self.services.dependents(of: endpoints.value.service))
      default: break
      }
    }
    for key in change.delta.removals where key.kind == .service || key.kind == .endpoints {
      guard let name = ResourceName(key.name) else { continue }
      if key.kind == .service {
        affect([name])
      } else {
        affect(self.services.dependents(of: name))
      }
    }
    guard !affected.isEmpty else { return }
    self.services.update(
      affected, resolved: self.resolved, identifiers: &self.identifiers, now: now, before: &plan.before, puts: &puts,
      after: &plan.after, later: &plan.later)
  }

  /// Few rows, so all of them are made and compared.
  mutating func planPods(
    _ puts: inout MapChanges, _ deletions: inout MapChanges, _ after: inout MapChanges, _ now: Duration
  ) {
    var pods: [UInt64: PodRow] = [:]
    var units: [UInt64: PodRow] = [:]
    var veths: [UInt32: VethRow] = [:]
    for (name, local) in self.resolved.locals.sorted(by: { $0.key < $1.key }) {
      let number = self.identifiers.take(.workload, name.description, now: now)
      let isOpen = self.resolved.snapshot.workloads[name]?.value.failureMode == .open
      var row = PodRow(
        workload: number,
        flags: (isOpen ? MESH_POD_OPEN : 0) | (local.isQuarantined ? MESH_POD_QUARANTINED : 0),
        network: self.network(of: name, now))
      if let names = local.names {
        row.namesPort = self.configuration.namesPort
        if names.takesLoopback { row.flags |= MESH_POD_NAMES_LOOPBACK }
      }
      if let cgroup = local.cgroup {
        if units[cgroup] == nil { units[cgroup] = row }
      } else if pods[local.netnsCookie] == nil {
        pods[local.netnsCookie] = row
      }
      let owned = (self.resolved.snapshot.workloads[name]?.value.addresses ?? []).filter {
        self.resolved.workload(at: $0)?.name == name
      }
      let veth =
        local.isQuarantined
        ? VethRow(workload: MESH_WORKLOAD_NOBODY)
        : VethRow(workload: number, v4: owned.first { $0.isV4 }, v6: owned.first { !$0.isV4 })
      for interface in local.interfaces where veths[interface] == nil { veths[interface] = veth }
    }
    if let probe = self.configuration.probeCgroup, !units.isEmpty, units[probe] == nil {
      units[probe] = PodRow(workload: 0, flags: MESH_POD_PROBE)
    }
    let port = self.configuration.outboundPort
    for (cookie, row) in pods where self.pods[cookie] != row { puts.pods.put(cookie, row.abi(outboundPort: port)) }
    for (cgroup, row) in units where self.units[cgroup] != row { puts.units.put(cgroup, row.abi(outboundPort: port)) }
    for cookie in self.pods.keys where pods[cookie] == nil { deletions.pods.delete(cookie) }
    for cgroup in self.units.keys where units[cgroup] == nil { deletions.units.delete(cgroup) }
    for (interface, row) in veths where self.veths[interface] != row {
      puts.veths.put(
        interface,
        mesh_veth(
          workload: row.workload, v4_be: (row.v4?.v4 ?? 0).bigEndian, v6: row.v6.map { mesh_addr($0) } ?? .none))
    }
    for interface in self.veths.keys where veths[interface] == nil { after.veths.delete(interface) }
    self.pods = pods
    self.units = units
    self.veths = veths
    let networks = Set(self.resolved.locals.keys.compactMap { self.resolved.network(of: $0) })
    for name in self.identifiers.names(.network) where !networks.contains(name) {
      self.identifiers.release(.network, name, now: now)
    }
  }

  /// A new generation if the content of the one in use is not right any more. Answers what to store in the config map.
  mutating func planAccess(_ change: ResolvedChange, _ plan: inout Plan, _ now: Duration) -> PlannedConfig? {
    if change.touchesAccess || self.access == nil {
      let content = AccessTables(
        of: self.resolved, limit: self.configuration.maximumRowsPerGroup, identifiers: &self.identifiers, now: now)
      if content != self.access { self.makeGeneration(content, &plan, now) }
      self.resolved.oversizedGroups = content.oversizedGroups
      self.access = content
    }
    let mesh = self.resolved.snapshot.config?.value
    let config = PlannedConfig(
      generation: self.generation, vipRangeV4: mesh?.vipRangeV4, vipRangeV6: mesh?.vipRangeV6)
    guard config != self.config else { return nil }
    self.config = config
    return config
  }

  private mutating func makeGeneration(_ content: AccessTables, _ plan: inout Plan, _ now: Duration) {
    if let old = self.old { plan.retire = old.deletions }
    self.old = nil
    let previous = self.generation
    self.generation &+= 1
    if self.generation == 0 { self.generation = 1 }
    content.put(into: &plan.before, generation: self.generation)
    if let access = self.access {
      var deletions = MapChanges()
      access.delete(from: &deletions, generation: previous)
      access.delete(from: &plan.later, generation: previous)
      self.old = (previous, deletions)
      for name in access.groupNames.subtracting(content.groupNames) {
        self.identifiers.release(.group, name, now: now)
      }
      for name in access.policyNames.subtracting(content.policyNames) {
        self.identifiers.release(.policy, name, now: now)
      }
    }
    self.lastFlip = now
  }

  mutating func releaseWorkloads(_ delta: Delta, _ now: Duration) {
    for key in delta.removals where key.kind == .workload {
      self.identifiers.release(.workload, key.name, now: now)
    }
  }

  /// Deletes what an earlier agent wrote and this snapshot does not say.
  mutating func sweep(_ present: PresentKeys, _ plan: inout Plan, _ pods: inout MapChanges) {
    for cookie in present.pods where self.pods[cookie] == nil { pods.pods.delete(cookie) }
    for cgroup in present.units where self.units[cgroup] == nil { pods.units.delete(cgroup) }
    for interface in present.veths where self.veths[interface] == nil { plan.after.veths.delete(interface) }
    for key in present.workloads where self.workloads[IPAddress(key)] == nil { plan.after.workloads.delete(key) }
    for key in present.ports where self.ports[SocketEndpoint(key)] == nil { plan.after.ports.delete(key) }
    for key in present.services
    where self.services.published[ServiceKey(key)] == nil && !self.isCanary(ServiceKey(key)) {
      plan.after.services.delete(key)
    }
    let endpoints = self.services.endpointKeys
    for key in present.endpoints where !endpoints.contains(EndpointKey(key)) { plan.later.endpoints.delete(key) }
    var old = MapChanges()
    for key in present.guards {
      if key.generation == present.generation { old.guards.delete(key) } else { plan.retire.guards.delete(key) }
    }
    for key in present.classes {
      if key.generation == present.generation { old.classes.delete(key) } else { plan.retire.classes.delete(key) }
    }
    for key in present.networks {
      if key.generation == present.generation { old.networks.delete(key) } else { plan.retire.networks.delete(key) }
    }
    for key in present.policy {
      if key.generation == present.generation { old.policy.delete(key) } else { plan.retire.policy.delete(key) }
    }
    plan.later.guards.deletions += old.guards.deletions
    plan.later.classes.deletions += old.classes.deletions
    plan.later.networks.deletions += old.networks.deletions
    plan.later.policy.deletions += old.policy.deletions
    if !old.isEmpty { self.old = (present.generation, old) }
  }

  /// Frees names that were restored and that nothing uses.
  mutating func sweepIdentifiers(_ now: Duration) {
    self.needsSweep = false
    for name in self.identifiers.names(.workload) {
      if ResourceName(name).map({ self.resolved.snapshot.workloads[$0] == nil }) ?? true {
        self.identifiers.release(.workload, name, now: now)
      }
    }
    for name in self.identifiers.names(.service) {
      if ResourceName(name).map({ self.resolved.snapshot.services[$0] == nil }) ?? true {
        self.identifiers.release(.service, name, now: now)
      }
    }
    for name in self.identifiers.names(.group) where self.access?.groupNames.contains(name) != true {
      self.identifiers.release(.group, name, now: now)
    }
    for name in self.identifiers.names(.policy) where self.access?.policyNames.contains(name) != true {
      self.identifiers.release(.policy, name, now: now)
    }
  }

  var problems: [MeshError] {
    self.resolved.problems
      + self.resolved.conflicts.map { conflict in
        MeshError(
          .conflict, "address \(conflict.place)",
          "is claimed by \(conflict.workloads.map(\.description).joined(separator: ", "))",
          next: conflict.next)
      }
      + self.services.conflicts.map { conflict in
        MeshError(
          .conflict, "service address \(SocketEndpoint(conflict.key.address, conflict.key.port))",
          "is claimed by \(conflict.owners.map(\.description).joined(separator: ", "))",
          next: "the first has it; give each service a clusterIP of its own, and each container ports of its own")
      }
      + (self.access?.problems ?? []).map { problem in
        MeshError(
          .exhausted, "policies", problem, next: "everything they protect is refused until the policies are simpler")
      }
  }
}

extension DatapathPlanner.WorkloadRow {
  var abi: mesh_workload { mesh_workload(workload: self.workload, flags: self.flags, network: self.network) }
}

extension DatapathPlanner.PodRow {
  func abi(outboundPort: UInt16) -> mesh_pod {
    mesh_pod(
      workload: self.workload, flags: self.flags, outbound_port_be: outboundPort.bigEndian,
      names_port_be: self.namesPort.bigEndian, network: self.network)
  }
}
