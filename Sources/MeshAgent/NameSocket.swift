import MeshBase
import MeshLinux

/// A socket inside a workload's namespace that names are answered on. The agent holds it as long as the workload wants
/// names, whatever becomes of the proxy: questions wait in it meanwhile.
final class NameSocket: Sendable {
  let descriptor: Descriptor
  let isV4: Bool
  let isDatagram: Bool
  let cookie: UInt64

  init(_ descriptor: consuming Descriptor, isV4: Bool, isDatagram: Bool) {
    self.cookie = descriptor.socketCookie
    self.descriptor = descriptor
    self.isV4 = isV4
    self.isDatagram = isDatagram
  }

  func key(cookie: UInt64) -> ListenerAdoption.Key {
    ListenerAdoption.Key(cookie: cookie, isV4: self.isV4, kind: self.isDatagram ? .nameDatagrams : .nameListener)
  }

  /// UDP and TCP on 127.0.0.1 and ::1; a namespace without IPv6 has only the first. All that it can have, or an error.
  static func open(
    in namespace: NetworkNamespace, adopted: [ListenerAdoption.Key: NameSocket]
  ) throws(MeshError) -> [NameSocket] {
    var sockets: [NameSocket] = []
    for isV4 in [true, false] {
      for kind in [ListenerAdoption.Kind.nameDatagrams, .nameListener] {
        if let socket = adopted[ListenerAdoption.Key(cookie: namespace.cookie, isV4: isV4, kind: kind)] {
          sockets.append(socket)
          continue
        }
        do throws(MeshError) {
          sockets.append(try self.open(SocketEndpoint(.loopback(isV4: isV4), MeshPort.dns), kind, in: namespace))
        } catch {
          guard isV4 || error.code == .conflict else { continue }
          throw error
        }
      }
    }
    return sockets
  }

  private static func open(
    _ endpoint: SocketEndpoint, _ kind: ListenerAdoption.Kind, in namespace: NetworkNamespace
  ) throws(MeshError) -> NameSocket {
    let isDatagram = kind == .nameDatagrams
    let descriptor =
      isDatagram ? try namespace.openDatagrams(endpoint) : try namespace.openListener(endpoint, backlog: 256)
    return NameSocket(descriptor, isV4: endpoint.address.isV4, isDatagram: isDatagram)
  }
}
