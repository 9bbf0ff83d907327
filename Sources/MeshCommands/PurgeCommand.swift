import ArgumentParser
import MeshBase
import MeshTelemetry

struct PurgeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "purge", abstract: "Remove what a stopped or killed agent left on this host.",
    discussion: """
      Removes the pins below --pin-dir (which detaches programs held by pinned links), the sockets in --run-dir, and the \
      cgroups of agent and proxy: those named with --agent-cgroup and --proxy-cgroup, else those that the agent noted in \
      --run-dir. Kills nothing but what still runs in the proxy's. Traffic is no longer decided by the mesh afterwards. \
      Refuses while an agent answers on agent.sock.

      EXAMPLES
        martlet purge --dry-run
        martlet purge --run-dir /run/martlet-2 --pin-dir /sys/fs/bpf/martlet-2
      """)

  @OptionGroup var instance: InstanceOptions
  @OptionGroup var datapath: DatapathOptions
  @Option(help: ArgumentHelp("Cgroup of this instance's agent (default: as noted by it).", valueName: "dir"))
  var agentCgroup: String?
  @Option(
    help: ArgumentHelp(
      "Cgroup of this instance's proxy; what runs in it is killed (default: as noted by the agent).", valueName: "dir"))
  var proxyCgroup: String?
  @Flag(help: "Print what would be done.") var dryRun = false

  func run() async throws {
    let client = AgentClient(socketPath: self.instance.socketPath)
    if !self.dryRun, let status = try? await client.get(AgentStatus.self, "/v1/status") {
      throw MeshError(
        .conflict, self.instance.socketPath, "an agent answers, pid \(status.pid)",
        next: "systemctl stop martletd first")
    }
    var purge = Purge(
      pinDir: self.datapath.pinDir, runDir: self.instance.runDir, agentCgroup: self.agentCgroup,
      proxyCgroup: self.proxyCgroup, dryRun: self.dryRun)
    purge.run()
    for line in purge.done { Console.print((self.dryRun ? "would " : "") + line) }
    for problem in purge.problems { Console.complain("martlet: \(problem)") }
    if purge.done.isEmpty, purge.problems.isEmpty { Console.print("nothing to remove") }
    if !purge.problems.isEmpty { throw StatusError(.no) }
  }
}
