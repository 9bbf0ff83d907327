import CMeshABI
import Glibc
import Logging
import MeshBPF
package import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshPolicy
import MeshSnapshot
package import MeshTelemetry

/// What the agent tells those who ask.
extension Agent: AgentReporting {
  package func status() async -> AgentStatus {
    let supervised = await self.supervisor.status
    var proxy = self.proxy
    proxy.restarts = UInt64(supervised.restarts)
    proxy.upgrade = supervised.upgrade
    if supervised.pid == nil { proxy.state = supervised.isWaiting ? .restarting : .starting }
    var control = self.sessionStatus()
    control.snapshotSource = self.snapshotSource
    control.entries = UInt64(self.snapshot.count)
    control.rejectedEntries = self.rejected
    control.snapshotAgeSeconds =
      self.lastHeard == 0 ? 0 : (MonotonicClock.nanoseconds - self.lastHeard) / 1_000_000_000
    let problems = self.problems
    return AgentStatus(
      version: MeshBase.version, node: self.configuration.node, pid: UInt32(clamping: ProcessIdentity.current),
      uptimeSeconds: (MonotonicClock.nanoseconds - self.started) / 1_000_000_000, revision: self.revision,
      ready: self.isReady, controlPlane: control, proxy: proxy,
      datapath: DatapathStatus(
        layout: UInt32(MESH_LAYOUT), generation: self.kernel.config.generation,
        programs: UInt64((try? self.kernel.programStatus().count) ?? 0),
        maps: UInt64(self.kernel.mapCount),
        enrolledWorkloads: UInt64(self.enrolled.keys.count { self.isProven($0) }),
        lostEvents: self.counter(Self.reasons * UInt32(MESH_HOOK_COUNT.rawValue)),
        attachmentsRepaired: self.attachmentsRepaired,
        quarantinedWorkloads: UInt64(self.canaries.values.count { $0.machine.isQuarantined })),
      health: self.health(control, proxy), problems: problems,
      instance: InstancePaths(
        cgroupRoot: self.cgroups.root.path, pinDir: self.configuration.pinDirectory,
        runDir: self.configuration.runDirectory, stateDir: self.configuration.stateDirectory))
  }

  /// What is told, but no connection needs: a disk that cannot be written, an engine of containers that does not answer (those
  /// that it would tell of are problems of their own).
  private static let harmlessFailures: Set<String> = [
    "snapshot cannot be saved", "snapshot file", "podman does not tell of its containers", "containers cannot be noted",
  ]

  /// Traffic of this node is decided: a whole snapshot is in the kernel, every workload that is there is proven to be, and the
  /// proxy has the same revision if there is one to have.
  private var isReady: Bool {
    self.isComplete && self.planner.generation > 0
      && self.failures.keys.allSatisfy(Self.harmlessFailures.contains)
      && self.enrolled.keys.allSatisfy(self.isProven) && self.proxy.state == .running
      && self.proxy.appliedRevision == self.revision
  }

  private var problems: [Problem] {
    (Array(self.failures.values) + Array(self.enrolmentProblems.values) + Array(self.publicationProblems.values)
      + Array(self.canaryProblems.values) + self.listenerAlarms.keys.compactMap { self.listenerProblem($0) }
      + self.naming.problems + self.planProblems).map {
        Problem(object: $0.object, message: $0.message + ($0.cause.map { ": \($0)" } ?? ""), next: $0.next)
      }.sorted { ($0.object, $0.message) < ($1.object, $1.message) }
  }

  private func health(_ control: ControlPlaneStatus, _ proxy: ProxyStatus) -> [HealthCheck] {
    let tables = self.failures["tables cannot be written"] ?? self.failures["tables do not fit"]
    return [
      self.redirectionCheck,
      HealthCheck(
        "datapath", tables == nil ? .ok : .fail, tables?.description ?? "programs are attached and tables written",
        next: tables?.next),
      self.mapFill.check,
      HealthCheck(
        "snapshot", self.isComplete ? .ok : .warn,
        self.isComplete ? "\(self.snapshot.count) entries from \(self.snapshotSource)" : "no complete snapshot yet",
        next: self.isComplete ? nil : "start martlet-control, or look at its log"),
      HealthCheck(
        "control plane", control.state == .connected || control.state == .unused ? .ok : .warn,
        control.state == .connected
          ? "connected" : "\(control.state.rawValue)" + (control.lastError.map { ": \($0)" } ?? "")),
      HealthCheck(
        "proxy", proxy.state == .running ? .ok : .warn, "\(proxy.state.rawValue), \(proxy.restarts) restarts"),
    ]
  }

  @discardableResult private func observeEdges() throws(MeshError) -> FlowNames {
    let names = self.names.current
    self.edges.observe(
      try self.kernel.edges.entries().map { entry in
        (names.edge(entry.key), entry.value.reduce(into: EdgeCounters()) { $0.add(EdgeCounters($1)) })
      })
    return names
  }

