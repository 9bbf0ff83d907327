import Logging
import MeshBase
import MeshLinux
import Synchronization

/// Starts the proxy, watches it, starts it again. A proxy that an earlier agent left running is taken over, not replaced.
actor ProxySupervisor {
  struct Status: Sendable {
    var pid: Int32?
    var restarts: Int
    var isWaiting: Bool
  }

  private let configuration: AgentConfiguration
  private let cgroup: Cgroup
  private let user: ChildProcess.User
  private let logger: Logger
  private var machine = RestartMachine()
  private var process: ProcessHandle?

  init(_ configuration: AgentConfiguration, cgroup: Cgroup, user: ChildProcess.User, logger: Logger) {
    self.configuration = configuration
    self.cgroup = cgroup
    self.user = user
    self.logger = logger
  }

  var status: Status {
    let waiting = if case .waiting = self.machine.phase { true } else { false }
    return Status(pid: self.process?.pid, restarts: self.machine.restarts, isWaiting: waiting)
  }

  /// The proxy that runs in our proxy cgroup, if there is one. More than one is a proxy and its draining predecessor:
  /// the one that was started last counts.
  nonisolated static func running(in cgroup: Cgroup) -> ProcessHandle? {
    guard let pids = try? cgroup.processes(), let newest = pids.max() else { return nil }
    return try? ProcessHandle.open(pid: newest)
  }

  /// Runs until the task is cancelled. The proxy stays: it serves on while the agent is away.
  func run() async {
    let adopted = Self.running(in: self.cgroup)
    if let adopted {
      self.process = adopted
      self.logger.info("proxy adopted", metadata: [LogKey.process: "\(adopted.pid)"])
    }
    var action = self.machine.start(at: Self.now, adopted: adopted != nil)
    while !Task.isCancelled {
      switch action {
      case .spawn:
        action = self.spawn() ? .none : self.machine.ended(at: Self.now)
      case .wait(let milliseconds):
        try? await Task.sleep(for: .milliseconds(milliseconds))
        action = self.machine.waited(at: Self.now)
      case .none:
        guard let process = self.process else { return }
        await Self.end(of: process)
        if Task.isCancelled { return }
        self.logger.error("proxy ended", metadata: [LogKey.process: "\(process.pid)"])
        self.process = nil
        action = self.machine.ended(at: Self.now)
      }
    }
  }

  private func spawn() -> Bool {
    var child = ChildProcess.Configuration(
      self.configuration.proxyExecutable,
      ["--run-dir", self.configuration.runDirectory]
        + (self.configuration.proxyLoops > 0 ? ["--loops", String(self.configuration.proxyLoops)] : []))
    child.cgroup = self.cgroup
    child.user = self.user
    child.noNewPrivileges = true
    do {
      let process = try ChildProcess.spawn(child)
      // The child is reaped by its own watcher; its end is seen by everyone who holds the handle.
      try process.onExit { _ in }
      self.process = process.handle
      self.logger.info("proxy started", metadata: [LogKey.process: "\(process.pid)"])
      return true
    } catch {
      self.logger.error("proxy cannot be started", metadata: [LogKey.error: "\(error)"])
      return false
    }
  }

  private final class Cancellation: Sendable {
    let requested = Atomic(false)
  }

  /// Returns when the process has ended, or soon after the task is cancelled.
  private nonisolated static func end(of process: ProcessHandle) async {
    let cancellation = Cancellation()
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        do {
          try OwnThread.start(name: "martlet-watch") {
            while !process.waitForExit(milliseconds: 200), !cancellation.requested.load(ordering: .relaxed) {}
            continuation.resume()
          }
        } catch {
          continuation.resume()
        }
      }
    } onCancel: {
      cancellation.requested.store(true, ordering: .relaxed)
    }
  }

  private nonisolated static var now: Int64 { MonotonicClock.milliseconds }
}
