import MeshBase
import MeshTelemetry
import Testing

@Suite("What workloads cost")
struct WorkloadCostTests {
  private func name(_ text: String) throws -> ResourceName { try #require(ResourceName(text)) }

  @Test("time adds up over messages, what is held is of the last one; who is unknown has one line")
  func bills() throws {
    let web = try self.name("a/web")
    var bills = WorkloadBills()
    bills.add(
      [
        WorkloadCost(workload: 1, microseconds: 10, connections: 2, memory: 100),
        WorkloadCost(workload: 8, microseconds: 1, connections: 1, memory: 5),
        WorkloadCost(workload: 9, microseconds: 2, connections: 1, memory: 5),
      ], name: { $0 == 1 ? web : nil })
    bills.add([WorkloadCost(workload: 1, microseconds: .max, connections: 1, memory: 7)], name: { _ in web })
    let (known, unknown) = (try #require(bills.bills[web]), try #require(bills.bills[nil]))
    #expect(known.microseconds == .max && known.connections == 1 && known.memory == 7)
    #expect(unknown.microseconds == 3 && unknown.connections == 0 && unknown.memory == 0)
    bills.add([], name: { _ in nil })
    #expect(bills.bills[web]?.connections == 0 && bills.bills[web]?.microseconds == .max)
  }

  @Test("the number of names is bounded, sums stay true")
  func bounded() {
    var bills = WorkloadBills()
    bills.add((0..<10_100).map { WorkloadCost(workload: $0, microseconds: 1) }) { ResourceName("a/w\($0)") }
    #expect(bills.bills.count <= 10_001)
    #expect(bills.bills.values.reduce(0) { $0 + $1.microseconds } == 10_100)
  }

  @Test("rates are of what came in between; a count that went down began anew; without time there are none")
  func rates() {
    let then = TopReport(
      uptimeMilliseconds: 1_000,
      workloads: [
        .init(workload: "a/one", cpuMicroseconds: 100_000, requests: 10), .init(workload: "a/two", requests: 50),
      ])
    let now = TopReport(
      uptimeMilliseconds: 3_000,
      workloads: [
        .init(workload: "a/one", cpuMicroseconds: 300_000, requests: 30, connections: 4),
        .init(workload: "a/three", cpuMicroseconds: 1_000_000), .init(workload: "a/two", requests: 8),
      ])
    let rates = now.rates(since: then)
    #expect(rates.map(\.workload) == ["a/three", "a/one", "a/two"])
    #expect(rates.map(\.cpuPercent) == [50, 10, 0])
    #expect(rates.map(\.requests) == [0, 10, 4] && rates[1].connections == 4)
    #expect(then.rates(since: then).isEmpty && then.rates(since: now).isEmpty)
  }

  @Test("a report has a line for each workload that costs, calls, or has called")
  func report() throws {
    let (web, batch) = (try self.name("a/web"), try self.name("b/batch"))
    var bills = WorkloadBills()
    bills.add([WorkloadCost(workload: 1, microseconds: 5, connections: 1, memory: 9)]) { _ in web }
    var edges = EdgeLedger()
    edges.observe([(EdgeKey(source: batch, tier: .kernel), EdgeCounters(sentBytes: 7, receivedBytes: 8))])
    let report = TopReport(uptimeMilliseconds: 1, bills: bills, requests: RequestTotals(), edges: edges)
    #expect(report.workloads.map(\.workload) == ["a/web", "b/batch"])
    #expect(report.workloads[0].cpuMicroseconds == 5 && report.workloads[1].receivedBytes == 8)
  }
}
