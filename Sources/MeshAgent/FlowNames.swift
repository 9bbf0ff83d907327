import CMeshABI
import Glibc
import MeshBase
import MeshDatapath
import MeshPolicy
import MeshTelemetry
import Synchronization

/// Turns the kernel's numbers into names, for records and metrics. Replaced as a whole when a plan was carried out; the
/// reader of the ring buffer and the scrapes only read it.
final class FlowNames: Sendable {
  let identifiers: Identifiers
  let directory: NameDirectory
  /// Adds to CLOCK_MONOTONIC to give wall time, in nanoseconds; measured when it is made.
  let wallOffset: Int64

  init(identifiers: Identifiers = Identifiers(), directory: NameDirectory = NameDirectory()) {
    self.identifiers = identifiers
    self.directory = directory
    self.wallOffset = Self.measuredOffset
  }

  func workload(_ number: UInt32) -> ResourceName? { self.name(.workload, number) }
  func service(_ number: UInt32) -> ResourceName? { self.name(.service, number) }

  func policy(_ number: UInt32) -> PolicyReference? {
    number == 0 ? nil : self.identifiers.name(.policy, number).flatMap { PolicyReference($0) }
  }

  private func name(_ kind: IdentifierKind, _ number: UInt32) -> ResourceName? {
    number == 0 ? nil : self.identifiers.name(kind, number).flatMap { ResourceName($0) }
  }

  static var measuredOffset: Int64 {
    var wall = timespec()
    clock_gettime(CLOCK_REALTIME, &wall)
    return Int64(wall.tv_sec) * 1_000_000_000 + Int64(wall.tv_nsec) - Int64(MonotonicClock.nanoseconds)
  }

  func record(_ event: mesh_event) -> FlowRecord {
    let flow = event.flow
    let policy = self.policy(flow.policy)
    let lasted = event.time_ns > flow.start_ns && flow.start_ns > 0 ? event.time_ns - flow.start_ns : 0
    return FlowRecord(
      time: Timestamp(microseconds: (Int64(clamping: event.time_ns) &+ self.wallOffset) / 1000),
      kind: FlowKind(number: event.kind), tier: FlowTier(number: flow.tier),
      verdict: FlowVerdict(number: flow.verdict), reason: RefusalReason(number: flow.reason),
      source: self.peer(flow.source_workload, flow.source, flow.source_port_be),
      destination: self.peer(flow.destination_workload, flow.destination, flow.destination_port_be),
      dialled: Self.endpoint(flow.original, flow.original_port_be)?.description,
      service: self.service(flow.service)?.description, policy: policy?.name.description,
      policyVersion: policy?.version.description, sentBytes: event.sent_bytes, receivedBytes: event.received_bytes,
      durationMicroseconds: event.kind == MESH_EVENT_CLOSED.rawValue ? lasted / 1000 : 0,
      rttMicroseconds: UInt64(event.rtt_us), retransmits: UInt64(event.retransmits), pid: flow.pid,
      hook: FlowHook(number: event.hook))
  }

  func edge(_ key: mesh_edge_key) -> EdgeKey {
    EdgeKey(
      source: self.workload(key.source_workload), destination: self.workload(key.destination_workload),
      service: self.service(key.service), port: UInt16(bigEndian: key.port_be), tier: FlowTier(number: key.tier),
      reason: RefusalReason(number: key.reason))
  }

  func peer(_ number: UInt32, _ address: mesh_addr, _ portBigEndian: UInt16) -> FlowPeer {
    self.directory.peer(self.workload(number), address: Self.endpoint(address, portBigEndian))
  }

  /// Nil for the address that stands for none.
  static func endpoint(_ address: mesh_addr, _ portBigEndian: UInt16) -> SocketEndpoint? {
    guard address.hi_be != 0 || address.lo_be != 0 else { return nil }
    return SocketEndpoint(IPAddress(address), UInt16(bigEndian: portBigEndian))
  }
}

/// The names in use, shared by the actor (writes), the ring buffer's thread and scrapes (read).
final class NameBoard: Sendable {
  private let names = Mutex(FlowNames())

  var current: FlowNames { self.names.withLock { $0 } }

  func replace(_ names: FlowNames) { self.names.withLock { $0 = names } }
}
