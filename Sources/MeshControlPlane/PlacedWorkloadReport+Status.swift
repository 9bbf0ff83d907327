import MeshBase
import MeshSnapshot
import MeshSync
import MeshTelemetry

extension Snapshot {
  /// Every workload with what its node says of it, by name. Throws nothing: what nobody said is `unknown`, with the reason.
  func workloadReports(_ ledger: StatusLedger) -> [PlacedWorkloadReport] {
    self.workloads.values.map(\.value).sorted { $0.name < $1.name }.map { workload in
      PlacedWorkloadReport(workload, ledger)
    }
  }
}

extension PlacedWorkloadReport {
  fileprivate init(_ workload: WorkloadEntry, _ ledger: StatusLedger) {
    let isConnected = ledger.isConnected(workload.node)
    self.init(
      name: workload.name.description, node: workload.node, ready: .unknown, reason: "Unreported",
      identity: workload.identity.description, addresses: workload.addresses.map(\.description),
      agentConnected: isConnected)
    guard workload.location != .none else {
      self.reason = "NotWatched"
      self.detail = "known by its addresses only: no node looks after it"
      return
    }
    guard let status = ledger.status(of: workload.name, on: workload.node) else {
      if !isConnected {
        self.reason = "NoAgent"
        self.detail = "no agent of node \(workload.node) has reported since this control plane was started"
      }
      return
    }
    self.ready = status.isReady ? .yes : .no
    self.running = status.isRunning
    self.reason = status.reason.rawValue
    self.detail = status.detail
    if !status.addresses.isEmpty { self.addresses = status.addresses.map(\.description) }
    self.since = Timestamp(microseconds: status.since.multipliedReportingOverflow(by: 1000).partialValue)
  }
}
