import Glibc
import MeshBase
import MeshDatapath
import MeshSync
import MeshWire

/// What the control plane is told of this node's workloads.
extension Agent {
  /// Cheap when nothing changed. Called after each look at the workloads, and when a check says something else.
  func followStatus() {
    guard let feed = self.readiness.feed, self.isComplete else { return }
    var statuses: [ResourceName: WorkloadStatus] = [:]
    for name in self.locations.keys { statuses[name] = self.status(of: name) }
    guard statuses != self.readiness.told else { return }
    self.readiness.told = statuses
    feed.update(Array(statuses.values))
  }

  private func status(of name: ResourceName) -> WorkloadStatus {
    var status = WorkloadStatus(name: name, reason: .notEnrolled, since: 0)
    if let workload = self.enrolled[name], workload.isAttached {
      status.addresses = workload.local.addresses
      status.reason = .ready
      if workload.local.isQuarantined {
        status.reason = .enrolmentFailed
        status.detail = self.canaryProblems[name]?.message ?? "in quarantine"
      } else if let machine = self.readiness.health[name]?.machine, !machine.isReady {
        status.reason = machine.verdict == .pending ? .checkPending : .checkFailed
        status.detail = machine.failure ?? ""
      }
    } else if let problem = self.enrolmentProblems[name] {
      // What is not there yet comes by itself; everything else needs somebody.
      status.reason = problem.code == .notFound ? .notEnrolled : .enrolmentFailed
      status.detail = problem.message + (problem.cause.map { ": \($0)" } ?? "")
    }
    let before = self.readiness.told[name]
    status.since = before?.reason == status.reason ? before?.since ?? 0 : Self.unixMilliseconds
    return status
  }

  private static var unixMilliseconds: Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
  }
}
