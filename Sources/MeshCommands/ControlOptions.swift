import ArgumentParser
import Glibc

/// Where the control plane of this host answers.
struct ControlOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The control plane's api.sock (default: \(Self.usual.joined(separator: " or ")), whichever is there).",
      valueName: "path"))
  var apiSocket: String?

  /// As installed by the package, and as martlet-control makes it when nothing is said.
  private static let usual = ["/run/martlet-control/api.sock", "/run/martlet/api.sock"]

  var client: AgentClient {
    AgentClient.controlPlane(
      socketPath: self.apiSocket ?? Self.usual.first { access($0, F_OK) == 0 } ?? Self.usual[0])
  }
}
