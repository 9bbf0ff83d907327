import MeshTelemetry

extension Presentation {
  /// `martlet status`: the answer first, then each part, then what is wrong.
  static func status(_ status: AgentStatus) -> String {
    let control = status.controlPlane
    let proxy = status.proxy
    let datapath = status.datapath
    func age(_ seconds: UInt64) -> String {
      seconds < 60
        ? "\(seconds)s"
        : Quantity.duration(microseconds: seconds.multipliedReportingOverflow(by: 1_000_000).partialValue)
    }
    var lines = [
      ("node", "\(status.node), \(status.ready ? "ready" : "NOT READY")"),
      ("agent", "\(status.version), pid \(status.pid), up \(age(status.uptimeSeconds)), revision \(status.revision)"),
      (
        "control plane",
        "\(control.state.rawValue)" + (control.address.map { " to \($0)" } ?? "")
          + ", snapshot from \(control.snapshotSource), \(control.entries) entries, heard \(age(control.snapshotAgeSeconds)) ago"
          + (control.rejectedEntries > 0 ? ", \(control.rejectedEntries) REJECTED" : "")
          + (control.lastError.map { ", last error: \($0)" } ?? "")
      ),
      (
        "proxy",
        proxy.state == .unused
          ? "unused"
          : "\(proxy.state.rawValue)" + (proxy.pid > 0 ? ", pid \(proxy.pid)" : "")
            + (proxy.version.map { ", \($0)" } ?? "")
            + ", revision \(proxy.appliedRevision), \(proxy.restarts) restarts"
            + (proxy.upgrade.map { $0.replaced > 0 ? ", replaced \($0.replaced) times" : "" } ?? "")
      ),
      (
        "datapath",
        "generation \(datapath.generation), layout v\(datapath.layout), \(datapath.programs) programs, \(datapath.maps) maps, "
          + "\(datapath.enrolledWorkloads) workloads enrolled"
          + (datapath.quarantinedWorkloads > 0 ? ", \(datapath.quarantinedWorkloads) in QUARANTINE" : "")
          + (datapath.lostEvents > 0 ? ", \(datapath.lostEvents) events LOST" : "")
      ),
    ]
    if let upgrade = proxy.upgrade { lines += Self.upgrade(upgrade) }
    for check in status.health {
      lines.append(
        ("health", "\(check.state.rawValue)  \(check.name): \(check.message)" + (check.next.map { "; \($0)" } ?? "")))
    }
    for problem in status.problems {
      lines.append(("problem", "\(problem.object): \(problem.message)" + (problem.next.map { "; \($0)" } ?? "")))
    }
    return lines.map { name, text in
      Quantity.printable(name + String(repeating: " ", count: 15 - name.count) + text) + "\n"
    }.joined()
  }

  /// `martlet explain`: the verdict first, then how it comes about.
  static func explanation(_ report: ExplainReport) -> String {
    var verdict = report.verdict == .deny ? "REFUSED" : report.verdict == .allow ? "ALLOWED" : report.verdict.rawValue
    verdict += ", tier \(report.tier.rawValue)"
    if report.reason != .none { verdict += ", \(report.reason.rawValue): \(report.reason.explanation)" }
    if let policy = report.policy { verdict += ", by \(policy)" + (report.policyVersion.map { "@\($0)" } ?? "") }
    var text = "\(report.source) -> \(report.destination): \(verdict)\n"
    for (index, step) in report.steps.enumerated() { text += "  \(index + 1). \(step)\n" }
    if let request = report.request {
      let rule = request.rule.map {
        "\($0)" + (request.matches.isEmpty ? "" : " (\(request.matches.joined(separator: " | ")))")
      }
      text += "request: \(rule ?? "no rule")"
      if let status = request.status { text += ", answered by the node proxy: \(status) \(request.reason ?? "")" }
      text += "\n"
      for filter in request.filters { text += "  filter: \(filter)\n" }
    }
    if let server = report.server {
      text +=
        "server name \(server.name): \(server.rule.map { "\($0) (\(server.names.joined(separator: ", ")))" } ?? "no rule")"
      if let reason = server.reason { text += ", closed by the node proxy: \(reason)" }
      text += "\n"
    }
    if !report.endpoints.isEmpty {
      let table = TextTable(
        ["SHARE", "ENDPOINT", "WORKLOAD", "VERDICT", "REASON", "POLICY"],
        report.endpoints.map { choice in
          [
            "\(choice.percent)%", choice.address, choice.workload ?? "-", choice.verdict.rawValue,
            choice.reason == .none ? "-" : choice.reason.rawValue, choice.policy ?? "-",
          ]
        })
      text += table.text
    }
    if let next = report.reason.nextStep { text += "next: \(next)\n" }
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { Quantity.printable(String($0)) }
      .joined(separator: "\n")
  }
}
