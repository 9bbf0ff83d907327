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

  private func marked(_ ledger: StatusLedger) -> Snapshot {
    var marker = StatusMarker()
    return marker.marked(self.snapshot, by: ledger)
  }

  private func unhealthy(_ ledger: StatusLedger) -> [String] {
    self.marked(ledger).workloads.values.filter { !$0.value.isHealthy }.map(\.value.name.name).sorted()
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
    let marked = self.marked(self.ledger(["n": [self.status("a/one", .checkFailed)]]))
    #expect(marked.diff(from: self.snapshot).upserts.map(\.value.key.name) == ["a/one"])
    #expect(
      self.marked(self.ledger(["n": [self.status("a/one", .ready)]])).diff(from: self.snapshot).isEmpty)
  }

  @Test(
    "where there are several nodes, others hear of addresses that a node found and of its own; what they knew is not encoded again"
  )
  func places() throws {
    let snapshot = Snapshot(of: [
      .workload("a/one", node: "n", namespacePath: "/run/netns/one"),
      .workload("a/far", node: "m", namespacePath: "/run/netns/far"),
    ])
    var ledger = StatusLedger()
    let stream = ledger.opened()
    let first = ledger.received(
      StatusUpdate(
        node: "n", gateways: [address("192.0.2.1")], sequence: 1, statuses: [self.status("a/one", .ready)]), on: stream)
    #expect(first.isNews)
    var marker = StatusMarker()
    let marked = marker.marked(snapshot, by: ledger)
    let one = try #require(marked.workloads[resourceName("a/one")]?.value)
    #expect(
      one.addresses == [] && one.foundAddresses == [address("10.0.0.9")] && one.gateways == [address("192.0.2.1")])
    #expect(marked.workloads[resourceName("a/far")] == snapshot.workloads[resourceName("a/far")])
    #expect(marker.marked(snapshot, by: ledger) == marked)
    // The node has moved, and says so when it comes back.
    let again = ledger.received(
      StatusUpdate(
        node: "n", gateways: [address("192.0.2.9")], sequence: 1, statuses: [self.status("a/one", .ready)]),
      on: ledger.opened())
    #expect(again.isNews)
    let moved = marker.marked(snapshot, by: ledger)
    #expect(moved.workloads[resourceName("a/one")]?.value.gateways == [address("192.0.2.9")])
    // Of one node alone nobody has to know.
    #expect(self.marked(self.ledger(["n": [self.status("a/one", .ready)]])).workloads == self.snapshot.workloads)
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
