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
  let workloads: [(name: ResourceName, namespace: NetworkNamespace)]
  let kernel: KernelDatapath
  let logger: Logger

  func run() {
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
    var byCookie: [UInt64: SocketRecord] = [:]
    var cut = self.cut
    for record in records {
      byCookie[record.cookie] = record
      // `flows` knows the sockets that the connect hook saw: these called, whatever their ports look like.
      if !record.isListening, (try? self.kernel.flow(of: record, in: namespace)) ?? nil != nil {
        cut.clientCookies.insert(record.cookie)
      }
    }
    let sockets = records.map {
      ObservedSocket(local: $0.local, remote: $0.remote, isListening: $0.isListening, cookie: $0.cookie)
    }
    for denied in cut.cuts(of: name, sockets: sockets) {
      guard let record = byCookie[denied.socket.cookie], try namespace.destroy(record) else { continue }
      self.logger.notice(
        "connection cut",
        metadata: [
          LogKey.workload: "\(name)", "local": "\(record.local)", "remote": "\(record.remote)",
          LogKey.reason: "\(denied.verdict.reason)", LogKey.policy: "\(denied.verdict.policy?.description ?? "-")",
        ])
    }
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
