package import MeshBase

/// What a node says of a workload that is placed on it.
package struct WorkloadStatus: Sendable, Hashable {
  package enum Reason: String, Sendable, CaseIterable {
    case ready = "Ready"
    /// It is not there, or not yet in the datapath.
    case notEnrolled = "NotEnrolled"
    /// It is there, and cannot be enrolled.
    case enrolmentFailed = "EnrolmentFailed"
    /// Its check has not succeeded yet.
    case checkPending = "CheckPending"
    case checkFailed = "CheckFailed"
  }

  /// Bytes of `detail` at most.
  package static let detailLimit = 512
  package static let addressLimit = 64
  package static let gatewayLimit = 8

  package var name: ResourceName
  /// That the node found.
  package var addresses: [IPAddress]
  package var reason: Reason
  /// For people: an errno, a message.
  package var detail: String
  /// Of the change to this reason, by the node's clock: milliseconds since 1970.
  package var since: Int64

  package init(name: ResourceName, addresses: [IPAddress] = [], reason: Reason, detail: String = "", since: Int64) {
    self.name = name
    self.addresses = addresses
    self.reason = reason
    self.detail = detail
    self.since = since
  }

  /// It is enrolled: its process, cgroup or namespace is there.
  package var isRunning: Bool {
    switch self.reason {
    case .ready, .checkPending, .checkFailed: true
    case .notEnrolled, .enrolmentFailed: false
    }
  }

  package var isReady: Bool { self.reason == .ready }
}

/// From an agent.
package struct StatusUpdate: Sendable, Equatable {
  /// On the first update of a stream.
  package var node: String?
  /// With `node`: addresses of the host, where tunnels to its workloads are dialled from other networks.
  package var gateways: [IPAddress]
  /// 1, 2, 3, … within a stream.
  package var sequence: UInt64
  package var statuses: [WorkloadStatus]
  /// Workloads that are this node's no longer.
  package var removed: [ResourceName]
  /// More of the stream's first picture follows.
  package var isPartial: Bool
  /// Statuses that could not be read.
  package var failures: [Rejection]

  package init(
    node: String? = nil, gateways: [IPAddress] = [], sequence: UInt64, statuses: [WorkloadStatus] = [],
    removed: [ResourceName] = [],
    isPartial: Bool = false, failures: [Rejection] = []
  ) {
    self.node = node
    self.gateways = gateways
    self.sequence = sequence
    self.statuses = statuses
    self.removed = removed
    self.isPartial = isPartial
    self.failures = failures
  }
}

/// The answer to an update: it is known now, but for what was rejected.
package struct StatusAck: Sendable, Equatable {
  package var sequence: UInt64
  package var rejections: [Rejection]

  package init(sequence: UInt64, rejections: [Rejection] = []) {
    self.sequence = sequence
    self.rejections = rejections
  }
}
