import CMeshLinux
import Glibc
package import MeshBase

/// A TCP socket as the kernel lists it, at one moment.
package struct SocketRecord: Hashable, Sendable {
  /// netinet/tcp.h and include/net/tcp_states.h.
  package enum State: UInt8, Hashable, Sendable {
    case established = 1
    case synSent = 2
    case synReceived = 3
    case finWait1 = 4
    case finWait2 = 5
    case timeWait = 6
    case close = 7
    case closeWait = 8
    case lastAck = 9
    case listen = 10
    case closing = 11
    case newSynReceived = 12
    case boundInactive = 13
    /// A state that a later kernel has.
    case unknown = 255
  }

  package var local: SocketEndpoint
  package var remote: SocketEndpoint
  package var state: State
  /// Of the socket, not of its addresses: an IPv6 socket may carry IPv4.
  package var isV6Socket: Bool
  /// Never used twice until the next boot.
  package var cookie: UInt64
  /// 0: no file refers to it any more (TIME_WAIT, or closed and not yet gone, or not yet accepted).
  package var inode: UInt32
  package var uid: UInt32
  /// The interface it is bound to, 0: none.
  package var interface: UInt32
  /// The cgroup of the process that made it; 0: the kernel does not say.
  package var cgroup: UInt64
  /// Ours that the peer acknowledged, SYN and FIN counted as bytes. 0 unless `sockets` was asked for bytes.
  package var acknowledgedBytes: UInt64 = 0
  /// The peer's, its FIN counted as a byte.
  package var arrivedBytes: UInt64 = 0

  package var isListening: Bool { self.state == .listen }

  /// Bytes of the application that the peer has acknowledged, never more than that.
  package var sentBytes: UInt64 {
    let isFINSent = [.finWait1, .finWait2, .closing, .lastAck].contains(self.state)
    return self.acknowledgedBytes - min(self.acknowledgedBytes, isFINSent ? 2 : 1)
  }

  /// Bytes of the peer's application that have arrived.
  package var receivedBytes: UInt64 {
    let isFINReceived = [.closeWait, .closing, .lastAck].contains(self.state)
    return self.arrivedBytes - min(self.arrivedBytes, isFINReceived ? 1 : 0)
  }
}

extension SocketRecord {
  init(_ raw: cmesh_socket) {
    self.local = SocketEndpoint(IPAddress(high: raw.local.high, low: raw.local.low), raw.local_port)
    self.remote = SocketEndpoint(IPAddress(high: raw.remote.high, low: raw.remote.low), raw.remote_port)
    self.state = State(rawValue: raw.state) ?? .unknown
    self.isV6Socket = raw.family == UInt8(AF_INET6)
    self.cookie = raw.cookie
    self.inode = raw.inode
    self.uid = raw.uid
    self.interface = raw.interface
    self.cgroup = raw.cgroup
    self.acknowledgedBytes = raw.bytes_acked
    self.arrivedBytes = raw.bytes_received
  }

  var raw: cmesh_socket {
    cmesh_socket(
      local: cmesh_address(high: self.local.address.high, low: self.local.address.low),
      remote: cmesh_address(high: self.remote.address.high, low: self.remote.address.low), cookie: self.cookie,
      cgroup: self.cgroup, bytes_acked: self.acknowledgedBytes, bytes_received: self.arrivedBytes,
      interface: self.interface, uid: self.uid, inode: self.inode, local_port: self.local.port,
      remote_port: self.remote.port, family: UInt8(self.isV6Socket ? AF_INET6 : AF_INET), state: self.state.rawValue,
      zero: 0)
  }
}

extension NetworkNamespace {
  /// Every TCP socket of the namespace, in every state. More than `limit` is an error (`exhausted`).
  ///
  /// - withBytes: byte counters too; costs about a microsecond more a socket.
  package func sockets(limit: Int = 1_000_000, withBytes: Bool = false) throws(MeshError) -> [SocketRecord] {
    var found: UnsafeMutablePointer<cmesh_socket>?
    var count = 0
    let result = self.withDescriptor { cmesh_netns_tcp_sockets($0, max(0, limit), withBytes ? 1 : 0, &found, &count) }
    defer { cmesh_free(found) }
    guard result >= 0 else {
      throw SystemError(-result, "SOCK_DIAG_BY_FAMILY").meshError(self.name, "cannot list sockets")
    }
    return UnsafeBufferPointer(start: found, count: count).map(SocketRecord.init)
  }

  /// Ends the socket: its owner's calls fail with ECONNABORTED, its peer gets a reset. False: it was gone already.
  @discardableResult
  package func destroy(_ socket: SocketRecord) throws(MeshError) -> Bool {
    var raw = socket.raw
    let result = self.withDescriptor { cmesh_netns_destroy_socket($0, &raw) }
    switch result {
    case 0...: return true
    case -ENOENT, -ESRCH: return false
    default:
      throw SystemError(-result, "SOCK_DESTROY").meshError(
        "\(self.name) \(socket.local) to \(socket.remote)", "cannot end the connection",
        next: "it needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY")
    }
  }
}
