package import MeshBase

/// What the driver of a status stream has to do.
package enum StatusAction: Sendable, Equatable {
  case none
  case send(StatusUpdate)
  /// The peer broke the protocol: end the stream.
  case close(reason: String)
}

/// The agent's end of a status stream, across its streams.
///
/// ```
///  disconnected ── connected ─► waiting ── acknowledged ─► idle
///       ▲                          ▲                        │
///       └──── disconnected ────────┴──────── changed ───────┘
/// ```
///
/// One update is under way at a time; what changes meanwhile goes with the next one, as it is then. So a slow control plane
/// gets fewer updates, never a queue, and a workload that flips costs one status an answer.
package struct StatusReporter: Sendable {
  package enum Phase: Sendable, Equatable {
    case disconnected
    case idle
    /// For the answer to this update.
    case waiting(sequence: UInt64)
  }

  /// Statuses and removals in one update.
  package static let updateLimit = 1000

  private let node: String
  private let gateways: [IPAddress]
  private let limit: Int
  package private(set) var phase = Phase.disconnected
  private var current: [ResourceName: WorkloadStatus] = [:]
  /// What the peer was told on this stream.
  private var told: [ResourceName: WorkloadStatus] = [:]
  /// Names whose status may differ from what was told.
  private var pending: Set<ResourceName> = []
  /// The first picture is not complete.
  private var isFirst = true
  private var sequence: UInt64 = 0

  /// - gateways: of the node (`StatusUpdate.gateways`).
  package init(node: String, gateways: [IPAddress] = [], limit: Int = StatusReporter.updateLimit) {
    self.gateways = Array(gateways.prefix(WorkloadStatus.gatewayLimit))
    self.node = node
    self.limit = limit
  }

  /// All that is to be known now.
  package mutating func changed(to statuses: [WorkloadStatus]) -> StatusAction {
    let new = Dictionary(statuses.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    guard new != self.current else { return .none }
    for (name, status) in new where self.current[name] != status { self.pending.insert(name) }
    for name in self.current.keys where new[name] == nil { self.pending.insert(name) }
    self.current = new
    return self.phase == .idle ? self.next() : .none
  }

  /// A stream is there: it begins with everything.
  package mutating func connected() -> StatusAction {
    self.told = [:]
    self.pending = Set(self.current.keys)
    self.isFirst = true
    self.sequence = 0
    self.phase = .idle
    return self.next()
  }

  package mutating func acknowledged(_ sequence: UInt64) -> StatusAction {
    guard self.phase == .waiting(sequence: sequence) else {
      return .close(reason: "an answer to update \(sequence), which waits for none")
    }
    self.phase = .idle
    return self.next()
  }

  package mutating func disconnected() { self.phase = .disconnected }

  private mutating func next() -> StatusAction {
    var update = StatusUpdate(
      node: self.sequence == 0 ? self.node : nil, gateways: self.sequence == 0 ? self.gateways : [],
      sequence: self.sequence &+ 1)
    for name in self.pending.sorted() {
      guard update.statuses.count + update.removed.count < self.limit else { break }
      self.pending.remove(name)
      switch (self.current[name], self.told[name]) {
      case (let status?, let told) where status != told:
        update.statuses.append(status)
        self.told[name] = status
      case (nil, .some):
        update.removed.append(name)
        self.told[name] = nil
      default: break
      }
    }
    update.isPartial = self.isFirst && !self.pending.isEmpty
    // The first update is sent in any case: that there is nothing is news, too.
    guard self.isFirst || !update.statuses.isEmpty || !update.removed.isEmpty else { return .none }
    if !update.isPartial { self.isFirst = false }
    self.sequence = update.sequence
    self.phase = .waiting(sequence: update.sequence)
    return .send(update)
  }
}
