import ArgumentParser
import MeshBase
import MeshTelemetry

struct CACommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ca", abstract: "See and change the mesh's certificate authority.",
    discussion: """
      Asks the control plane over its api.sock, so it runs on the control plane's host.

      EXAMPLES
        martlet ca show
        martlet ca rotate
        martlet ca revoke 4f1c…
      """,
    subcommands: [Show.self, Rotate.self, Abort.self, Revoke.self], defaultSubcommand: Show.self)

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Which roots are trusted, and which one signs.",
      discussion: """
        EXAMPLES
          martlet ca show -o json | jq -r '.roots[] | select(.signs).fingerprint'
        """)

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      let report = try await self.control.client.get(AuthorityReport.self, "/v1/ca")
      Console.print(try Presentation.text(report, self.output.output) { CACommand.text($0) })
    }
  }

  struct Rotate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rotate", abstract: "Put a new root in the present one's place, in steps.",
      discussion: """
        First every node trusts both; when all that are connected say so, and --spread is over, the new root signs and every \
        node renews; a day later, when nothing is left that the old one signed, it goes. No handshake fails. A node that was \
        away for all of that joins again with a new token.

        EXAMPLES
          martlet ca rotate
          martlet ca rotate --spread 10m
        """)

    @Option(
      help: ArgumentHelp(
        "For how long both are trusted at least before the new one signs: a number with s, m, h or d (default: 1h).",
        valueName: "time"))
    var spread: String?

    @OptionGroup var control: ControlOptions

    func validate() throws {
      guard self.spread.map({ Seconds($0) != nil }) ?? true else {
        throw ValidationError("--spread \(self.spread ?? "") is not a number with s, m, h or d, as in 90m")
      }
    }

    func run() async throws {
      let seconds = self.spread.flatMap { Seconds($0) }?.count
      let bytes = try await self.control.client.bytes(
        .post, "/v1/ca/rotate", query: [("spread", seconds.map { "\($0)" })])
      Console.print(CACommand.text(try ReportCoding.decode(AuthorityReport.self, from: bytes)))
    }
  }

  struct Abort: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "abort", abstract: "Take a rotation back, as long as the new root does not sign.",
      discussion: """
        EXAMPLES
          martlet ca abort
        """)

    @OptionGroup var control: ControlOptions

    func run() async throws {
      let bytes = try await self.control.client.bytes(.post, "/v1/ca/abort")
      Console.print(CACommand.text(try ReportCoding.decode(AuthorityReport.self, from: bytes)))
    }
  }

  struct Revoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "revoke", abstract: "Let a certificate be accepted no more, and cut what it opened.",
      discussion: """
        The serial number is that of martlet show certificates. A node whose certificate is revoked gets the next one all the \
        same, unless it is put out with --node.

        EXAMPLES
          martlet ca revoke 4f1c0a…
          martlet ca revoke --node host-b 4f1c0a…
        """)

    @Argument(help: ArgumentHelp("The certificate's number, in hex digits.", valueName: "serial"))
    var serial: String

    @Option(
      help: ArgumentHelp("Also put this node out: it gets no certificate without a new token.", valueName: "name"))
    var node: String?

    @OptionGroup var control: ControlOptions

    func run() async throws {
      let bytes = try await self.control.client.bytes(
        .post, "/v1/ca/revoke", query: [("serial", self.serial), ("node", self.node)])
      Console.print(CACommand.text(try ReportCoding.decode(AuthorityReport.self, from: bytes)))
    }
  }

  private static func text(_ report: AuthorityReport) -> String {
    var lines = [
      "trust domain   \(report.trustDomain) (\(report.source))",
      "rotation       \(report.rotation)" + (report.rotationSince.map { " since \($0)" } ?? ""),
      "signs until    \(report.signingNotAfter)",
      "issued         \(report.issued) since the control plane started, \(report.revoked) revoked",
    ]
    for (reason, count) in report.refused.sorted(by: { $0.key < $1.key }) {
      lines.append("refused        \(count) \(reason)")
    }
    for root in report.roots {
      lines.append("root           \(root.fingerprint) until \(root.notAfter)" + (root.signs ? ", signs" : ""))
    }
    return lines.joined(separator: "\n")
  }
}
