package import MeshBase
import MeshLinux
import MeshSnapshot
package import MeshTelemetry

/// Who is about to start asks to be enrolled first: not at the next scan, but now.
extension Agent {
  package func enrol(_ question: EnrolQuestion) async throws(MeshError) -> EnrolReport {
    guard self.isComplete else {
      return EnrolReport(
        .pending, message: "the agent has no complete snapshot yet",
        next: "start martlet-control, or look at its log")
    }
    self.note(question)
    let names = self.workloads(for: question)
    guard !names.isEmpty else { return self.unknown(question) }
    if let report = self.enrolledReport(names) { return report }
    _ = self.followNamespaces()
    self.updateTables(self.tablesFollow ? Delta() : nil)
    if let report = self.enrolledReport(names) { return report }
    let name = names[0]
    let problem = self.enrolmentProblems[name]
    return EnrolReport(
      .pending, workload: name.description,
      message: problem.map { $0.message + ($0.cause.map { ": \($0)" } ?? "") }
        ?? self.failures.values.first?.description ?? "its tables are being written",
      next: problem?.next)
  }

  /// Where the caller says that the unit is. A unit in a slice of its own is found at once by that.
  private func note(_ question: EnrolQuestion) {
    guard case .unit(let unit, let cgroup?) = question else { return }
    let path = self.cgroups.unified.path + cgroup
    if (try? DiskFile.status(path)) != nil { self.unitPaths[unit] = path }
  }

  /// Sorted: of several the first gets it, as in `Enrolment`.
  private func workloads(for question: EnrolQuestion) -> [ResourceName] {
    self.locations.filter { _, location in
      switch (question, location) {
      case (.unit(let unit, _), .systemdUnit(let name)): name == unit
      case (.unit(_, let cgroup?), .cgroup(let path)): path == cgroup
      case (.namespace(let wanted), .networkNamespace(let path)): path == wanted
      default: false
      }
    }.keys.sorted()
  }

  /// Nil if none of them has what is there now.
  private func enrolledReport(_ names: [ResourceName]) -> EnrolReport? {
    let paths = self.pathsToFind()
    for name in names {
      guard let workload = self.enrolled[name], workload.isAttached, let path = paths[name],
        (try? DiskFile.status(path))?.id == workload.id
      else { continue }
      return EnrolReport(
        .enrolled, workload: name.description, cgroup: workload.cgroup?.id, message: "enrolled as \(name)")
    }
    return nil
  }

  private func unknown(_ question: EnrolQuestion) -> EnrolReport {
    EnrolReport(
      .unknown, message: "no Workload of node \(self.configuration.node) names \(question.subject)",
      next: "write one, or martlet unenroll it")
  }
}