  package func metrics() async throws(MeshError) -> AgentMetrics {
    let names = try self.observeEdges()
    await self.observeOpenConnections(names)
    var decisions: [AgentMetrics.Decision] = []
    for hook in 0..<UInt32(MESH_HOOK_COUNT.rawValue) {
      for reason in 0..<Self.reasons {
        let count = self.counter(hook * Self.reasons + reason)
        guard count > 0 || reason == 0 else { continue }
        decisions.append(
          .init(
            hook: FlowHook(number: hook), reason: RefusalReason(number: UInt8(truncatingIfNeeded: reason)),
            count: count))
      }
    }
    var proof = self.proof
    proof.foreignListeners = self.foreignListeners
    return AgentMetrics(
      status: await self.status(), programs: try await self.programs(), maps: try await self.maps(), edges: self.edges,
      names: names.directory, decisions: decisions,
      mapInsertErrors: self.mapInsertErrors,
      proxyRefusals: Dictionary(self.proxyStats.refused.map { ($0.reason, $0.count) }, uniquingKeysWith: +),
      nameCounts: Dictionary(self.nameStats.map { ($0.name, $0.count) }, uniquingKeysWith: +), proof: proof,
      requests: self.requests, bills: self.bills)
  }

  package func top() async throws(MeshError) -> TopReport {
    try self.observeEdges()
    return TopReport(
      uptimeMilliseconds: (MonotonicClock.nanoseconds - self.started) / 1_000_000, bills: self.bills,
      requests: self.requests, edges: self.edges)
  }

  private static let reasons = UInt32(MESH_REASON_COUNT.rawValue)

  /// Index `hook * reasons + reason`; the last one counts events that found the ring full.
  private func counter(_ index: UInt32) -> UInt64 {
    ((try? self.kernel.counters.get(index)) ?? []).reduce(0, &+)
  }

  package func programs() async throws(MeshError) -> [ProgramReport] {
    try self.kernel.programStatus().map { program in
      ProgramReport(
        name: program.name, id: program.id,
        attached: program.links.isEmpty ? nil : program.links.joined(separator: " "), runs: program.runCount,
        runNanoseconds: program.runTime, verifiedInstructions: UInt64(program.verifiedInstructions))
    }
  }

  package func maps() async throws(MeshError) -> [MapReport] {
    try self.kernel.mapStatus().map { map in
      MapReport(
        name: map.name, type: "bpf", id: map.id, entries: UInt64(map.entries ?? 0), capacity: UInt64(map.maxEntries))
    }
  }

  package func workloads() async throws(MeshError) -> [WorkloadReport] {
    self.planner.resolved.snapshot.workloads.values.map(\.value).sorted { $0.name < $1.name }.map { entry in
      var path: String?
      if case .networkNamespace(let found) = entry.location { path = found }
      return WorkloadReport(
        name: entry.name.description, node: entry.node, local: entry.node == self.configuration.node,
        enrolled: self.isProven(entry.name),
        problem: (self.enrolmentProblems[entry.name] ?? self.canaryProblems[entry.name]
          ?? self.listenerProblem(entry.name)).map {
            $0.message + ($0.cause.map { ": \($0)" } ?? "")
          },
        identity: entry.identity.description, addresses: entry.addresses.map(\.description), networkNamespace: path,
        failureMode: entry.failureMode == .open ? "open" : "closed", policies: entry.policies.map(\.description),
        app: entry.app, version: entry.appVersion, network: entry.network,
        segment: self.planner.resolved.locals[entry.name]?.segment,
        id: self.planner.identifiers.number(.workload, entry.name.description) ?? 0)
    }
  }

  package func services() async throws(MeshError) -> [ServiceReport] {
    // None yet is not the same as none: whoever keeps a list of them would empty it.
    guard self.isComplete, self.planner.generation > 0 else {
      throw MeshError(
        .unavailable, "services", "are not known yet", cause: "the agent has no complete snapshot in force",
        next: "start martlet-control, or look at its log")
    }
    let snapshot = self.planner.resolved.snapshot
    return snapshot.services.values.map(\.value).sorted { $0.name < $1.name }.map { service in
      ServiceReport(
        name: service.name.description, addresses: service.addresses.map(\.description),
        ports: service.ports.map { port in
          ServiceReport.Port(
            port: port.port, name: port.name, appProtocol: port.appProtocol.rawValue,
            tier: port.needsProxy ? .relay : .kernel, route: port.route?.description,
            backends: port.backends.map {
              .init(service: $0.service.description, port: $0.port, weight: $0.weight, valid: $0.isValid)
            })
        },
        endpoints: (snapshot.endpoints[service.name]?.value.endpoints ?? []).map { self.report($0) },
        id: self.planner.identifiers.number(.service, service.name.description) ?? 0)
    }
  }

