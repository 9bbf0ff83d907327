/// # MeshLink: what the agent and the node proxy say to each other, both ends
///
/// Two Unix sockets in the run directory, owned by the proxy's user, mode 0600:
///
/// - `proxy.sock` (stream): frames of {length, kind, body}. Down: revisions of entries (`begin`, changes, `commit`),
///   who the numbers of workloads are, and withdrawals. Up: `hello`, `applied`, requests for upstream sockets, counters. One proxy serves; a candidate beside it
///   gets revisions until it is promoted, one that drains keeps the link for its last sockets (`ProxyLinkCore+Roles`).
/// - `fds.sock` (SEQPACKET): listeners, sockets to answer names on, and fresh upstream sockets by SCM_RIGHTS, at most 64 a
///   message, down only. The proxy reads it on a thread of its own, because descriptors need recvmsg(2), which NIO does not
///   call.
///
/// Read in this order: `LinkMessage` (the words), `LinkFraming` and `LinkCodec` (the bytes; `LinkCodec+Core`: those that never change), `RevisionAssembler` and
/// `PublishMachine` (what a revision is, at either end), `DescriptorHeader`, then the drivers: `ProxyLinkServer` (agent)
/// and `ProxyLinkClient` (proxy). Everything but the drivers is pure.
///
/// Invariants: the proxy's table changes only at `commit`; at most one revision is under way; bytes that make no frame
/// end the connection with a reason and never the process; each descriptor has one owner at any time.
package enum MeshLink {
  package static let streamSocketName = "proxy.sock"
  package static let descriptorSocketName = "fds.sock"
  /// Descriptors in one message.
  package static let descriptorsPerMessage = 64
  /// A revision is handed to the socket in pieces of about this size.
  static let chunkBytes = 256 << 10
}
