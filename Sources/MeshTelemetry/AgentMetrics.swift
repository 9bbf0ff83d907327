/// Everything that a scrape of the agent shows, gathered by the agent at the time of the scrape.
package struct AgentMetrics: Sendable {
  package var status: AgentStatus
  package var programs: [ProgramReport]
  package var maps: [MapReport]
  package var edges: EdgeLedger
  package var names: NameDirectory
  /// The kernel's own counters: what each hook decided, `none` being what it let pass.
  package var decisions: [Decision]
  /// Rows that did not fit, by map; every try counts.
  package var mapInsertErrors: [String: UInt64]
  /// Connections that the node proxy refused, by reason; since the proxy started.
  package var proxyRefusals: [String: UInt64]
  /// What the proxy's name server and its access log did, by their words; since the proxy started.
  package var nameCounts: [String: UInt64]
  package var proof: ProofCounters
  /// HTTP and gRPC requests that the node proxy carried.
  package var requests: RequestTotals
  package var bills: WorkloadBills

  package struct Decision: Sendable, Hashable {
    package var hook: FlowHook
    package var reason: RefusalReason
    package var count: UInt64

    package init(hook: FlowHook, reason: RefusalReason, count: UInt64) {
      self.hook = hook
      self.reason = reason
      self.count = count
    }
  }

  package init(
    status: AgentStatus, programs: [ProgramReport] = [], maps: [MapReport] = [], edges: EdgeLedger = EdgeLedger(),
    names: NameDirectory = NameDirectory(), decisions: [Decision] = [], mapInsertErrors: [String: UInt64] = [:],
    proxyRefusals: [String: UInt64] = [:], nameCounts: [String: UInt64] = [:], proof: ProofCounters = ProofCounters(),
    requests: RequestTotals = RequestTotals(), bills: WorkloadBills = WorkloadBills()
  ) {
    self.bills = bills
    self.requests = requests
    self.nameCounts = nameCounts
    self.status = status
    self.programs = programs
    self.maps = maps
    self.edges = edges
    self.names = names
    self.decisions = decisions
    self.mapInsertErrors = mapInsertErrors
    self.proxyRefusals = proxyRefusals
    self.proof = proof
  }

  /// In a fixed order: traffic, datapath, agent, names.
  package var families: [MetricFamily] {
    TCPMetrics.families(self.edges, names: self.names) + HTTPMetrics.families(self.requests, names: self.names)
      + self.datapath + self.proofFamilies + self.agent
      + NameMetrics.families(self.nameCounts) + AccessLogMetrics.families(self.nameCounts)
      + RouteWorkMetrics.families(self.nameCounts) + EndpointMetrics.families(self.nameCounts)
      + self.bills.families(self.names)
  }

  private var datapath: [MetricFamily] {
    func programs(
      _ kind: MetricFamily.Kind, _ name: String, _ help: String, _ value: (ProgramReport) -> MetricValue
    ) -> MetricFamily {
      // Programs of one name, one a namespace, are told apart by where they are attached.
      MetricFamily(
        kind, name, help, labels: ["program", "attached"],
        series: self.programs.map { MetricSeries([$0.name, $0.attached ?? ""], value($0)) })
    }
    func maps(_ name: String, _ help: String, _ value: (MapReport) -> UInt64) -> MetricFamily {
      MetricFamily(
        .gauge, name, help, labels: ["map"],
        series: self.maps.map { MetricSeries([$0.name], .integer(value($0))) })
    }
    return [
      MetricFamily(
        .counter, "martlet_hook_decisions", "Decisions of each kernel hook, by reason; none: let pass.",
        labels: ["hook", "reason"],
        series: self.decisions.map { MetricSeries([$0.hook.rawValue, $0.reason.rawValue], .integer($0.count)) }),
      programs(
        .counter, "martlet_bpf_program_runs", "Runs of a BPF program (kernel.bpf_stats_enabled=1 only).",
        { .integer($0.runs) }),
      programs(
        .counter, "martlet_bpf_program_run_seconds", "Time in a BPF program (kernel.bpf_stats_enabled=1 only).",
        { .real(Double($0.runNanoseconds) / 1e9) }),
      maps("martlet_bpf_map_entries", "Entries in a BPF map.", \.entries),
      maps("martlet_bpf_map_capacity", "Entries that a BPF map can hold.", \.capacity),
      MetricFamily(
        .counter, "martlet_bpf_map_insert_errors", "Rows that did not fit into a BPF map; every try counts.",
        labels: ["map"],
        series: self.mapInsertErrors.sorted { $0.key < $1.key }.map { MetricSeries([$0.key], .integer($0.value)) }),
      .single(
        .counter, "martlet_flow_events_lost", "Flow events that found the ring buffer full.",
        .integer(self.status.datapath.lostEvents)),
      .single(
        .counter, "martlet_attachments_repaired", "Links and pins that somebody removed and the agent put back.",
        .integer(self.status.datapath.attachmentsRepaired)),
      .single(
        .gauge, "martlet_datapath_generation", "Generation that the kernel decides by; 0: none yet.",
        .integer(UInt64(self.status.datapath.generation))),
    ]
  }

  private var agent: [MetricFamily] {
    let status = self.status
    return [
      MetricFamily(
        .gauge, "martlet_build_info", "Always 1; the labels say what runs.", labels: ["version", "node"],
        series: [MetricSeries([status.version, status.node], .integer(1))]),
      .single(.gauge, "martlet_agent_uptime_seconds", "Since the agent started.", .integer(status.uptimeSeconds)),
      .single(
        .counter, "martlet_agent_revisions", "Snapshots that the agent has applied since it started.",
        .integer(status.revision)),
      .single(
        .gauge, "martlet_control_plane_connected", "1: the session with the control plane is open.",
        .integer(status.controlPlane.state == .connected ? 1 : 0)),
      .single(
        .gauge, "martlet_snapshot_age_seconds", "Since the control plane last said anything, a heartbeat included.",
        .integer(status.controlPlane.snapshotAgeSeconds)),
      .single(
        .gauge, "martlet_proxy_up", "1: the proxy runs and has applied a revision.",
        .integer(status.proxy.state == .running ? 1 : 0)),
      .single(
        .counter, "martlet_proxy_restarts", "Times that the agent had to start the proxy again.",
        .integer(status.proxy.restarts)),
      MetricFamily(
        .counter, "martlet_proxy_replacements", "New proxies that were put in the place of the old one, or given up.",
        labels: ["result"],
        series: [
          MetricSeries(["replaced"], .integer(status.proxy.upgrade?.replaced ?? 0)),
          MetricSeries(["given_up"], .integer(status.proxy.upgrade?.givenUp ?? 0)),
        ]),
      .single(
        .gauge, "martlet_proxies_draining", "Proxies that were replaced and finish what they have.",
        .integer(UInt64(status.proxy.upgrade?.draining.count ?? 0))),
      MetricFamily(
        .counter, "martlet_proxy_refused_connections", "Connections that the node proxy refused, by reason.",
        labels: ["reason"],
        series: self.proxyRefusals.sorted { $0.key < $1.key }.map { MetricSeries([$0.key], .integer($0.value)) }),
      .single(
        .gauge, "martlet_proxy_applied_revision", "Revision that the proxy routes by.",
        .integer(status.proxy.appliedRevision)),
      MetricFamily(
        .gauge, "martlet_health", "1: the check is well.", labels: ["check"],
        series: status.health.map { MetricSeries([$0.name], .integer($0.state == .ok ? 1 : 0)) }),
      .single(.gauge, "martlet_problems", "Problems that status lists.", .integer(UInt64(status.problems.count))),
      .single(
        .gauge, "martlet_workloads", "Workloads of this node that are enrolled.",
        .integer(status.datapath.enrolledWorkloads)),
    ]
  }
}
