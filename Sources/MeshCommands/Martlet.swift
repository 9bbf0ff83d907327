package import ArgumentParser
import MeshBase

/// The root of the command line.
package struct Martlet: AsyncParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "martlet",
    abstract: "The command line of the Martlet service mesh.",
    discussion: """
      Most commands ask the agent of this host over agent.sock in --run-dir, and need root. check, verify, attach, \
      detach, purge, dryrun, bench, enroll and unenroll work without an agent; get, token and ca ask the control plane.

      Exit status: 0 yes, 1 the answer is no or the command failed, 2 wrong command line, 3 agent or control plane cannot be reached.

      EXAMPLES
        martlet check                                  is this host fit?
        martlet status                                 does the mesh work here?
        martlet explain default/client web.default:80  what would happen, and which rule decides?
        martlet observe --follow --verdict deny        what is refused, and why?
      """,
    version: MeshBase.version,
    groupedSubcommands: [
      CommandGroup(
        name: "See",
        subcommands: [
          StatusCommand.self, ShowCommand.self, TopCommand.self, ObserveCommand.self, ExplainCommand.self,
          LogLevelCommand.self,
          BugReportCommand.self,
        ]),
      CommandGroup(
        name: "Host",
        subcommands: [
          CheckCommand.self, BenchCommand.self, HostsCommand.self, UpgradeProxyCommand.self, PurgeCommand.self,
        ]),
      CommandGroup(
        name: "Enrol, without a race at start",
        subcommands: [EnrollCommand.self, UnenrollCommand.self, WaitCommand.self, OCIHookCommand.self]),
      CommandGroup(
        name: "Programs, by hand", subcommands: [AttachCommand.self, DetachCommand.self, VerifyCommand.self]),
      CommandGroup(name: "Resources", subcommands: [GetCommand.self, DryRunCommand.self]),
      CommandGroup(name: "Hosts and certificates", subcommands: [TokenCommand.self, CACommand.self]),
      CommandGroup(name: "Other", subcommands: [VersionCommand.self]),
    ])

  /// Names of all verbs.
  static var verbs: [String] {
    self.configuration.groupedSubcommands.flatMap(\.subcommands).compactMap { $0.configuration.commandName }
  }

  package init() {}
}

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version of this command.",
    discussion: "The agent's and the proxy's versions are in martlet status.")

  func run() { Console.print("martlet \(MeshBase.version)") }
}
