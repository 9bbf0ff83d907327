import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux

/// A relay listener inside a workload's namespace. The agent holds it as long as the workload is enrolled, whatever
/// becomes of the proxy.
final class RelayListener: Sendable {
  let descriptor: Descriptor
  let isV4: Bool
  /// Tunnels of other hosts come there; else connections of the namespace itself.
  let isTunnel: Bool
  /// The kernel's number of the socket.
  let cookie: UInt64

  init(_ descriptor: consuming Descriptor, isV4: Bool, isTunnel: Bool = false) {
    self.cookie = descriptor.socketCookie
    self.descriptor = descriptor
    self.isV4 = isV4
    self.isTunnel = isTunnel
  }

  func key(in namespace: UInt64) -> ListenerAdoption.Key {
    ListenerAdoption.Key(cookie: namespace, isV4: self.isV4, kind: self.isTunnel ? .tunnel : .outbound)
  }

  /// On 127.0.0.1 and ::1, and for tunnels on all addresses; a namespace without IPv6 has only the first of each.
  static func open(
    in namespace: NetworkNamespace, withTunnels: Bool, adopted: [ListenerAdoption.Key: RelayListener]
  ) throws(MeshError) -> [RelayListener] {
    var listeners: [RelayListener] = []
    for (isTunnel, isV4) in [(false, true), (false, false), (true, true), (true, false)] where withTunnels || !isTunnel
    {
      let key = ListenerAdoption.Key(cookie: namespace.cookie, isV4: isV4, kind: isTunnel ? .tunnel : .outbound)
      if let listener = adopted[key] {
        listeners.append(listener)
        continue
      }
      do throws(MeshError) {
        let descriptor = try namespace.openListener(key.place, backlog: 4096)
        listeners.append(RelayListener(descriptor, isV4: isV4, isTunnel: isTunnel))
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
