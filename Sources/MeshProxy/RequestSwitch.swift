import Logging
import MeshBase
import MeshNet
import MeshSnapshot
import MeshTelemetry
import Synchronization

/// Changes what holds for requests while connections go on, as the mesh's settings change.
final class RequestSwitch: Sendable {
  private let settings: RequestSettings
  private let relay: Relay
  private let logs: AccessLogs
  private let logger: Logger
  /// What holds.
  private let last = Mutex(ProxySettings.defaults)

  init(_ settings: RequestSettings, relay: Relay, logs: AccessLogs, logger: Logger) {
    self.settings = settings
    self.relay = relay
    self.logs = logs
    self.logger = logger
  }

  func use(_ snapshot: Snapshot) {
    self.logs.use(NameDirectory(snapshot))
    let mesh = snapshot.config?.value.proxy ?? .defaults
    let isNew = self.last.withLock { last in
      defer { last = mesh }
      return last != mesh
    }
    guard isNew else { return }
    let http = self.settings.http(mesh)
    do {
      let change = try self.logs.become(self.settings.accessLog(mesh))
      change.log?.use(NameDirectory(snapshot))
      self.relay.use(http, accessLog: change.log) { [logs] in
        if let old = change.old { Task { await logs.end(old) } }
      }
    } catch {
      // The log that was there stays.
      self.logger.error("the access log cannot be changed", metadata: [LogKey.error: "\(error)"])
      self.relay.use(http, accessLog: self.logs.current)
    }
    let overridden = self.settings.overridden(mesh)
    self.logger.info("settings of the mesh for requests have changed")
    if !overridden.isEmpty {
      self.logger.notice(
        "options of this host go before settings of the mesh",
        metadata: ["options": "\(overridden.joined(separator: ", "))"])
    }
  }
}

/// The access log that is written, if one is, and what became of the entries of all before it.
final class AccessLogs: Sendable {
  private struct State {
    var configuration: AccessLogConfiguration?
    var log: AccessLog?
    /// Those that still write what they got last.
    var ending: [AccessLog] = []
    var past = AccessLog.Counters()
    var wasOn = false
  }

  private let state = Mutex(State())
  private let logger: Logger

  init(logger: Logger) { self.logger = logger }

  var current: AccessLog? { self.state.withLock { $0.log } }

  /// The log for the configuration; `old`: one that is written no more, to be ended when nobody has it.
  func become(_ configuration: AccessLogConfiguration?) throws(MeshError) -> (log: AccessLog?, old: AccessLog?) {
    let before = self.state.withLock { ($0.configuration, $0.log) }
    if configuration == before.0 { return (before.1, nil) }
    var fresh: AccessLog?
    if let configuration { fresh = try AccessLog.open(configuration, logger: self.logger) }
    return self.state.withLock { state in
      state.configuration = configuration
      state.log = fresh
      if fresh != nil { state.wasOn = true }
      if let old = before.1 { state.ending.append(old) }
      return (fresh, before.1)
    }
  }

  func use(_ names: NameDirectory) { self.current?.use(names) }

  func end(_ log: AccessLog) async {
    await log.stop()
    self.state.withLock { state in
      state.ending.removeAll { $0 === log }
      state.past = state.past + log.counters
    }
  }

  func stop() async {
    let open = self.state.withLock { state in
      defer { state.log = nil }
      return state.ending + (state.log.map { [$0] } ?? [])
    }
    for log in open { await log.stop() }
  }

  /// Of all of them, since the process started. Nil: there never was one.
  var counters: AccessLog.Counters? {
    self.state.withLock { state in
      guard state.wasOn else { return nil }
      return (state.ending + (state.log.map { [$0] } ?? [])).reduce(state.past) { $0 + $1.counters }
    }
  }
}

extension AccessLog.Counters {
  fileprivate static func + (a: Self, b: Self) -> Self {
    var sum = a
    sum.written += b.written
    sum.overflowed += b.overflowed
    sum.failed += b.failed
    return sum
  }
}
