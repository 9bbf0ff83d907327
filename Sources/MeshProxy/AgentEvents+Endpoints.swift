import Logging
import MeshBase
import MeshNet
import MeshRouting
import Synchronization

/// Endpoints that fail are left out, and come back.
extension AgentEvents {
  /// Once a second.
  func lookAfterEndpoints() {
    guard let table = self.table.withLock({ $0 }) else { return }
    for event in table.tick(now: Relay.clock()) {
      var words: Logger.Metadata = [
        LogKey.service: "\(event.service)", "port": "\(event.port)", "endpoint": "\(event.endpoint.target)",
      ]
      if let workload = event.endpoint.workload { words[LogKey.workload] = "\(workload)" }
      switch event.change {
      case .ejected(let reason, let milliseconds):
        words[LogKey.reason] = "\(reason.rawValue)"
        words["ms"] = "\(milliseconds)"
        self.logger.warning("an endpoint fails: it is left out", metadata: words)
      case .returned: self.logger.notice("an endpoint is back", metadata: words)
      }
    }
  }
}
