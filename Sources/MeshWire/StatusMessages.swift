import MeshBase
import MeshProto
import MeshSync
import SwiftProtobuf

extension StatusUpdate {
  func encoded() throws -> [UInt8] {
    var message = Martlet_Status_V1_StatusUpdate()
    if let node = self.node { message.node = node }
    message.gateways = self.gateways.map { Martlet_Entries_V1_Address(of: $0) }
    message.sequence = self.sequence
    message.statuses = self.statuses.map { Martlet_Status_V1_WorkloadStatus($0) }
    message.removed = self.removed.map(\.description)
    message.partial = self.isPartial
    return try message.serializedBytes()
  }

  /// A status that cannot be read is in `failures`; what makes the whole update meaningless is thrown.
  init(bytes: [UInt8]) throws(MeshError) {
    let message: Martlet_Status_V1_StatusUpdate
    do {
      message = try Martlet_Status_V1_StatusUpdate(serializedBytes: bytes)
    } catch {
      throw MeshError(.invalid, "status stream", "not a valid update", cause: "\(error)")
    }
    self.init(
      node: message.node.isEmpty ? nil : message.node,
      gateways: message.gateways.prefix(WorkloadStatus.gatewayLimit).map { IPAddress(high: $0.high, low: $0.low) },
      sequence: message.sequence, isPartial: message.partial)
    // What leads nowhere, or to whoever dials, is no host's.
    self.gateways.removeAll { $0.isUnspecified || $0.isLoopback || $0.isMulticast }
    for status in message.statuses {
      do throws(MeshError) {
        self.statuses.append(try WorkloadStatus(status))
      } catch {
        self.failures.append(Rejection(name: status.name.shown, reason: error.message))
      }
    }
    for text in message.removed {
      if let name = ResourceName(text) {
        self.removed.append(name)
      } else {
        self.failures.append(Rejection(name: text.shown, reason: "no name of a workload"))
      }
    }
  }
}

extension StatusAck {
  func encoded() throws -> [UInt8] {
    var message = Martlet_Status_V1_StatusAck()
    message.sequence = self.sequence
    message.rejections = self.rejections.prefix(100).map { rejection in
      var message = Martlet_Entries_V1_Rejection()
      message.name = rejection.name
      message.reason = rejection.reason
      return message
    }
    return try message.serializedBytes()
  }

  init(bytes: [UInt8]) throws(MeshError) {
    do {
      let message = try Martlet_Status_V1_StatusAck(serializedBytes: bytes)
      self.init(
        sequence: message.sequence,
        rejections: message.rejections.map { Rejection(name: $0.name.shown, reason: $0.reason.shown) })
    } catch {
      throw MeshError(.invalid, "status stream", "not a valid answer", cause: "\(error)")
    }
  }
}

extension Martlet_Entries_V1_Address {
  fileprivate init(of address: IPAddress) {
    self.init()
    self.high = address.high
    self.low = address.low
  }
}

extension Martlet_Status_V1_WorkloadStatus {
  fileprivate init(_ status: WorkloadStatus) {
    self.init()
    self.name = status.name.description
    self.addresses = status.addresses.prefix(WorkloadStatus.addressLimit).map { Martlet_Entries_V1_Address(of: $0) }
    self.reason =
      switch status.reason {
      case .ready: .ready
      case .notEnrolled: .notEnrolled
      case .enrolmentFailed: .enrolmentFailed
      case .checkPending: .checkPending
      case .checkFailed: .checkFailed
      }
    self.detail = status.detail.shown
    self.sinceUnixMilliseconds = status.since
  }
}

extension WorkloadStatus {
  fileprivate init(_ message: Martlet_Status_V1_WorkloadStatus) throws(MeshError) {
    guard let name = ResourceName(message.name) else {
      throw MeshError(.invalid, "status", "no name of a workload")
    }
    guard message.addresses.count <= Self.addressLimit else {
      throw MeshError(.invalid, "status", "more than \(Self.addressLimit) addresses")
    }
    self.init(name: name, reason: .checkFailed, since: message.sinceUnixMilliseconds)
    for entry in message.addresses {
      let address = IPAddress(high: entry.high, low: entry.low)
      guard !address.isUnspecified, !address.isMulticast else {
        throw MeshError(.invalid, "status", "\(address) is no unicast address")
      }
      self.addresses.append(address)
    }
    self.detail = message.detail.shown
    switch message.reason {
    case .ready: self.reason = .ready
    case .notEnrolled: self.reason = .notEnrolled
    case .enrolmentFailed: self.reason = .enrolmentFailed
    case .checkPending: self.reason = .checkPending
    case .checkFailed: self.reason = .checkFailed
    case .unspecified: throw MeshError(.invalid, "status", "no reason")
    case .UNRECOGNIZED(let number):
      // A later agent's: whatever it means, it is not `ready`.
      if self.detail.isEmpty { self.detail = "reason \(number), unknown to this version" }
    }
  }
}

extension String {
  /// Bounded, and without anything that a terminal or a log would take for more than text.
  fileprivate var shown: String {
    var text = ""
    var size = 0
    for scalar in self.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value)
      let next: Unicode.Scalar = isControl ? " " : scalar
      size += next.utf8.count
      guard size <= WorkloadStatus.detailLimit else { break }
      text.unicodeScalars.append(next)
    }
    return text
  }
}
