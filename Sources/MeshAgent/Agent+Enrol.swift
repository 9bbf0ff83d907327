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
    guard let names = self.workloads(for: question) else {
      return EnrolReport(
        .pending, message: "a Workload names a container by what is not known yet of \(question.subject)",
        next: "podman tells its labels over its API: systemctl enable --now podman.socket")
    }
    guard !names.isEmpty else { return self.unknown(question) }
    if let report = self.enrolledReport(names, question) { return report }
    _ = self.followNamespaces()
    self.updateTables(self.tablesFollow ? Delta() : nil)
    self.scanSoon()
    if let report = self.enrolledReport(names, question) { return report }
    let name = names[0]
    var problem = self.enrolmentProblems[name]
    if problem == nil, case .container = question, self.enrolled[name]?.isAttached == true {
      problem = MeshError(
        .conflict, question.subject, "\(name) is another container already",
        next: "a Workload is one container: write another")
    }
    return EnrolReport(
      .pending, workload: name.description,
      message: problem.map { $0.message + ($0.cause.map { ": \($0)" } ?? "") }
        ?? self.failures.values.first?.description ?? "its tables are being written",
      next: problem?.next)
  }

  /// Where the caller says that the unit is. A unit in a slice of its own is found at once by that.
  private func note(_ question: EnrolQuestion) {
    switch question {
    case .unit(let unit, let cgroup?):
      let path = self.cgroups.unified.path + cgroup
      if (try? DiskFile.status(path)) != nil { self.unitPaths[unit] = path }
    case .container(let id, let process, let name): self.note(container: id, process: process, name: name)
    case .unit, .namespace: break
    }
  }

  /// Sorted: of several the first gets it, as in `Enrolment`. Nil: that cannot be told yet.
  private func workloads(for question: EnrolQuestion) -> [ResourceName]? {
    if case .container(let id, _, _) = question { return self.workloads(ofContainer: id) }
    return self.locations.filter { _, location in
      switch (question, location) {
      case (.unit(let unit, _), .systemdUnit(let name)): name == unit
      case (.unit(_, let cgroup?), .cgroup(let path)): path == cgroup
      case (.namespace(let wanted), .networkNamespace(let path)): path == wanted
      default: false
      }
    }.keys.sorted()
  }

  /// Nil if none of them has what is there now.
  private func enrolledReport(_ names: [ResourceName], _ question: EnrolQuestion) -> EnrolReport? {
    let paths = self.pathsToFind()
    for name in names {
      // Of a container the namespace that it has now, not that of another one that fits as well.
      var path = paths[name]
      if case .container(_, let process, _) = question { path = "/proc/\(process)/ns/net" }
      guard let workload = self.enrolled[name], workload.isAttached, let path,
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
