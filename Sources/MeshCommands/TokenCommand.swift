import ArgumentParser
import MeshBase
import MeshTelemetry

struct TokenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Let another host join the mesh.",
    discussion: """
      A token is a secret: whoever has it can join under the node's name, once. Give it to the host in a file that only root may \
      read. Asks the control plane over its api.sock, so it runs on the control plane's host.

      EXAMPLES
        martlet token create --node host-b > /etc/martlet/join-token
        martlet token create --node host-b --ttl 10m -o json
      """,
    subcommands: [Create.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "create", abstract: "Make a token that lets one host in, once.",
      discussion: """
        Prints the token, and nothing else; it is not shown again. The host starts its agent with --control-plane \
        ADDRESS:PORT --join-token-file FILE.

        EXAMPLES
          martlet token create --node host-b --ttl 1h
        """)

    @Option(help: ArgumentHelp("The name under which the host joins: its martletd's --node.", valueName: "name"))
    var node: String

    @Option(help: ArgumentHelp("How long the token is good: a number with s, m, h or d.", valueName: "time"))
    var ttl = "1h"

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
      guard Seconds(self.ttl) != nil else {
        throw ValidationError("--ttl \(self.ttl) is not a number with s, m, h or d, as in 90m")
      }
    }

    func run() async throws {
      let bytes = try await self.control.client.bytes(
        .post, "/v1/tokens", query: [("node", self.node), ("seconds", Seconds(self.ttl).map { "\($0.count)" })])
      let report = try ReportCoding.decode(TokenReport.self, from: bytes)
      guard self.output.output != .table else { return Console.print(report.token) }
      Console.print(try Presentation.text(report, self.output.output) { $0.token })
    }
  }
}

/// `90`, `90s`, `15m`, `1h`, `7d`.
struct Seconds {
  let count: Int

  init?(_ text: String) {
    let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    let unit = text.last.flatMap { units[$0] }
    guard let number = Int(unit == nil ? text : String(text.dropLast())), number >= 0 else { return nil }
    let (count, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
    guard !overflow else { return nil }
    self.count = count
  }
}
