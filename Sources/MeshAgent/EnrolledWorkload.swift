import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux

/// A relay listener inside a workload's namespace. The agent holds it as long as the workload is enrolled, whatever
/// becomes of the proxy.
final class RelayListener: Sendable {
  let descriptor: Descriptor
  let isV4: Bool
  /// The kernel's number of the socket.
  let cookie: UInt64

  init(_ descriptor: consuming Descriptor, isV4: Bool) {
    self.cookie = descriptor.socketCookie
    self.descriptor = descriptor
    self.isV4 = isV4
  }

  /// On 127.0.0.1 and ::1; a namespace without IPv6 has only the first.
  static func open(
    in namespace: NetworkNamespace, adopted: [ListenerAdoption.Key: RelayListener]
  ) throws(MeshError) -> [RelayListener] {
    var listeners: [RelayListener] = []
    for (address, isV4) in [(IPAddress.loopbackV4, true), (IPAddress.loopbackV6, false)] {
      if let listener = adopted[ListenerAdoption.Key(cookie: namespace.cookie, isV4: isV4)] {
        listeners.append(listener)
        continue
      }
      do throws(MeshError) {
        let descriptor = try namespace.openListener(SocketEndpoint(address, MeshPort.outbound), backlog: 4096)
        listeners.append(RelayListener(descriptor, isV4: isV4))
      } catch {
        guard isV4 || error.code == .conflict else { continue }
        throw error
      }
    }
    return listeners
  }
}

/// A workload of this node whose namespace is open.
struct EnrolledWorkload: Sendable {
  let name: ResourceName
  /// Of its namespace, or of its cgroup in the host's.
  let id: FileID
  let namespace: NetworkNamespace
  /// In the host's namespace.
  var cgroup: Cgroup?
  var listeners: [RelayListener]
  var local: LocalWorkload
  /// What `local.segment` is from.
  var segment = NetworkSegment()
  /// Admission and edge are attached: only then it counts as enrolled.
  var isAttached = false
  /// The number under which the proxy knows its name.
  var toldNumber: UInt32?

  /// It shares the host's namespace with others.
  var isInHost: Bool { self.cgroup != nil }
}

extension Collection where Element == EnrolledWorkload {
  /// Each namespace once, with one of its workloads for messages: those of the host share theirs.
  var namespaces: [(name: ResourceName, namespace: NetworkNamespace)] {
    var seen: Set<UInt64> = []
    return self.compactMap { seen.insert($0.namespace.cookie).inserted ? ($0.name, $0.namespace) : nil }
  }
}
