import MeshBase
import MeshLinux

/// The proxies that earlier agents left running in the proxy cgroup. The one that serves is the newest that holds a listener,
/// else the newest: a candidate has none yet, one that drains has none any more.
struct FoundProxies {
  var serving: ProcessHandle?
  /// They drain, or should.
  var older: [ProcessHandle] = []
  /// Candidates that an agent did not live to promote.
  var newer: [ProcessHandle] = []
  /// Of the one that serves.
  var sockets = ListenerAdoption.Found()

  init(in cgroup: Cgroup) {
    var found: [(process: ProcessHandle, start: UInt64)] = []
    for pid in (try? cgroup.processes()) ?? [] {
      guard let process = try? ProcessHandle.open(pid: pid), let start = process.startTime, !process.hasExited else {
        continue
      }
      found.append((process, start))
    }
    found.sort { ($0.start, $0.process.pid) > ($1.start, $1.process.pid) }
    for (index, one) in found.enumerated() {
      let sockets = ListenerAdoption.sockets(in: one.process)
      guard !sockets.listeners.isEmpty else { continue }
      self.serving = one.process
      self.sockets = sockets
      self.newer = found[..<index].map(\.process)
      self.older = found[(index + 1)...].map(\.process)
      return
    }
    self.serving = found.first?.process
    self.older = found.dropFirst().map(\.process)
  }

  var numbers: ProxyGenerations.Found {
    ProxyGenerations.Found(
      serving: self.serving?.pid, older: self.older.map(\.pid), newer: self.newer.map(\.pid))
  }
}
