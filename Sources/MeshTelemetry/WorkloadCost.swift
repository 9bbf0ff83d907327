package import MeshBase

/// What calls of one workload cost the node proxy since it told this last: time of its loops, which is time of a processor, and
/// what there is at the moment.
package struct WorkloadCost: Hashable, Sendable {
  /// The agent's number for it.
  package var workload: UInt32
  package var microseconds: UInt64
  package var connections: UInt64
  /// Bytes of connections and of what they hold; not of sockets, which are the kernel's.
  package var memory: UInt64

  package init(workload: UInt32, microseconds: UInt64 = 0, connections: UInt64 = 0, memory: UInt64 = 0) {
    self.workload = workload
    self.microseconds = microseconds
    self.connections = connections
    self.memory = memory
  }

  package static func + (a: Self, b: Self) -> Self {
    WorkloadCost(
      workload: a.workload, microseconds: EdgeCounters.sum(a.microseconds, b.microseconds),
      connections: EdgeCounters.sum(a.connections, b.connections), memory: EdgeCounters.sum(a.memory, b.memory))
  }
}

/// The bill of the node proxy that serves, by workload: processor time since the agent started, and what each holds now. What one
/// that drains still costs is on nobody's bill.
package struct WorkloadBills: Sendable {
  package struct Bill: Hashable, Sendable {
    package var microseconds: UInt64 = 0
    package var connections: UInt64 = 0
    package var memory: UInt64 = 0
  }

  /// Workloads of one host; further ones are summed without a name.
  private static let limit = 10_000

  package private(set) var bills: [ResourceName?: Bill] = [:]

  package init() {}

  /// All costs of one message, with names; who is not in it holds nothing.
  package mutating func add(_ costs: [WorkloadCost], name: (UInt32) -> ResourceName?) {
    for key in self.bills.keys {
      self.bills[key]?.connections = 0
      self.bills[key]?.memory = 0
    }
    for cost in costs {
      var key = name(cost.workload)
      if self.bills[key] == nil, self.bills.count >= Self.limit { key = nil }
      var bill = self.bills[key] ?? Bill()
      bill.microseconds = EdgeCounters.sum(bill.microseconds, cost.microseconds)
      bill.connections = EdgeCounters.sum(bill.connections, cost.connections)
      bill.memory = EdgeCounters.sum(bill.memory, cost.memory)
      self.bills[key] = bill
    }
  }

  func families(_ names: NameDirectory) -> [MetricFamily] {
    guard !self.bills.isEmpty else { return [] }
    let sorted = self.bills.sorted { ($0.key?.description ?? "") < ($1.key?.description ?? "") }
    func family(
      _ kind: MetricFamily.Kind, _ name: String, _ help: String, _ value: (Bill) -> MetricValue
    ) -> MetricFamily {
      MetricFamily(
        kind, name, help, labels: ["workload", "namespace"],
        series: sorted.map { name, bill in
          MetricSeries([name?.name ?? "unknown", name?.namespace ?? "unknown"], value(bill))
        })
    }
    return [
      family(
        .counter, "martlet_workload_proxy_cpu_seconds", "Time of the node proxy's loops for calls of a workload.",
        { .real(Double($0.microseconds) / 1e6) }),
      family(
        .gauge, "martlet_workload_proxy_connections", "Connections in the node proxy, both sides, for a workload.",
        { .integer($0.connections) }),
      family(
        .gauge, "martlet_workload_proxy_memory_bytes", "What those connections hold in the node proxy.",
        { .integer($0.memory) }),
    ]
  }
}

