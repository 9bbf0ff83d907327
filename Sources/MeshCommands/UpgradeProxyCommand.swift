import ArgumentParser
import Foundation
import MeshBase
import MeshTelemetry

struct UpgradeProxyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade-proxy", abstract: "Put a new node proxy in the place of the one that runs, without a gap.",
    discussion: """
      The new proxy is started beside the old one. When it has the snapshot both accept; then the old one accepts no more, \
      finishes what is open (martletd --drain-timeout, 5 minutes) and ends. A new one that ends, or does not accept within \
      10 s, is given up, and the old one serves on.

      Nothing happens if the proxy that serves runs that very file already. An agent that starts does the same by itself. \
      --binary holds until the agent's next start.

      Exit status: 0 it serves, 1 it was given up (the cause is printed), 3 the agent cannot be reached.

      EXAMPLES
        martlet upgrade-proxy
        martlet upgrade-proxy --binary /opt/martlet-next/martlet-proxy
      """)

  @Option(help: ArgumentHelp("The program (default: what martletd --proxy says).", valueName: "file"))
  var binary: String?

  @Flag(help: "Also if the proxy that serves runs that very file.")
  var force = false

  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let bytes = try await AgentClient(socketPath: self.instance.socketPath).bytes(
      .post, "/v1/proxy/upgrade",
      query: [
        ("binary", self.binary.map { AbsolutePath.of($0, in: FileManager.default.currentDirectoryPath) }),
        ("force", self.force ? "true" : nil),
      ])
    let status = try ReportCoding.decode(ProxyUpgradeStatus.self, from: bytes)
    Console.print(
      try Presentation.text(status, self.output.output) {
        Presentation.upgrade($0).map { "\($0.1)\n" }.joined()
      })
    if status.state == .givenUp { throw StatusError(.no) }
  }
}

extension Presentation {
  /// Lines of name and text; none if nothing happened yet.
  static func upgrade(_ status: ProxyUpgradeStatus) -> [(String, String)] {
    var lines: [(String, String)] = []
    let what = "pid \(status.pid)" + (status.binary.map { ", \($0)" } ?? "")
    switch status.state {
    case .none, .unknown: break
    case .preparing: lines.append(("new proxy", "\(what): starts"))
    case .takingOver: lines.append(("new proxy", "\(what): takes over"))
    case .replaced: lines.append(("new proxy", "\(what): serves"))
    case .unneeded: lines.append(("new proxy", "none: \(what) serves already"))
    case .givenUp:
      lines.append(("new proxy", "\(what): GIVEN UP, the old one serves on: \(status.cause ?? "no cause was told")"))
    }
    for one in status.draining {
      lines.append(
        (
          "draining",
          "pid \(one.pid)" + (one.connections.map { ", \($0) connections" } ?? "")
            + ", at most \(one.secondsLeft) s more"
        ))
    }
    return lines
  }
}
