import Glibc
import Logging
import MeshBase
import MeshLink
import MeshLinux
import MeshTelemetry

/// Replacing the proxy: what is asked, what the proxies say, what is done.
extension ProxySupervisor {
  /// Puts a proxy of this program in the place of the one that serves, and waits until it serves or was given up. Nil:
  /// the program of the option. Unless `isForced`, nothing happens if the one that serves is of that very file.
  func replace(by binary: String?, isForced: Bool) async throws(MeshError) -> ProxyUpgradeStatus {
    let path = binary ?? self.configuration.proxyExecutable
    guard let file = try DiskFile.status(path) else {
      throw MeshError(.notFound, path, "is not there", next: "install it, or give another one with --binary")
    }
    if !isForced, self.machine.upgrade == .none, let serving = self.machine.serving,
      self.processes[serving]?.program == file.id
    {
      var status = self.upgradeStatus
      status.state = .unneeded
      status.pid = UInt32(clamping: serving)
      return status
    }
    guard let actions = self.machine.replace() else {
      throw MeshError(.conflict, "proxy", "is being replaced already", next: "ask again in some seconds")
    }
    return await withCheckedContinuation { continuation in
      self.waiters.append(continuation)
      self.begin(path, actions)
    }
  }

  /// A proxy that an earlier agent started is replaced if its program is not what this agent would start.
  func replaceIfChanged() {
    guard let serving = self.machine.serving, let running = self.processes[serving]?.program,
      let file = (try? DiskFile.status(self.configuration.proxyExecutable)) ?? nil, file.id != running,
      let actions = self.machine.replace()
    else { return }
    self.logger.notice(
      "the proxy runs another program than is installed: it is replaced",
      metadata: [LogKey.process: "\(serving)", LogKey.path: "\(self.configuration.proxyExecutable)"])
    self.begin(self.configuration.proxyExecutable, actions)
  }

  private func begin(_ path: String, _ actions: [ProxyGenerations.Action]) {
    self.upgrade = ProxyUpgradeStatus(state: .preparing, binary: path)
    Task { await self.perform(actions) }
  }

  // MARK: what proxies say

  func linked(_ process: Int32) { self.machine.linked(process) }

  func ready(_ process: Int32) async { await self.perform(self.machine.ready(process)) }

  func refused(_ process: Int32, _ reason: String) async {
    await self.perform(self.machine.refused(process, "it refuses the snapshot: " + reason, at: Self.now))
  }

  func accepting(_ process: Int32) async {
    await self.perform(self.machine.accepting(process, at: Self.now))
    if process == self.machine.serving { self.keepProgram(of: process) }
  }

  func drains(_ process: Int32) async {
    self.logger.info("proxy drains", metadata: [LogKey.process: "\(process)"])
    self.roles.set(self.drainingRole, of: process)
    await self.perform(self.machine.drains(process, at: Self.now))
  }

  /// It cannot be told of revisions or listeners: one that speaks as this agent does takes its place.
  func speaksAnother(_ process: Int32, version: String, _ spoken: UInt16, hasSnapshot: Bool) async {
    self.logger.notice(
      "a proxy speaks another protocol: it gets sockets, and nothing else, until one of ours takes over",
      metadata: [
        LogKey.process: "\(process)", LogKey.version: "\(version)",
        LogKey.reason: "it speaks protocol \(spoken) with its agent, not \(self.configuration.linkProtocol)",
      ])
    await self.perform(
      self.machine.speaksAnother(
        process, "it speaks protocol \(spoken) with its agent, not \(self.configuration.linkProtocol)",
        hasSnapshot: hasSnapshot, at: Self.now))
  }

  /// Another proxy could be told everything from now on.
  func snapshotCame() async { await self.perform(self.machine.snapshotCame()) }

  func note(connections: UInt64, of process: Int32) { self.connections[process] = connections }

  // MARK: what is done

  func perform(_ actions: [ProxyGenerations.Action]) async {
    for action in actions { await self.perform(action) }
    if self.machine.nextDeadline != nil { self.deadlines.continuation.yield() }
  }

