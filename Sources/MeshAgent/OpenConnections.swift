import CMeshABI
import Logging
import MeshBPF
import MeshBase
import MeshLinux
import MeshTelemetry

/// One look at the byte counters of the connections that are open, so that metrics move while they last. The kernel's own
/// table gets a connection's bytes at its end, which costs nothing while they flow.
///
/// Costs a dump of the sockets of each enrolled namespace and a look-up for each that is no listener: some two
/// microseconds a socket.
struct OpenConnections: Sendable {
  /// Each once.
  let namespaces: [(name: ResourceName, namespace: NetworkNamespace)]
  let kernel: KernelDatapath
  let names: FlowNames
  let logger: Logger

  /// Past that many sockets a namespace is left out: its bytes come when its connections end.
  static let limit = 100_000
  /// Between two looks.
  static let interval: UInt64 = 5_000_000_000

  func read() -> [(EdgeKey, EdgeCounters)] {
    var found: [(EdgeKey, EdgeCounters)] = []
    for (name, namespace) in self.namespaces {
      do throws(MeshError) {
        for socket in try namespace.sockets(limit: Self.limit, withBytes: true) where !socket.isListening {
          guard socket.acknowledgedBytes > 0, let flow = try self.kernel.flow(of: socket, in: namespace),
            Self.isCounted(flow)
          else { continue }
          found.append(
            (
              self.names.edge(mesh_edge_key(of: flow)),
              EdgeCounters(sentBytes: socket.sentBytes, receivedBytes: socket.receivedBytes)
            ))
        }
      } catch {
        self.logger.debug(
          "open connections cannot be read", metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
      }
    }
    return found
  }

  /// As in the kernel: the client's half of a relayed connection is not counted.
  private static func isCounted(_ flow: mesh_flow) -> Bool {
    [MESH_TIER_KERNEL.rawValue, MESH_TIER_LEG.rawValue].contains(UInt32(flow.tier))
  }
}

extension mesh_edge_key {
  /// The key under which the kernel counts this flow.
  fileprivate init(of flow: mesh_flow) {
    self.init(
      source_workload: flow.source_workload, destination_workload: flow.destination_workload, service: flow.service,
      port_be: flow.original_port_be, tier: flow.tier, reason: flow.reason)
  }
}

extension Agent {
  /// On a thread that is not the actor's, and not more often than every few seconds.
  func observeOpenConnections(_ names: FlowNames) async {
    let now = MonotonicClock.nanoseconds
    guard now >= self.nextOpenBytes else { return }
    self.nextOpenBytes = now + OpenConnections.interval
    let base = self.edges
    let look = OpenConnections(
      namespaces: self.enrolled.values.namespaces, kernel: self.kernel, names: names, logger: self.logger)
    let open = await Task.detached { look.read() }.value
    self.edges.observe(open: open, base: base)
  }
}
