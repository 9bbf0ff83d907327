import Glibc
package import NIOCore

/// Who may use a socket of the control plane or the agent: root, and the user that this process runs as. The file mode says the same; this holds
/// if somebody changes the mode.
package enum PeerCheck {
  package struct Refused: Error {}

  /// `struct ucred` of unix(7), which Glibc's module leaves out.
  private struct Credentials: Sendable {
    var pid: pid_t
    var uid: uid_t
    var gid: gid_t
  }

  package static func admit(_ channel: any Channel) -> EventLoopFuture<Void> {
    guard let provider = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeFailedFuture(Refused())
    }
    let peer: EventLoopFuture<Credentials> = provider.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    return peer.flatMapThrowing { credentials in
      guard Self.mayUse(uid: credentials.uid, own: geteuid()) else { throw Refused() }
    }
  }

  static func mayUse(uid: uid_t, own: uid_t) -> Bool { uid == 0 || uid == own }
}
