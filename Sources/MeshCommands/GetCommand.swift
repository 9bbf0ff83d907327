import ArgumentParser
import Glibc
import MeshTelemetry

struct GetCommand: AsyncParsableCommand {
  enum Subject: String, ExpressibleByArgument, CaseIterable, Sendable {
    case workloads
  }

  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "List what the control plane knows of all nodes.",
    discussion: """
      workloads    every Workload: whether it is ready, and why not, as the agent of its node says

      Asks the control plane over its api.sock, so it runs on the control plane's host. martlet show lists what the agent of \
      this host knows. NAME filters by NAMESPACE/NAME, NAMESPACE/ or a part of the name.

      Reasons: Ready; NotEnrolled (its namespace, unit or cgroup is not there yet); EnrolmentFailed; CheckPending (its check \
      has not succeeded yet); CheckFailed; NoAgent, Unreported, NotWatched (nobody said anything: callers take it for ready). \
      Exit status: 1 nothing has that name, 3 the control plane cannot be reached.

      EXAMPLES
        martlet get workloads
        martlet get workloads shop/ -o json | jq '.[] | select(.ready == "no")'
      """)

  @Argument(help: "workloads.")
  var subject: Subject

  @Argument(help: ArgumentHelp("Only what has this name, or contains it.", valueName: "name"))
  var name: String?

  @Option(
    help: ArgumentHelp(
      "The control plane's api.sock (default: \(Self.usual.joined(separator: " or ")), whichever is there).",
      valueName: "path"))
  var apiSocket: String?

  @OptionGroup var output: OutputOptions

  /// As installed by the package, and as martlet-control makes it when nothing is said.
  private static let usual = ["/run/martlet-control/api.sock", "/run/martlet/api.sock"]

  func run() async throws {
    let path = self.apiSocket ?? Self.usual.first { access($0, F_OK) == 0 } ?? Self.usual[0]
    var reports = try await AgentClient.controlPlane(socketPath: path).get(
      [PlacedWorkloadReport].self, "/v1/\(self.subject.rawValue)")
    if let name = self.name {
      reports = reports.filter { name.contains("/") && !name.hasSuffix("/") ? $0.name == name : $0.name.contains(name) }
      if reports.isEmpty { throw StatusError(.no, "no \(self.subject.rawValue) named \(name)") }
    }
    Console.print(try Presentation.text(reports, self.output.output, table: Presentation.table))
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
