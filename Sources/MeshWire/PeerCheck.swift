import Glibc
package import NIOCore

/// Who may use a socket of the control plane or the agent: root, and the user that this process runs as. The file mode says the same; this holds
/// if somebody changes the mode.
package enum PeerCheck {
  /// Who was turned away.
  package struct Refused: Error, Sendable, Equatable {
    /// 0 if the kernel did not say.
    package var pid: Int32
    package var uid: UInt32
  }

  /// `struct ucred` of unix(7), which Glibc's module leaves out.
  private struct Credentials: Sendable {
    var pid: pid_t
    var uid: uid_t
    var gid: gid_t
  }

  /// Closes the channel of somebody else, and then fails with `Refused`. A bootstrap with an asynchronous initializer, as
  /// gRPC's, leaves the connection open when the initializer fails (NIOAsyncChannelHandler drops the channel, unregistered):
  /// the peer would wait for ever, and its descriptor stay.
  package static func admit(_ channel: any Channel) -> EventLoopFuture<Void> {
    guard let provider = channel as? any SocketOptionProvider else {
      return Self.refuse(channel, Refused(pid: 0, uid: .max))
    }
    let peer: EventLoopFuture<Credentials> = provider.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    return peer.flatMapErrorThrowing { _ in throw Refused(pid: 0, uid: .max) }.flatMap { credentials in
      if Self.mayUse(uid: credentials.uid, own: geteuid()) { return channel.eventLoop.makeSucceededVoidFuture() }
      return Self.refuse(channel, Refused(pid: credentials.pid, uid: credentials.uid))
    }
  }

  private static func refuse(_ channel: any Channel, _ reason: Refused) -> EventLoopFuture<Void> {
    channel.close(promise: nil)
    return channel.eventLoop.makeFailedFuture(reason)
  }

  static func mayUse(uid: uid_t, own: uid_t) -> Bool { uid == 0 || uid == own }
}

/// Peers that were turned away: all are counted; the first is told, the second, the fourth and so on, so that whoever knocks
/// in a loop does not fill the log.
struct RefusedPeers: Sendable, Equatable {
  private(set) var count: UInt64 = 0

  /// True if it is to be told.
  mutating func refused() -> Bool {
    self.count &+= 1
    return self.count & (self.count &- 1) == 0
  }
}
