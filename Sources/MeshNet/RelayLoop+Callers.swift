import CMeshRelay
import Logging
import MeshBase
import MeshRouting

/// Who calls. The kernel says a connection's workload by its number; consumer routes go by the namespace of its name, which the
/// agent tells before it hands over the workload's listener. Workloads of the host share one listener, so that a connection of
/// a new one can be faster than its name: that one waits for a moment.
struct RelayCallers {
  /// How long a connection waits for its caller's name, in milliseconds.
  static let patience: UInt64 = 1000

  var names: [UInt32: ResourceName] = [:]
  /// Waited for in vain: their connections go by producer routes, and wait no more.
  var strangers: Set<UInt32> = []
  /// Connections that wait.
  var held = 0
}

extension RelayLoop {
  /// The namespace that consumer routes go by.
  func namespace(of workload: UInt32) -> String? { self.callers.names[workload]?.namespace }

  /// For the log.
  func caller(_ workload: UInt32) -> String { self.callers.names[workload]?.description ?? "\(workload)" }

  func name(_ workload: UInt32, _ name: ResourceName) {
    self.callers.names[workload] = name
    self.httpScratch.clients = [:]
    self.callers.strangers.remove(workload)
    guard self.callers.held > 0 else { return }
    for case let held as HeldConnection in Array(self.connections.values) where held.sourceWorkload == workload {
      held.release()
    }
  }

  /// The number can be another's next time.
  func forget(_ workload: UInt32) {
    self.callers.names[workload] = nil
    self.httpScratch.clients = [:]
    self.callers.strangers.remove(workload)
  }

  /// Whether a connection has to wait for its caller's name: its routes depend on it.
  func waitsForName(_ flow: AcceptedFlow) -> Bool {
    guard self.callers.names[flow.sourceWorkload] == nil, !self.callers.strangers.contains(flow.sourceWorkload) else {
      return false
    }
    return self.table?.route(to: flow.original)?.http?.hasConsumers == true
  }

  func hold(_ descriptor: CInt, _ flow: AcceptedFlow) {
    let held = HeldConnection(number: self.nextNumber(), flow: flow, loop: self, client: descriptor)
    self.callers.held += 1
    self.add(held)
    self.deadlines.add(held.deadline, held.number)
  }

  fileprivate func giveUpName(of workload: UInt32) {
    guard self.callers.names[workload] == nil, self.callers.strangers.insert(workload).inserted else { return }
    self.logger.warning(
      "the namespace of a workload is not known: its requests go by producer routes only",
      metadata: [LogKey.workload: "\(workload)"])
  }
}

/// Accepted, and not read from until its caller has a name. Confined to its loop.
final class HeldConnection: LoopMember {
  let number: UInt64
  let deadline: UInt64
  private let flow: AcceptedFlow
  private let loop: RelayLoop
  private let client: CInt
  private var isOver = false

  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt) {
    self.number = number
    self.flow = flow
    self.loop = loop
    self.client = client
    self.deadline = loop.now + RelayCallers.patience
  }

  var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  var namespaces: [UInt64] { [self.flow.namespaceCookie] }
  var isClients: Bool { true }

  func ready(_ token: RelayToken, _ events: UInt32) {}
  func resume() {}
  func delivered(_ socket: CInt) -> Bool { false }
  func drain() {}

  func sweep(idleSweeps: Int?) { self.expire(now: self.loop.now) }

  func expire(now: UInt64) {
    guard now >= self.deadline, !self.isOver else { return }
    self.loop.giveUpName(of: self.sourceWorkload)
    self.release()
  }

  func release() {
    guard self.leave() else { return }
    self.loop.start(self.client, self.flow)
  }

  func abort() {
    guard self.leave() else { return }
    cmesh_relay_reset(self.client)
  }

  private func leave() -> Bool {
    guard !self.isOver else { return false }
    self.isOver = true
    self.loop.callers.held -= 1
    self.loop.ended(self)
    return true
  }
}
