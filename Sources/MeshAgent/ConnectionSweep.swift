import CMeshABI
import Glibc
import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLinux
import MeshPolicy

/// One look at every TCP socket of the enrolled namespaces, and the end of those that policy refuses now.
struct ConnectionSweep: Sendable {
  var cut: ConnectionCut
  /// Those with a namespace of their own.
  let workloads: [(name: ResourceName, namespace: NetworkNamespace)]
  /// Those in the host's, by cgroup.
  let units: [(name: ResourceName, cgroup: Cgroup)]
  let host: NetworkNamespace
  let kernel: KernelDatapath
  /// Of a workload's number.
  let name: @Sendable (UInt32) -> ResourceName?
  let logger: Logger
  /// When the tables that it judges by were written. What began later was judged by the kernel, by these or later ones: a
  /// unit that is started again while the sweep of its stop runs keeps its new connections.
  let began = MonotonicClock.nanoseconds

  func run() {
    var sweep = self
    sweep.sweepHost()
    sweep.sweepNamespaces()
  }

  private func sweepNamespaces() {
    for (name, namespace) in self.workloads {
      do throws(MeshError) {
        try self.sweep(name, namespace)
      } catch {
        self.logger.error(
          "connections cannot be judged", metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
      }
    }
  }

  private func sweep(_ name: ResourceName, _ namespace: NetworkNamespace) throws(MeshError) {
    let records = try namespace.sockets()
    var cut = self.cut
    let flows = self.flows(of: records, in: namespace)
    cut.clientCookies.formUnion(flows.keys)
    for (cookie, flow) in flows where UInt32(flow.tier) == MESH_TIER_LEG.rawValue {
      guard let caller = self.name(flow.source_workload), caller != name else { continue }
      cut.legs[cookie] = caller
    }
    try self.destroy(cut.cuts(of: name, sockets: records.map(ObservedSocket.init)), records, namespace)
  }

  private mutating func sweepHost() {
    guard !self.units.isEmpty else { return }
    do throws(MeshError) {
      let records = try self.host.sockets()
      var units: [UInt64: ResourceName] = [:]
      for (name, cgroup) in self.units { for id in cgroup.identifiers() { units[id] = name } }
      self.cut.clientCookies = Set(self.flows(of: records, in: self.host).keys)
      let cuts = self.cut.cutsInHost(sockets: records.map(ObservedSocket.init), units: units)
      self.cut.clientCookies = []
      try self.destroy(cuts, records, self.host)
    } catch {
      self.logger.error("connections cannot be judged", metadata: [LogKey.error: "\(error)"])
    }
  }

  /// `flows` knows the sockets that the connect hook saw: these called, whatever their ports look like.
  private func flows(of records: [SocketRecord], in namespace: NetworkNamespace) -> [UInt64: mesh_flow] {
    var flows: [UInt64: mesh_flow] = [:]
    for record in records where !record.isListening {
      if let flow = try? self.kernel.flow(of: record, in: namespace) { flows[record.cookie] = flow }
    }
    return flows
  }

  private func destroy(
    _ cuts: [SocketCut], _ records: [SocketRecord], _ namespace: NetworkNamespace
  ) throws(MeshError) {
    guard !cuts.isEmpty else { return }
    let byCookie = Dictionary(records.map { ($0.cookie, $0) }, uniquingKeysWith: { first, _ in first })
    for denied in cuts {
      guard let record = byCookie[denied.socket.cookie], self.start(of: record, in: namespace) <= self.began,
        try namespace.destroy(record)
      else { continue }
      self.logger.notice(
        "connection cut",
        metadata: [
          LogKey.workload: "\(denied.workload)", "local": "\(record.local)", "remote": "\(record.remote)",
          LogKey.reason: "\(denied.verdict.reason)", LogKey.policy: "\(denied.verdict.policy?.description ?? "-")",
        ])
    }
  }

  /// When the connect hook let the connection begin, from either end of it. 0: it did not see it.
  private func start(of record: SocketRecord, in namespace: NetworkNamespace) -> UInt64 {
    let called = mesh_tuple(local: record.local, remote: record.remote, namespace: namespace.cookie)
    let accepted = mesh_tuple(local: record.remote, remote: record.local, namespace: namespace.cookie)
    for key in [called, accepted] {
      if let flow = (try? self.kernel.flows.get(key)) ?? nil { return flow.start_ns }
    }
    return 0
  }

  /// `net.ipv4.ip_local_port_range`; the kernel's default where it cannot be read.
  static var ephemeralPorts: ClosedRange<UInt16> {
    let text = (try? DiskFile.read("/proc/sys/net/ipv4/ip_local_port_range", limit: 64)) ?? []
    let numbers = String(decoding: text, as: UTF8.self).split { $0 == "\t" || $0 == " " || $0 == "\n" }
      .compactMap { UInt16($0) }
    guard numbers.count == 2, numbers[0] <= numbers[1] else { return 32768...60999 }
    return numbers[0]...numbers[1]
  }
}

extension ObservedSocket {
  fileprivate init(_ record: SocketRecord) {
    self.init(
      local: record.local, remote: record.remote, isListening: record.isListening, cookie: record.cookie,
      cgroup: record.cgroup)
  }
}
