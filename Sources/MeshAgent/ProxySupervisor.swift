import Logging
import MeshBase
import MeshLink
import MeshLinux
import MeshTelemetry

/// Starts the proxy, watches it, starts it again, and replaces it by another one without a gap. Does what
/// `ProxyGenerations` decides. Proxies that an earlier agent left running are taken over.
actor ProxySupervisor {
  struct Status: Sendable {
    var pid: Int32?
    var restarts: Int
    var isWaiting: Bool
    var upgrade: ProxyUpgradeStatus
  }

  let configuration: AgentConfiguration
  let cgroup: Cgroup
  let user: ChildProcess.User
  let logger: Logger
  nonisolated let roles = ProxyRoles()
  var link: ProxyLinkServer?
  /// Hands the listeners to the proxy that serves.
  var handOver: @Sendable () async -> Void = {}
  var machine: ProxyGenerations
  var processes: [Int32: ProcessHandle] = [:]
  /// What a proxy of ours is started from: the option's, until another one was put in its place.
  var executable: String
  /// The program of the last proxy that served, held open; and the file that was given up, which is not started again.
  var lastGood: HeldProgram?
  var isWorse: FileID?
  /// The one under way, or the last.
  var upgrade = ProxyUpgradeStatus()
  var waiters: [CheckedContinuation<ProxyUpgradeStatus, Never>] = []
  var connections: [Int32: UInt64] = [:]
  private var isStopped = false
  /// Rings when there is a deadline.
  let deadlines = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

  init(_ configuration: AgentConfiguration, cgroup: Cgroup, user: ChildProcess.User, logger: Logger) {
    self.configuration = configuration
    self.cgroup = cgroup
    self.user = user
    self.logger = logger
    self.executable = configuration.proxyExecutable
    self.machine = ProxyGenerations(drainMilliseconds: Int64(configuration.drainSeconds) * 1000)
  }

  var status: Status {
    let waiting = if case .waiting = self.machine.restart.phase { true } else { false }
    return Status(
      pid: self.machine.serving, restarts: self.machine.restart.restarts, isWaiting: waiting,
      upgrade: self.upgradeStatus)
  }

  /// Before the link opens: who of those that are there is what.
  func adopt(_ found: FoundProxies, link: ProxyLinkServer, handOver: @escaping @Sendable () async -> Void) async {
    self.link = link
    self.handOver = handOver
    for process in [found.serving].compactMap({ $0 }) + found.older + found.newer { self.watch(process) }
    if let serving = found.serving {
      self.logger.info("proxy adopted", metadata: [LogKey.process: "\(serving.pid)"])
      self.keepProgram(of: serving.pid)
    }
    for process in found.older { self.roles.set(self.drainingRole, of: process.pid) }
    for process in found.newer { self.roles.set(.candidate, of: process.pid) }
    self.pending = self.machine.start(at: Self.now, found: found.numbers)
  }

  /// What `adopt` led to, until the sockets are there.
  private var pending: [ProxyGenerations.Action] = []

  /// Runs until the task is cancelled. The proxies stay: they serve on while the agent is away. Sleeps while there is no
  /// deadline; whatever makes one goes through `perform`.
  func run() async {
    await self.perform(self.pending)
    self.pending = []
    for await _ in self.deadlines.stream {
      while !Task.isCancelled, self.machine.nextDeadline != nil {
        try? await Task.sleep(for: .milliseconds(100))
        guard !Task.isCancelled else { break }
        await self.perform(self.machine.passed(Self.now))
      }
    }
    self.isStopped = true
  }

  // MARK: processes

  func watch(_ process: ProcessHandle) {
    self.processes[process.pid] = process
    do throws(MeshError) {
      try process.onExit { Task { await self.ended(process.pid, "it ended") } }
    } catch {
      self.logger.error("proxy cannot be watched", metadata: [LogKey.error: "\(error)"])
    }
  }

  func ended(_ process: Int32, _ how: String) async {
    guard self.processes.removeValue(forKey: process) != nil, !self.isStopped else { return }
    self.roles.set(nil, of: process)
    self.connections[process] = nil
    let isExpected = self.machine.draining[process]?.isConfirmed ?? false
    self.logger.log(
      level: isExpected ? .info : .error, "proxy ended",
      metadata: [LogKey.process: "\(process)", LogKey.reason: "\(how)"])
    await self.perform(self.machine.ended(process, how, at: Self.now))
    // Connections wait meanwhile: not for the next look.
    guard case .waiting(let until) = self.machine.restart.phase else { return }
    try? await Task.sleep(for: .milliseconds(max(0, until - Self.now)))
    guard !self.isStopped else { return }
    await self.perform(self.machine.passed(Self.now))
  }

  /// A proxy of this program, or of the last good one if the file was given up.
  func spawn(role: ProxyRole?, _ executable: String) throws(MeshError) -> Int32 {
    var path = executable
    if role == nil, let worse = self.isWorse, self.lastGood != nil, (try? DiskFile.status(executable))?.id == worse {
      // The descriptor is closed at exec, after the kernel has opened the program by it.
      path = self.lastGood.map { "/proc/self/fd/\($0.file.rawValue)" } ?? executable
    }
    var child = ChildProcess.Configuration(
      path,
      [
        "--run-dir", self.configuration.runDirectory, "--drain-timeout", String(self.configuration.drainSeconds),
      ] + (self.configuration.proxyLoops > 0 ? ["--loops", String(self.configuration.proxyLoops)] : [])
        + (self.configuration.proxyParsesHTTP ? [] : ["--no-http"]) + self.configuration.proxyRequestOptions
        + (self.configuration.linkProtocol == LinkCodec.protocolVersion
          ? [] : ["--link-protocol", String(self.configuration.linkProtocol)]))
    self.prepareAccessLog()
    child.cgroup = self.cgroup
    child.user = self.user
    child.noNewPrivileges = true
    let process: ChildProcess
    if let role {
      var started: ChildProcess?
      try self.roles.start(role) { () throws(MeshError) -> Int32 in
        let process = try ChildProcess.spawn(child)
        started = process
        return process.pid
      }
      guard let started else { throw MeshError(.internal, path, "was not started") }
      process = started
    } else {
      process = try ChildProcess.spawn(child)
    }
    self.processes[process.pid] = process.handle
    try process.onExit { how in Task { await self.ended(process.pid, "\(how)") } }
    return process.pid
  }

  func keepProgram(of process: Int32) {
    guard let handle = self.processes[process] else { return }
    do throws(MeshError) {
      self.lastGood = HeldProgram(try handle.openProgram())
    } catch {
      self.logger.warning("the proxy's program cannot be kept", metadata: [LogKey.error: "\(error)"])
    }
  }

  var drainingRole: ProxyRole { .draining(milliseconds: UInt64(self.configuration.drainSeconds) * 1000) }

  static var now: Int64 { MonotonicClock.milliseconds }
}

/// A program that can be started while its file has no name any more.
final class HeldProgram: Sendable {
  let file: Descriptor

  init(_ file: consuming Descriptor) { self.file = file }
}
