import ArgumentParser
import MeshBase
import MeshTelemetry

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Say whether the mesh works on this host, and what is wrong if not.",
    discussion: """
      Exit status 0 means ready and no failed check; 1 means that something needs attention: the lines "health fail" and \
      "problem" name it and the next step.

      EXAMPLE
        martlet status -o json | jq .controlPlane.state
      """)

  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let status = try await AgentClient(socketPath: self.instance.socketPath).get(AgentStatus.self, "/v1/status")
    Console.print(try Presentation.text(status, self.output.output, table: Presentation.status))
    guard status.ready, !status.health.contains(where: { $0.state == .fail }) else { throw StatusError(.no) }
  }
}

struct ShowCommand: AsyncParsableCommand {
  enum Subject: String, ExpressibleByArgument, CaseIterable, Sendable {
    case workloads
    case services
    case routes
    case endpoints
    case policies
    case connections
    case certificates
    case programs
    case maps
  }

  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "List what the agent knows.",
    discussion: """
      workloads    who is in the mesh: identity, addresses, policies; whether this host has enrolled its own
      services     what is called: addresses, ports with protocol and tier, endpoints that are ready
      routes       rules for requests, as the node proxy of this host obeys them: match, filters, backends with weights
      endpoints    who of a service is healthy, ejected, starting or not ready, and why, as the node proxy sees it
      policies     what protects whom, in which version
      connections  what is open now
      certificates who of this host has a certificate: its number, and until when
      programs     BPF programs: runs, time a run (with sysctl kernel.bpf_stats_enabled=1), verified instructions
      maps         BPF maps and how full they are

      -o json has more fields than the table. NAME filters by NAMESPACE/NAME, NAMESPACE/ or a part of the name.

      EXAMPLES
        martlet show services default/web -o yaml
        martlet show workloads default/
      """)

  @Argument(help: "workloads, services, routes, endpoints, policies, connections, certificates, programs or maps.")
  var subject: Subject

  @Argument(help: ArgumentHelp("Only what has this name, or contains it.", valueName: "name"))
  var name: String?

  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    switch self.subject {
    case .workloads: try await self.show(WorkloadReport.self) { [$0.name] }
    case .services: try await self.show(ServiceReport.self) { [$0.name] }
    case .routes: try await self.show(RuleReport.self) { [$0.service, $0.route] }
    case .endpoints:
      try await self.show(EndpointReport.self) { [$0.service, $0.workload ?? "", $0.target ?? "", $0.state.rawValue] }
    case .policies: try await self.show(PolicyReport.self) { [$0.name] }
    case .connections:
      try await self.show(ConnectionReport.self) {
        [$0.source.label, $0.destination.label, $0.service ?? ""]
      }
    case .certificates: try await self.show(CertificateReport.self) { [$0.identity, $0.serial ?? ""] }
    case .programs: try await self.show(ProgramReport.self) { [$0.name] }
    case .maps: try await self.show(MapReport.self) { [$0.name] }
    }
  }

  private func show<Report: TableReport>(_: Report.Type, names: (Report) -> [String]) async throws {
    let client = AgentClient(socketPath: self.instance.socketPath)
    var reports = try await client.get([Report].self, "/v1/\(self.subject.rawValue)")
    if let name = self.name {
      reports = reports.filter { report in
        names(report).contains { name.contains("/") && !name.hasSuffix("/") ? $0 == name : $0.contains(name) }
      }
      if reports.isEmpty { throw StatusError(.no, "no \(self.subject.rawValue) named \(name)") }
    }
    Console.print(try Presentation.text(reports, self.output.output, table: Presentation.table))
  }
}

struct ExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "Say what would happen to a connection, and which rule decides.",
    discussion: """
      SRC is NAMESPACE/NAME, NAME (namespace default) or an address. DST:PORT is a service or workload as \
      NAMESPACE/NAME:PORT or NAME.NAMESPACE:PORT, or ADDRESS:PORT. Nothing is dialled: the answer is computed from what \
      the agent enforces now. Exit status 1: the connection would be refused.

      --method, --path, --host and --header (any of them) ask about a request: which rule of which route takes it, and \
      where it goes. Exit status 1 as well if the node proxy would answer it with an error. --sni asks the same about \
      a TLS connection to a port with TLSRoutes, by the server name in its ClientHello.

      EXAMPLES
        martlet explain default/client default/web:80
        martlet explain 192.0.2.7 10.0.0.2:8080
        martlet explain default/client default/web:80 --path /cart --header x-canary=yes
        martlet explain default/client default/web:443 --sni www.example.com
      """)

  @Argument(help: ArgumentHelp("Who dials.", valueName: "src"))
  var source: String

  @Argument(help: ArgumentHelp("What is dialled.", valueName: "dst:port"))
  var destination: String

  @Option(help: "Of a request: its method. Default GET.") var method: String?
  @Option(help: "Of a request: its path, with ?QUERY if it has one. Default /.") var path: String?
  @Option(help: "Of a request: its host. Default: DST.") var host: String?
  @Option(
    name: .customLong("header"), help: ArgumentHelp("Of a request: a field; several times.", valueName: "name=value"))
  var headers: [String] = []
  @Option(
    name: .customLong("sni"), help: ArgumentHelp("Of a TLS connection: the server name it asks for.", valueName: "name")
  )
  var serverName: String?

  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  private func request() throws(MeshError) -> ExplainRequest? {
    guard self.method != nil || self.path != nil || self.host != nil || !self.headers.isEmpty else { return nil }
    return try ExplainRequest(method: self.method, path: self.path, host: self.host, headers: self.headers)
  }

  func run() async throws {
    // The agent parses again; this says what is wrong without one.
    var question = try ExplainQuestion(source: self.source, destination: self.destination)
    if let serverName { try question.ask(serverName: serverName) }
    let request = try self.request()
    let report = try await AgentClient(socketPath: self.instance.socketPath).get(
      ExplainReport.self, "/v1/explain",
      query: [("source", self.source), ("destination", self.destination), ("sni", question.serverName)]
        + (request?.query ?? []))
    Console.print(try Presentation.text(report, self.output.output, table: Presentation.explanation))
    let isAnswered = (report.request?.status ?? 0) >= 400
    if report.verdict == .deny || report.reason != .none || isAnswered { throw StatusError(.no) }
  }
}

struct LogLevelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log-level", abstract: "Change the level of the agent's log until it is restarted.",
    discussion: """
      LEVEL is trace, debug, info, notice, warning, error or critical.

      EXAMPLE
        martlet log-level debug
      """)

  @Argument(help: "The new level.") var level: String
  @OptionGroup var instance: InstanceOptions

  func run() async throws {
    guard let level = LogLevelWord(rawValue: self.level), level != .unknown else {
      throw ValidationError("\(self.level) is not trace, debug, info, notice, warning, error or critical")
    }
    _ = try await AgentClient(socketPath: self.instance.socketPath).bytes(
      .post, "/v1/log-level", query: [("level", level.rawValue)])
    Console.print("log level is \(level.rawValue)")
  }
}
