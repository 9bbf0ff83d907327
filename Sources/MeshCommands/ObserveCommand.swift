import ArgumentParser
import MeshBase
import MeshTelemetry

struct ObserveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "observe", abstract: "Print connections as they are refused and closed.",
    discussion: """
      Without --follow: the last records that match (100, or --last). With it: what happens from now on, until interrupted; \
      with both, first the last ones. A record names tier, both ends, what was dialled, verdict, reason and the policy with \
      its version; bytes, duration, round-trip time and retransmits come when a connection closes. Where records were lost \
      because this reader was too slow, a line on standard error says how many.

      SRC and DST are NAMESPACE/NAME, NAMESPACE/, NAME, spiffe://ID, an address, ADDRESS:PORT or a prefix. -o json prints a \
      JSON object a line.

      EXAMPLES
        martlet observe --follow --verdict deny
        martlet observe --last 20 --source default/client --destination web -o json
      """)

  @Flag(name: .shortAndLong, help: "Go on with what happens, until interrupted.") var follow = false
  @Option(help: ArgumentHelp("Begin with the last N records that match.", valueName: "n")) var last: Int?
  @Option(help: ArgumentHelp("Only from there.", valueName: "src")) var source: String?
  @Option(help: ArgumentHelp("Only to there.", valueName: "dst")) var destination: String?
  @Option(help: ArgumentHelp("refused or closed.", valueName: "kind")) var kind: String?
  @Option(help: ArgumentHelp("allow or deny.", valueName: "verdict")) var verdict: String?
  @Option(help: ArgumentHelp("A reason's word, as in policy_denied.", valueName: "reason")) var reason: String?
  @Option(help: ArgumentHelp("Only to this service.", valueName: "service")) var service: String?
  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let last = self.last, !(0...1_000_000).contains(last) {
      throw ValidationError("--last takes a number from 0 to 1000000")
    }
    do {
      _ = try FlowFilter(
        source: self.source, destination: self.destination, kind: self.kind, verdict: self.verdict,
        reason: self.reason, service: self.service)
    } catch {
      throw ValidationError("--\(error)")
    }
  }

  func run() async throws {
    let client = AgentClient(socketPath: self.instance.socketPath)
    var records: [FlowRecord] = []
    let inTable = self.output.output == .table && !self.follow
    try await client.lines(
      "/v1/flows",
      query: [
        ("follow", self.follow ? "true" : nil), ("last", self.last.map { String($0) }), ("source", self.source),
        ("destination", self.destination), ("kind", self.kind), ("verdict", self.verdict), ("reason", self.reason),
        ("service", self.service),
      ]
    ) { line in
      switch try ReportCoding.decode(FlowLine.self, from: line) {
      case .missed(let count): Console.complain("martlet: \(count) records missed here: this reader is too slow")
      case .record(let record):
        if inTable {
          records.append(record)
        } else {
          switch self.output.output {
          case .table: Console.print(record.line)
          case .json: Console.print(String(decoding: line, as: UTF8.self))
          case .yaml: Console.print("---\n" + (try Presentation.yaml(record)))
          }
        }
      }
    }
    if inTable { Console.print(TextTable(FlowRecord.columns, records.map(\.cells)).text) }
  }
}
