import MeshBase
import MeshSnapshot
import MeshSync
import MeshTelemetry
import MeshTestSupport
import Testing

@testable import MeshControlPlane

@Suite("What nodes say, in what is served")
struct StatusMarkTests {
  private func ledger(_ statuses: [String: [WorkloadStatus]]) -> StatusLedger {
    var ledger = StatusLedger()
    for (node, statuses) in statuses {
      _ = ledger.received(StatusUpdate(node: node, sequence: 1, statuses: statuses), on: ledger.opened())
    }
    return ledger
  }

  private func status(_ name: String, _ reason: WorkloadStatus.Reason, detail: String = "") -> WorkloadStatus {
    WorkloadStatus(
      name: resourceName(name), addresses: [address("10.0.0.9")], reason: reason, detail: detail, since: 1_000)
  }

  private let snapshot = Snapshot(of: [
    .workload("a/one", node: "n", namespacePath: "/run/netns/one"),
    .workload("a/two", node: "n", namespacePath: "/run/netns/two"),
    .workload("a/plain", node: "n", addresses: ["10.0.0.1"]),
  ])

  private func unhealthy(_ ledger: StatusLedger) -> [String] {
    self.snapshot.marked(by: ledger).workloads.values.filter { !$0.value.isHealthy }.map(\.value.name.name).sorted()
  }

  @Test("a workload is marked if its own node says that it cannot serve, and only then")
  func marks() {
    #expect(self.unhealthy(StatusLedger()) == [])
    #expect(
      self.unhealthy(self.ledger(["n": [self.status("a/one", .checkFailed), self.status("a/two", .ready)]])) == ["one"])
    #expect(self.unhealthy(self.ledger(["n": [self.status("a/two", .notEnrolled)]])) == ["two"])
    // Another node's word, a workload that does not exist, one that no node looks after.
    #expect(self.unhealthy(self.ledger(["m": [self.status("a/one", .checkFailed)]])) == [])
    #expect(self.unhealthy(self.ledger(["n": [self.status("b/x", .checkFailed)]])) == [])
    #expect(self.unhealthy(self.ledger(["n": [self.status("a/plain", .checkFailed)]])) == [])
    // What is not marked keeps its version: nothing is sent.
    let marked = self.snapshot.marked(by: self.ledger(["n": [self.status("a/one", .checkFailed)]]))
    #expect(marked.diff(from: self.snapshot).upserts.map(\.value.key.name) == ["a/one"])
    #expect(
      self.snapshot.marked(by: self.ledger(["n": [self.status("a/one", .ready)]])).diff(from: self.snapshot).isEmpty)
  }

  @Test("the report says yes, no or unknown, and why")
  func reports() {
    var ledger = self.ledger([
      "n": [self.status("a/one", .checkFailed, detail: "ECONNREFUSED"), self.status("a/two", .ready)]
    ])
    let reports = self.snapshot.workloadReports(ledger)
    #expect(reports.map(\.name) == ["a/one", "a/plain", "a/two"])
    #expect(reports.map(\.ready) == [.no, .unknown, .yes])
    #expect(reports.map(\.running) == [true, false, true])
    #expect(reports.map(\.explanation).first == "CheckFailed(ECONNREFUSED)")
    #expect(reports[1].reason == "NotWatched" && reports[1].addresses == ["10.0.0.1"])
    #expect(reports[0].addresses == ["10.0.0.9"])
    #expect(reports[0].since == Timestamp(microseconds: 1_000_000))
    #expect(reports.allSatisfy { $0.agentConnected })
    ledger = StatusLedger()
    #expect(self.snapshot.workloadReports(ledger).map(\.reason) == ["NoAgent", "NotWatched", "NoAgent"])
    _ = ledger.received(StatusUpdate(node: "n", sequence: 1), on: ledger.opened())
    #expect(self.snapshot.workloadReports(ledger).map(\.reason) == ["Unreported", "NotWatched", "Unreported"])
  }
}
