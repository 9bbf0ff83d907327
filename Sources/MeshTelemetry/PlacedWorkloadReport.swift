/// `GET /v1/workloads` of the control plane: a workload with what its node says of it.
package struct PlacedWorkloadReport: Codable, Sendable, Hashable {
  package enum Ready: String, LenientWord {
    case yes
    case no
    /// Nobody said.
    case unknown
  }

  package var name: String
  package var node: String
  package var ready: Ready
  /// It is enrolled on its node. False as well if nobody said.
  package var running: Bool
  /// `Ready`, `NotEnrolled`, `EnrolmentFailed`, `CheckPending`, `CheckFailed`; or why nothing is known: `NoAgent`,
  /// `Unreported`, `NotWatched`.
  package var reason: String
  /// An errno, a message. Empty: the reason says it all.
  package var detail: String
  package var identity: String
  /// Those that its node found; before it said anything, those that were written.
  package var addresses: [String]
  /// Of the change to this reason, by the node's clock.
  package var since: Timestamp?
  /// False: what stands here is what the node said before its agent went.
  package var agentConnected: Bool

  package init(
    name: String, node: String, ready: Ready, running: Bool = false, reason: String, detail: String = "",
    identity: String = "", addresses: [String] = [], since: Timestamp? = nil, agentConnected: Bool
  ) {
    self.name = name
    self.node = node
    self.ready = ready
    self.running = running
    self.reason = reason
    self.detail = detail
    self.identity = identity
    self.addresses = addresses
    self.since = since
    self.agentConnected = agentConnected
  }

  /// `CheckFailed(ECONNREFUSED)`.
  package var explanation: String { self.detail.isEmpty ? self.reason : "\(self.reason)(\(self.detail))" }
}
