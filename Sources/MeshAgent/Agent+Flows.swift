import Logging
import MeshBPF
import MeshBase
import MeshLinux

/// One look at the published flows whose sockets are in enrolled namespaces. Those of other namespaces cannot be judged, and
/// stay.
struct FlowLook: Sendable {
  let namespaces: [(name: ResourceName, namespace: NetworkNamespace)]
  let kernel: KernelDatapath
  let logger: Logger

  /// Flows without an open socket. Nil: nothing is known. Namespaces without a flow are not asked: at rest that is all.
  func ended() -> [PublishedFlow]? {
    do throws(MeshError) {
      // Before the sockets, so that each flow's socket was open when they are listed, or has ended.
      let flows = Dictionary(grouping: try self.kernel.flows.published(), by: \.namespace)
      var ended: [PublishedFlow] = []
      for (_, namespace) in self.namespaces {
        guard let flows = flows[namespace.cookie] else { continue }
        // What is in TIME_WAIT has ended; only its ports wait.
        let open = Set(
          try namespace.sockets().filter { !$0.isListening && $0.state != .timeWait }.map(\.cookie))
        ended += flows.filter { !open.contains($0.cookie) }
      }
      return ended
    } catch {
      self.logger.error("flows cannot be judged", metadata: [LogKey.error: "\(error)"])
      return nil
    }
  }

  func remove(_ flows: [PublishedFlow]) {
    do throws(MeshError) {
      var count = 0
      for flow in flows where try self.kernel.flows.remove(flow) { count += 1 }
      guard count > 0 else { return }
      self.logger.notice("flows whose end nobody saw are removed", metadata: [LogKey.count: "\(count)"])
    } catch {
      self.logger.error("flows cannot be removed", metadata: [LogKey.error: "\(error)"])
    }
  }
}

extension Agent {
  /// Called from the scan. The look runs on a task of its own.
  func sweepFlows() {
    guard self.foreignersAreGone, self.flowSweep.wantsLook(now: MonotonicClock.milliseconds) else { return }
    let look = FlowLook(namespaces: self.enrolled.values.namespaces, kernel: self.kernel, logger: self.logger)
    Task.detached { await self.swept(look, look.ended()) }
  }

  private func swept(_ look: FlowLook, _ ended: [PublishedFlow]?) {
    let gone = self.flowSweep.looked(ended: Set((ended ?? []).map(\.cookie)), now: MonotonicClock.milliseconds)
    guard let ended, !gone.isEmpty else { return }
    look.remove(ended.filter { gone.contains($0.cookie) })
  }
}
