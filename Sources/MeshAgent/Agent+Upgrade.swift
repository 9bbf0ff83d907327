package import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
package import MeshTelemetry

/// Which listeners the proxy that serves was handed and has not taken yet.
struct ListenerHandOver {
  var process: Int32 = 0
  var awaited: Set<ListenerKey> = []

  /// It accepts on the listener, or the listener is wanted no more. True: that was the last.
  mutating func settle(_ key: ListenerKey) -> Bool { self.awaited.remove(key) != nil && self.awaited.isEmpty }
}

/// What the supervisor has to know of the proxies' words.
extension Agent {
  /// After `handle`, which sent the listeners.
  func supervise(_ event: ProxyLinkEvent) async {
    switch event {
    case .connected(let process, _):
      self.handOver = ListenerHandOver(process: process, awaited: self.listenerKeys)
      await self.supervisor.linked(process)
      if self.handOver.awaited.isEmpty { await self.supervisor.accepting(process) }
    case .listenerAccepted(let key):
      if self.handOver.settle(key) { await self.supervisor.accepting(self.handOver.process) }
    case .applied:
      guard !self.proxyWasCompared else { return }
      // It has what this agent knows: what an update of the package left running can go now.
      self.proxyWasCompared = true
      await self.supervisor.replaceIfChanged()
    case .aside(let process, let event): await self.supervise(process, event)
    case .rejected, .stockWanted, .stats, .nameStats, .upstreams, .requests, .costs, .disconnected: break
    }
  }

  /// A proxy that takes over says nothing of listeners that were withdrawn meanwhile: it is not waited for in vain.
  func awaitNoMore(_ workload: EnrolledWorkload) {
    guard !workload.isInHost else { return }
    for (key, _) in self.listeners(of: workload) where self.handOver.settle(key) {
      let process = self.handOver.process
      Task { await self.supervisor.accepting(process) }
    }
  }

  private func supervise(_ process: Int32, _ event: ProxyLinkEvent.Aside) async {
    switch event {
    case .ready: await self.supervisor.ready(process)
    case .rejected(_, let message): await self.supervisor.refused(process, message)
    case .stockWanted(let request): self.sendStock(request, to: process)
    case .stats(let stats): await self.supervisor.note(connections: stats.active, of: process)
    case .draining:
      await self.supervisor.drains(process)
    case .foreign(let version, let spoken):
      await self.supervisor.speaksAnother(process, version: version, spoken, hasSnapshot: self.isComplete)
    }
  }

  /// Each once, as they are sent.
  private var listenerKeys: Set<ListenerKey> {
    Set(self.enrolled.values.filter(\.isAttached).flatMap { self.listeners(of: $0).map(\.key) })
  }

  package func replaceProxy(by binary: String?, isForced: Bool) async throws(MeshError) -> ProxyUpgradeStatus {
    guard self.isComplete else {
      throw MeshError(
        .unavailable, "proxy", "cannot be replaced before there is a snapshot for the new one",
        next: "start the control plane; martlet status tells")
    }
    return try await self.supervisor.replace(by: binary, isForced: isForced)
  }
}
