package import MeshBase

/// The control plane's end of all status streams: what every node said last. A node that is gone keeps what it said: the
/// workloads may well be there without their agent.
///
/// Of two streams of one node the one that was opened last counts, so that an agent that comes back does not wait for its
/// half-open predecessor.
package struct StatusLedger: Sendable {
  package struct Limits: Sendable {
    package var nodes = 4096
    package var workloadsPerNode = 65_536
    /// Names in one update.
    package var update = 10_000

    package init() {}
  }

  package struct Stream: Hashable, Sendable {
    fileprivate var number: UInt64
  }

  package struct Answer: Sendable, Equatable {
    package enum Action: Sendable, Equatable {
      case acknowledge(StatusAck)
      case close(reason: String)
    }

    package var action: Action
    /// What is known is another than before.
    package var isNews: Bool
  }

  private struct Node: Sendable {
    var stream: Stream
    var gateways: [IPAddress] = []
    var isConnected = true
    var sequence: UInt64 = 0
    var statuses: [ResourceName: WorkloadStatus] = [:]
    /// What this stream named; nil once its first picture is complete.
    var named: Set<ResourceName>? = []
  }

  private let limits: Limits
  private var last: UInt64 = 0
  /// Of streams that said who they are.
  private var owners: [Stream: String] = [:]
  private var nodes: [String: Node] = [:]

  package init(limits: Limits = Limits()) { self.limits = limits }

  package mutating func opened() -> Stream {
    self.last &+= 1
    return Stream(number: self.last)
  }

  package mutating func received(_ update: StatusUpdate, on stream: Stream) -> Answer {
    var isMoved = false
    if let name = update.node, self.owners[stream] == nil {
      guard ResourceName.isSubdomain(name) else { return Self.close("the node's name is none") }
      guard self.nodes[name] != nil || self.nodes.count < self.limits.nodes else {
        return Self.close("more than \(self.limits.nodes) nodes")
      }
      self.owners[stream] = name
      // An older stream that wakes up late does not take the node back.
      if let node = self.nodes[name], node.isConnected, node.stream.number > stream.number {
        return Self.close("the node has a later stream")
      }
      let known = self.nodes[name]
      self.nodes[name] = Node(stream: stream, gateways: update.gateways, statuses: known?.statuses ?? [:])
      isMoved = known?.gateways ?? [] != update.gateways
    }
    guard let name = self.owners[stream], var node = self.nodes[name] else {
      return Self.close("the first update does not name the node")
    }
    guard update.node == nil || update.node == name else { return Self.close("the node changed within the stream") }
    guard node.stream == stream else { return Self.close("the node has a later stream") }
    guard update.sequence == node.sequence &+ 1 else {
      return Self.close("update \(update.sequence) follows \(node.sequence)")
    }
    guard update.statuses.count + update.removed.count <= self.limits.update else {
      return Self.close("more than \(self.limits.update) workloads in one update")
    }
    let before = node.statuses
    node.sequence = update.sequence
    var rejections = update.failures
    for status in update.statuses {
      guard node.statuses[status.name] != nil || node.statuses.count < self.limits.workloadsPerNode else {
        rejections.append(
          Rejection(name: status.name.description, reason: "more than \(self.limits.workloadsPerNode) workloads"))
        continue
      }
      node.statuses[status.name] = status
      node.named?.insert(status.name)
    }
    for name in update.removed { node.statuses[name] = nil }
    if !update.isPartial, let named = node.named {
      node.statuses = node.statuses.filter { named.contains($0.key) }
      node.named = nil
    }
    self.nodes[name] = node
    return Answer(
      action: .acknowledge(StatusAck(sequence: update.sequence, rejections: rejections)),
      isNews: isMoved || node.statuses != before)
  }

  private static func close(_ reason: String) -> Answer { Answer(action: .close(reason: reason), isNews: false) }

  package mutating func closed(_ stream: Stream) {
    guard let name = self.owners.removeValue(forKey: stream), self.nodes[name]?.stream == stream else { return }
    self.nodes[name]?.isConnected = false
  }

  /// Forgets nodes that are gone and on which nothing is placed.
  package mutating func retain(nodes: Set<String>) {
    self.nodes = self.nodes.filter { $0.value.isConnected || nodes.contains($0.key) }
  }

  // MARK: what is known

  /// Nil: the node never said anything of it.
  package func status(of workload: ResourceName, on node: String) -> WorkloadStatus? {
    self.nodes[node]?.statuses[workload]
  }

  package func isConnected(_ node: String) -> Bool { self.nodes[node]?.isConnected ?? false }

  /// What the node said of its own addresses.
  package func gateways(of node: String) -> [IPAddress] { self.nodes[node]?.gateways ?? [] }

  /// Workloads that are not ready, by the node that says so.
  package var unready: [(node: String, workload: ResourceName)] {
    self.nodes.flatMap { name, node in
      node.statuses.values.filter { !$0.isReady }.map { (name, $0.name) }
    }
  }
}
