import ArgumentParser
import MeshTelemetry

struct GetCommand: AsyncParsableCommand {
  enum Subject: String, ExpressibleByArgument, CaseIterable, Sendable {
    case workloads
    case httproutes
    case grpcroutes
    case tcproutes
    case tlsroutes
    case trafficpolicies
  }

  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "List what the control plane knows of all nodes.",
    discussion: """
      workloads    every Workload: whether it is ready, and why not, as the agent of its node says
      httproutes, grpcroutes, tcproutes, tlsroutes
                   every route: its conditions for each Service that it names (Accepted, ResolvedRefs), and why not
      trafficpolicies
                   every TrafficPolicy, likewise

      Asks the control plane over its api.sock, so it runs on the control plane's host. martlet show lists what the agent of \
      this host knows. NAME filters by NAMESPACE/NAME, NAMESPACE/ or a part of the name.

      Reasons: Ready; NotEnrolled (its namespace, unit or cgroup is not there yet); EnrolmentFailed; CheckPending (its check \
      has not succeeded yet); CheckFailed; NoAgent, Unreported, NotWatched (nobody said anything: callers take it for ready). \
      Exit status: 1 nothing has that name, 3 the control plane cannot be reached.

      EXAMPLES
        martlet get workloads
        martlet get workloads shop/ -o json | jq '.[] | select(.ready == "no")'
        martlet get httproutes shop/canary -o yaml
      """)

  @Argument(help: "workloads, httproutes, grpcroutes, tcproutes, tlsroutes or trafficpolicies.")
  var subject: Subject

  @Argument(help: ArgumentHelp("Only what has this name, or contains it.", valueName: "name"))
  var name: String?

  @OptionGroup var control: ControlOptions

  @OptionGroup var output: OutputOptions

  func run() async throws {
    switch self.subject {
    case .workloads:
      let reports = try await self.reports(PlacedWorkloadReport.self) { $0.name }
      Console.print(try Presentation.text(reports, self.output.output, table: Presentation.table))
    case .httproutes, .grpcroutes, .tcproutes, .tlsroutes, .trafficpolicies:
      let reports = try await self.reports(RouteReport.self) { $0.name }
      Console.print(
        try Presentation.text(reports, self.output.output) {
          Presentation.table($0.flatMap { RouteLine.lines(of: $0) })
        })
    }
  }

  private func reports<Report: Decodable & Sendable>(
    _ type: Report.Type, name: (Report) -> String
  ) async throws -> [Report] {
    let reports = try await self.control.client.get(
      [Report].self, "/v1/\(self.subject.rawValue)")
    guard let wanted = self.name else { return reports }
    let found = reports.filter {
      wanted.contains("/") && !wanted.hasSuffix("/") ? name($0) == wanted : name($0).contains(wanted)
    }
    if found.isEmpty { throw StatusError(.no, "no \(self.subject.rawValue) named \(wanted)") }
    return found
  }
}

/// A route, or a policy, and one of its parents.
struct RouteLine: TableReport {
  static var columns: [String] { ["NAME", "PARENT", "ACCEPTED", "RESOLVEDREFS", "MESSAGE"] }

  var cells: [String]

  static func lines(of route: RouteReport) -> [RouteLine] {
    let problem = route.problem.map { [$0] } ?? []
    guard !route.status.targets.isEmpty else {
      return [RouteLine(cells: [route.name, "-", "False", "-", problem.first ?? "-"])]
    }
    return route.status.targets.map { parent in
      let reference = parent.parentRef
      let place = [reference.port.map { ":\($0)" } ?? "", reference.sectionName.map { "#\($0)" } ?? ""].joined()
      func told(_ type: String) -> String {
        parent.conditions.first { $0.type == type }.map { $0.status == "True" ? "True" : $0.reason } ?? "-"
      }
      let messages = problem + parent.conditions.map(\.message).filter { !$0.isEmpty }
      return RouteLine(cells: [
        route.name, "\(reference.namespace)/\(reference.name)\(place)", told("Accepted"), told("ResolvedRefs"),
        messages.isEmpty ? "-" : messages.joined(separator: "; "),
      ])
    }
  }
}

extension PlacedWorkloadReport: TableReport {
  package static var columns: [String] { ["NAME", "NODE", "READY", "REASON", "ADDRESSES", "SINCE"] }

  package var cells: [String] {
    [
      self.name, self.node + (self.agentConnected ? "" : " (agent away)"), self.ready.rawValue, self.explanation,
      self.addresses.isEmpty ? "-" : self.addresses.joined(separator: ","), self.since.map { "\($0)" } ?? "-",
    ]
  }
}
