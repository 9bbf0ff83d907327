import ArgumentParser
import MeshBase
import MeshTelemetry

struct TopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Say what each workload's calls cost this host's node proxy.",
    discussion: """
      Asks the agent at the beginning and at the end of each interval and prints what came in between, the most expensive \
      workload first: processor time of the proxy's loops (100 % is one processor), requests and bytes in a second (of all \
      tiers; sent is from the caller), and the connections and their memory that the proxy holds now. The proxy tells its costs \
      each second. The same as totals are metrics: martlet_workload_proxy_cpu_seconds_total and its neighbours.

      -o json and -o yaml give one object for each interval.

      EXAMPLES
        martlet top
        martlet top --interval 10 --count 1 -o json
      """)

  @Option(help: ArgumentHelp("Length of an interval, 1 to 3600.", valueName: "seconds")) var interval: Int = 2
  @Option(help: ArgumentHelp("How many intervals; 0: until it is interrupted.", valueName: "n")) var count: Int = 1
  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...3600).contains(self.interval) else { throw ValidationError("--interval is 1 to 3600 seconds") }
    guard (0...1_000_000).contains(self.count) else { throw ValidationError("--count is 0 to 1000000") }
  }

  func run() async throws {
    let client = AgentClient(socketPath: self.instance.socketPath)
    var last = try await client.get(TopReport.self, "/v1/top")
    var turn = 0
    while self.count == 0 || turn < self.count {
      try await Task.sleep(for: .seconds(self.interval))
      let now = try await client.get(TopReport.self, "/v1/top")
      Console.print(try Presentation.text(now.rates(since: last), self.output.output, table: Presentation.top))
      last = now
      turn += 1
    }
  }
}

extension Presentation {
  static func top(_ rates: [TopReport.Rate]) -> String {
    guard !rates.isEmpty else { return "no workload has called yet\n" }
    return TextTable(
      ["WORKLOAD", "CPU", "REQUESTS/S", "SENT/S", "RECEIVED/S", "CONNECTIONS", "MEMORY"],
      rates.map { rate in
        [
          rate.workload, Self.tenths(rate.cpuPercent) + "%", Self.tenths(rate.requests),
          Quantity.bytes(UInt64(rate.sentBytes)), Quantity.bytes(UInt64(rate.receivedBytes)), "\(rate.connections)",
          Quantity.bytes(rate.memoryBytes),
        ]
      }
    ).text
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