/// `GET /v1/top`: what each workload's calls cost this node, as totals; who asks twice has rates.
package struct TopReport: Codable, Sendable, Hashable {
  package struct Line: Codable, Sendable, Hashable {
    /// NAMESPACE/NAME; `-`: not known any more.
    package var workload: String
    package var cpuMicroseconds: UInt64
    package var requests: UInt64
    /// From callers, and back to them, on every tier.
    package var sentBytes: UInt64
    package var receivedBytes: UInt64
    package var connections: UInt64
    package var memoryBytes: UInt64

    package init(
      workload: String, cpuMicroseconds: UInt64 = 0, requests: UInt64 = 0, sentBytes: UInt64 = 0,
      receivedBytes: UInt64 = 0, connections: UInt64 = 0, memoryBytes: UInt64 = 0
    ) {
      self.workload = workload
      self.cpuMicroseconds = cpuMicroseconds
      self.requests = requests
      self.sentBytes = sentBytes
      self.receivedBytes = receivedBytes
      self.connections = connections
      self.memoryBytes = memoryBytes
    }
  }

  /// Of the agent, when it answered.
  package var uptimeMilliseconds: UInt64
  /// Sorted by name.
  package var workloads: [Line]

  package init(uptimeMilliseconds: UInt64, workloads: [Line]) {
    self.uptimeMilliseconds = uptimeMilliseconds
    self.workloads = workloads
  }

  /// From what the agent counts.
  package init(uptimeMilliseconds: UInt64, bills: WorkloadBills, requests: RequestTotals, edges: EdgeLedger) {
    var lines: [ResourceName?: Line] = [:]
    func with(_ name: ResourceName?, _ change: (inout Line) -> Void) {
      change(&lines[name, default: Line(workload: name?.description ?? "-")])
    }
    for (name, bill) in bills.bills {
      with(name) {
        $0.cpuMicroseconds = bill.microseconds
        $0.connections = bill.connections
        $0.memoryBytes = bill.memory
      }
    }
    for (key, sums) in requests.totals {
      with(key.source) { $0.requests = EdgeCounters.sum($0.requests, sums.duration.counts.reduce(0, EdgeCounters.sum)) }
    }
    for (key, counters) in edges.totals where key.source != nil {
      with(key.source) {
        $0.sentBytes = EdgeCounters.sum($0.sentBytes, counters.sentBytes)
        $0.receivedBytes = EdgeCounters.sum($0.receivedBytes, counters.receivedBytes)
      }
    }
    self.init(uptimeMilliseconds: uptimeMilliseconds, workloads: lines.values.sorted { $0.workload < $1.workload })
  }

  /// What came in between, in a second; connections and memory are of now. A count that went down began anew.
  package func rates(since earlier: TopReport) -> [Rate] {
    let before = Dictionary(earlier.workloads.map { ($0.workload, $0) }, uniquingKeysWith: { first, _ in first })
    let span = self.uptimeMilliseconds.subtractingReportingOverflow(earlier.uptimeMilliseconds)
    guard !span.overflow, span.partialValue > 0 else { return [] }
    let seconds = Double(span.partialValue) / 1000
    return self.workloads.map { line in
      let old = before[line.workload] ?? Line(workload: line.workload)
      func rate(_ value: KeyPath<Line, UInt64>) -> Double {
        let (now, then) = (line[keyPath: value], old[keyPath: value])
        return Double(now >= then ? now - then : now) / seconds
      }
      return Rate(
        workload: line.workload, cpuPercent: rate(\.cpuMicroseconds) / 10_000, requests: rate(\.requests),
        sentBytes: rate(\.sentBytes), receivedBytes: rate(\.receivedBytes), connections: line.connections,
        memoryBytes: line.memoryBytes)
    }.sorted { ($1.cpuPercent, $1.requests, $0.workload) < ($0.cpuPercent, $0.requests, $1.workload) }
  }

  /// In a second.
  package struct Rate: Codable, Sendable, Hashable {
    package var workload: String
    /// Of one processor.
    package var cpuPercent: Double
    package var requests: Double
    package var sentBytes: Double
    package var receivedBytes: Double
    package var connections: UInt64
    package var memoryBytes: UInt64
  }
}
