import Logging
import MeshBase
import MeshLink
import MeshLinux
import MeshWire

/// The sockets in the run directory, and its other files. Somebody who empties `/run` takes the names away, not the
/// sockets: connections go on, but nobody new finds them. So they are looked at, and made again.
actor AgentSockets {
  private let agent: Agent
  private let link: ProxyLinkServer
  private let http: AgentHTTP
  private let logger: Logger
  /// The first is the one of `agent.sock`.
  private var servers: [ReportServer] = []

  init(agent: Agent, link: ProxyLinkServer, http: AgentHTTP, logger: Logger) {
    self.agent = agent
    self.link = link
    self.http = http
    self.logger = logger
  }

  func open() async throws {
    try await self.link.start()
    self.servers = try await self.http.start()
  }

  /// One look. What cannot be made is told, and tried again with the next.
  func keep() async {
    do {
      var made: [String] = []
      if try self.agent.runDirectory.repair() { made.append(self.agent.runDirectory.path) }
      if try self.agent.cgroups.repair(in: self.agent.runDirectory.path) { made.append(InstanceCgroups.fileName) }
      made += try await self.link.repair()
      if let commands = self.servers.first, !commands.isReachable {
        let fresh = try await self.http.startCommands()
        await commands.stopListening()
        self.servers[0] = fresh
        made.append(self.agent.configuration.agentSocket)
      }
      for path in made {
        self.logger.error("somebody removed it: it is made again", metadata: [LogKey.path: "\(path)"])
      }
      await self.agent.report("run directory cannot be repaired", nil)
    } catch {
      await self.agent.report(
        "run directory cannot be repaired",
        error as? MeshError
          ?? MeshError(
            .unavailable, self.agent.runDirectory.path, "cannot be repaired", cause: "\(error)",
            next: "make the directory; the agent goes on trying"))
    }
  }

  func close() async {
    for server in self.servers { await server.stop() }
    await self.link.stop()
  }
}