  /// What the proxy obeys; nothing of requests, where it relays bytes.
  package func routes() async throws(MeshError) -> [RuleReport] {
    let parses = self.configuration.proxyParsesHTTP
    let snapshot = self.planner.resolved.snapshot
    return snapshot.services.values.sorted { $0.value.name < $1.value.name }.flatMap { service in
      service.value.ports.flatMap { port in
        func ready(_ backend: ResourceName, _ port: UInt16) -> Int {
          (snapshot.endpoints[backend]?.value.endpoints ?? []).count { endpoint in
            endpoint.isReady && endpoint.weight > 0 && endpoint.ports.contains { $0.servicePort == port }
          }
        }
        return (parses ? port.routing?.rules ?? [] : []).map { rule in
          RuleReport(rule, of: service, port) { ready($0.service, $0.port) }
        } + port.tlsRules.map { rule in RuleReport(rule, of: service, port) { ready($0.service, $0.port) } }
      }
    }
  }

  private func report(_ endpoint: Endpoint) -> ServiceReport.Endpoint {
    ServiceReport.Endpoint(
      workload: endpoint.workload?.description, addresses: endpoint.addresses.map(\.description),
      ready: endpoint.isReady, reason: endpoint.isReady ? nil : self.unreadiness(of: endpoint), weight: endpoint.weight,
      ports: endpoint.ports.map { "\($0.servicePort):\($0.targetPort)" })
  }

  /// Why an endpoint is not ready.
  func unreadiness(of endpoint: Endpoint) -> String {
    let problem = endpoint.workload.flatMap { self.enrolmentProblems[$0] }
    return problem?.message ?? endpoint.workload.flatMap { self.readinessProblem(of: $0) }
      ?? (endpoint.addresses.isEmpty ? "no address is known" : "not ready")
  }

  package func policies() async throws(MeshError) -> [PolicyReport] {
    var users: [ResourceName: [String]] = [:]
    for workload in self.snapshot.workloads.values {
      for policy in workload.value.policies { users[policy, default: []].append(workload.value.name.description) }
    }
    var reports = self.snapshot.policies.values.map { policy in
      PolicyReport(
        name: policy.value.name.description, action: policy.value.action.rawValue,
        version: policy.version.description, rules: UInt64(policy.value.rules.count),
        workloads: (users[policy.value.name] ?? []).sorted())
    }
    for (name, workloads) in users where self.snapshot.policies[name] == nil {
      reports.append(
        PolicyReport(
          name: name.description, action: "unknown", version: "", workloads: workloads.sorted(), missing: true))
    }
    return reports.sorted { $0.name < $1.name }
  }

  package func certificates() async throws(MeshError) -> [CertificateReport] { self.certificateReports() }

  package func connections() async throws(MeshError) -> [ConnectionReport] {
    let names = self.names.current
    let now = MonotonicClock.nanoseconds
    var reports: [ConnectionReport] = []
    for (_, namespace) in self.enrolled.values.namespaces {
      for socket in try namespace.sockets(withBytes: true) where !socket.isListening {
        // The client's half of a relayed connection is told as its leg.
        guard let flow = try self.kernel.flow(of: socket, in: namespace),
          UInt32(flow.flags) & MESH_FLOW_HAS_LEG == 0
        else { continue }
        reports.append(
          ConnectionReport(
            source: names.peer(flow.source_workload, flow.source, flow.source_port_be),
            destination: names.peer(flow.destination_workload, flow.destination, flow.destination_port_be),
            dialled: FlowNames.endpoint(flow.original, flow.original_port_be)?.description,
            service: names.service(flow.service)?.description, tier: FlowTier(number: flow.tier),
            state: "\(socket.state)", ageSeconds: (now - min(now, flow.start_ns)) / 1_000_000_000,
            sentBytes: socket.sentBytes, receivedBytes: socket.receivedBytes,
            policy: names.policy(flow.policy)?.name.description))
      }
    }
    return reports
  }

  package func explain(_ question: ExplainQuestion) async throws(MeshError) -> ExplainReport {
    try ExplainReport(question, self.planner.resolved)
  }

  package func setLogLevel(_ level: LogLevelWord) async throws(MeshError) {
    guard let wanted = Logger.Level(rawValue: level.rawValue) else {
      throw MeshError(.invalid, "level", "is no log level")
    }
    LogLevel.shared.set(wanted)
    self.logger.notice("log level changed", metadata: ["level": "\(wanted)"])
  }
}

extension EdgeCounters {
  init(_ edge: mesh_edge) {
    self.init(
      opened: edge.opened, closed: edge.closed, refused: edge.refused, sentBytes: edge.sent_bytes,
      receivedBytes: edge.received_bytes)
  }
}