  private func perform(_ action: ProxyGenerations.Action) async {
    switch action {
    case .start: await self.start()
    case .prepare: await self.prepare()
    case .promote(let process):
      self.roles.set(nil, of: process)
      if case .takingOver(process, _) = self.machine.upgrade { self.upgrade.state = .takingOver }
      self.link?.promote(process)
    case .handOverAgain: await self.handOver()
    case .drain(let process):
      self.roles.set(self.drainingRole, of: process)
      self.link?.drain(process, milliseconds: UInt64(clamping: self.machine.drainMilliseconds))
    case .terminate(let process): self.signal(process, SIGTERM, "proxy does not drain: it is asked by a signal")
    case .killIfListening(let process):
      guard let handle = self.processes[process], !ListenerAdoption.sockets(in: handle).listeners.isEmpty else {
        return
      }
      self.signal(process, SIGKILL, "proxy does not let go of its listeners: it is killed")
    case .kill(let process): self.signal(process, SIGKILL, "proxy is killed")
    case .replaced(let process):
      self.executable = self.upgrade.binary ?? self.executable
      self.isWorse = nil
      self.upgrade.state = .replaced
      self.upgrade.pid = UInt32(clamping: process)
      self.logger.notice(
        "proxy replaced",
        metadata: [LogKey.process: "\(process)", LogKey.path: "\(self.upgrade.binary ?? self.executable)"])
      self.answer()
    case .gaveUp(let reason):
      self.upgrade.state = .givenUp
      self.upgrade.cause = reason
      if let binary = self.upgrade.binary { self.isWorse = (try? DiskFile.status(binary))?.id }
      self.logger.error(
        "new proxy given up: the old one serves on",
        metadata: [LogKey.path: "\(self.upgrade.binary ?? "-")", LogKey.reason: "\(reason)"])
      self.answer()
    }
  }

  private func start() async {
    do throws(MeshError) {
      let process = try self.spawn(role: nil, self.executable)
      self.machine.started(process, at: Self.now)
      self.logger.info("proxy started", metadata: [LogKey.process: "\(process)"])
    } catch {
      self.logger.error("proxy cannot be started", metadata: [LogKey.error: "\(error)"])
      await self.perform(self.machine.notStarted(at: Self.now))
    }
  }

  private func prepare() async {
    let path = self.upgrade.state == .preparing ? self.upgrade.binary ?? self.executable : self.executable
    if self.upgrade.state != .preparing { self.upgrade = ProxyUpgradeStatus(state: .preparing, binary: path) }
    do throws(MeshError) {
      let process = try self.spawn(role: .candidate, path)
      self.upgrade.pid = UInt32(clamping: process)
      self.logger.notice("new proxy started", metadata: [LogKey.process: "\(process)", LogKey.path: "\(path)"])
      await self.perform(self.machine.prepared(process, at: Self.now))
    } catch {
      await self.perform(self.machine.notPrepared("\(error)", at: Self.now))
    }
  }

  private func signal(_ process: Int32, _ signal: Int32, _ why: Logger.Message) {
    self.logger.warning(why, metadata: [LogKey.process: "\(process)"])
    _ = try? self.processes[process]?.signal(signal)
  }

  private func answer() {
    let status = self.upgradeStatus
    for waiter in self.waiters { waiter.resume(returning: status) }
    self.waiters = []
  }

  var upgradeStatus: ProxyUpgradeStatus {
    var status = self.upgrade
    status.replaced = UInt64(self.machine.replaced)
    status.givenUp = UInt64(self.machine.givenUp)
    let now = Self.now
    status.draining = self.machine.draining.sorted { $0.key < $1.key }.map { process, drain in
      ProxyUpgradeStatus.Draining(
        pid: UInt32(clamping: process), connections: self.connections[process],
        secondsLeft: UInt64(max(0, drain.ends - ProxyGenerations.graceMilliseconds - now) / 1000))
    }
    return status
  }
}
