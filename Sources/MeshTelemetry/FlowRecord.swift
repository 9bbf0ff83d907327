import MeshBase

/// One end of a connection, as far as it is known.
package struct FlowPeer: Codable, Sendable, Hashable {
  /// `namespace/name`.
  package var workload: String?
  package var namespace: String?
  /// `spiffe://…`
  package var identity: String?
  package var app: String?
  package var version: String?
  /// `address:port`; port 0 where it is not known yet.
  package var address: String?

  package init(
    workload: String? = nil, namespace: String? = nil, identity: String? = nil, app: String? = nil,
    version: String? = nil, address: String? = nil
  ) {
    self.workload = workload
    self.namespace = namespace
    self.identity = identity
    self.app = app
    self.version = version
    self.address = address
  }

  /// The workload's name, or the address, or `-`.
  package var label: String { self.workload ?? self.address ?? "-" }
}

/// One thing that happened to one connection: it was refused or closed.
package struct FlowRecord: Codable, Sendable, Hashable {
  /// Position in the agent's sequence: rises by one with each record. 0 until `FlowRing` gives it.
  package var number: UInt64
  package var time: Timestamp
  package var kind: FlowKind
  package var tier: FlowTier
  package var verdict: FlowVerdict
  package var reason: RefusalReason
  package var source: FlowPeer
  package var destination: FlowPeer
  /// What the application dialled, `address:port`.
  package var dialled: String?
  /// The service that the dialled address belongs to, `namespace/name`.
  package var service: String?
  /// The policy that gave the verdict, `namespace/name`.
  package var policy: String?
  package var policyVersion: String?
  /// By the source. Zero of a refused connection, as are the next four.
  package var sentBytes: UInt64
  package var receivedBytes: UInt64
  package var durationMicroseconds: UInt64
  package var rttMicroseconds: UInt64
  package var retransmits: UInt64
  /// Of the process that dialled; 0 where it is not known.
  package var pid: UInt32
  package var hook: FlowHook

  package init(
    number: UInt64 = 0, time: Timestamp, kind: FlowKind, tier: FlowTier = .none, verdict: FlowVerdict = .none,
    reason: RefusalReason = .none, source: FlowPeer = FlowPeer(), destination: FlowPeer = FlowPeer(),
    dialled: String? = nil, service: String? = nil, policy: String? = nil, policyVersion: String? = nil,
    sentBytes: UInt64 = 0, receivedBytes: UInt64 = 0, durationMicroseconds: UInt64 = 0, rttMicroseconds: UInt64 = 0,
    retransmits: UInt64 = 0, pid: UInt32 = 0, hook: FlowHook = .unknown
  ) {
    self.number = number
    self.time = time
    self.kind = kind
    self.tier = tier
    self.verdict = verdict
    self.reason = reason
    self.source = source
    self.destination = destination
    self.dialled = dialled
    self.service = service
    self.policy = policy
    self.policyVersion = policyVersion
    self.sentBytes = sentBytes
    self.receivedBytes = receivedBytes
    self.durationMicroseconds = durationMicroseconds
    self.rttMicroseconds = rttMicroseconds
    self.retransmits = retransmits
    self.pid = pid
    self.hook = hook
  }
}

extension FlowRecord {
  /// One line for people: when, what, who to whom, and why.
  package var line: String {
    var words = [self.time.clock, self.kind.rawValue, self.tier.rawValue]
    words.append(Self.text(self.source))
    words.append("->")
    words.append(Self.text(self.destination))
    if let dialled = self.dialled, self.service != nil || dialled != self.destination.address {
      words.append("dialled \(self.service.map { "\($0) " } ?? "")\(dialled)")
    }
    words.append(self.verdict.rawValue)
    if self.reason != .none { words.append(self.reason.rawValue) }
    if let policy = self.policy { words.append("by \(policy)" + (self.policyVersion.map { "@\($0)" } ?? "")) }
    if self.kind == .closed {
      words.append("sent \(Quantity.bytes(self.sentBytes)) received \(Quantity.bytes(self.receivedBytes))")
      words.append("in \(Quantity.duration(microseconds: self.durationMicroseconds))")
      words.append("rtt \(Quantity.duration(microseconds: self.rttMicroseconds))")
      if self.retransmits > 0 { words.append("retransmits \(self.retransmits)") }
    }
    if self.pid > 0 { words.append("pid \(self.pid)") }
    return Quantity.printable(words.joined(separator: " "))
  }

  private static func text(_ peer: FlowPeer) -> String {
    guard let workload = peer.workload else { return peer.address ?? "-" }
    return peer.address.map { "\(workload) \($0)" } ?? workload
  }

  /// Headings of `cells`.
  package static let columns = [
    "TIME", "KIND", "TIER", "SOURCE", "DESTINATION", "SERVICE", "DIALLED", "VERDICT", "REASON", "POLICY", "SENT",
    "RECEIVED", "DURATION",
  ]

  /// One cell for each of `columns`.
  package var cells: [String] {
    let closed = self.kind == .closed
    return [
      self.time.clock, self.kind.rawValue, self.tier.rawValue, self.source.label, self.destination.label,
      self.service ?? "-", self.dialled ?? "-", self.verdict.rawValue,
      self.reason == .none ? "-" : self.reason.rawValue,
      self.policy.map { $0 + (self.policyVersion.map { "@\($0)" } ?? "") } ?? "-",
      closed ? Quantity.bytes(self.sentBytes) : "-", closed ? Quantity.bytes(self.receivedBytes) : "-",
      closed ? Quantity.duration(microseconds: self.durationMicroseconds) : "-",
    ].map(Quantity.printable)
  }
}
