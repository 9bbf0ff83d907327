import Glibc
package import MeshBase
package import NIOCore
import NIOHTTP1
import NIOPosix

/// A small HTTP/1 server for reports. Each connection carries one request and is closed after the answer, so nothing can
/// be pipelined, smuggled or held; what an unknown client can cost is bounded by `Limits`.
///
/// All connections of a server live on one event loop: reports are few, and a count needs no lock.
package struct ReportServer: Sendable {
  package struct Limits: Sendable {
    /// More are closed as they come.
    package var connections = 64
    /// Of a request, head and body and whatever follows. More is answered with 431.
    package var requestBytes = 16_384
    /// From accept to the end of the request.
    package var requestDeadline = TimeAmount.seconds(10)
    /// From the end of the request to the first byte of the answer.
    package var answerDeadline = TimeAmount.seconds(30)
    /// For the client to take a written part of the answer.
    package var stallDeadline = TimeAmount.seconds(30)
    /// For the client to close after the answer, before it is closed without courtesy.
    package var lingerDeadline = TimeAmount.seconds(1)

    package init() {}

    package static let defaults = Limits()
  }

  package enum Address: Sendable, Hashable {
    case tcp(SocketEndpoint)
    /// A Unix socket with mode 0600, from its first moment on. A socket that is there already is replaced.
    case unix(path: String)
  }

  package typealias Route = @Sendable (ReportRequest, ReportWriter) async throws -> Void

  private let channel: any Channel
  /// Of a Unix socket: its path, and which file it was made as.
  private let file: (path: String, id: SocketFile?)?
  private let connections: NIOLoopBoundBox<[ObjectIdentifier: any Channel]>

  /// Where it listens, if that is a port: for a server that asked for port 0.
  package var port: UInt16? { self.channel.localAddress?.port.flatMap { UInt16(exactly: $0) } }

  package static func start(
    _ address: Address, on group: any EventLoopGroup, limits: Limits = .defaults, route: @escaping Route
  ) async throws(MeshError) -> ReportServer {
    let loop = group.next()
    let connections = NIOLoopBoundBox<[ObjectIdentifier: any Channel]>.makeBoxSendingValue([:], eventLoop: loop)
    let isLocal =
      switch address {
      case .tcp: false
      case .unix: true
      }
    let bootstrap = ServerBootstrap(group: loop)
      .serverChannelOption(.backlog, value: 64)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        // The file mode says the same; this holds if somebody changes the mode.
        let admitted = isLocal ? PeerCheck.admit(channel) : channel.eventLoop.makeSucceededVoidFuture()
        return admitted.assumeIsolated().flatMapThrowing {
          guard connections.value.count < limits.connections else { throw Full() }
          let id = ObjectIdentifier(channel)
          connections.value[id] = channel
          channel.closeFuture.assumeIsolated().whenComplete { _ in connections.value[id] = nil }
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(RequestMeter(limit: limits.requestBytes))
          try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
          try pipeline.addHandler(HTTPResponseEncoder())
          try pipeline.addHandler(ReportHandler(limits: limits, route: route))
        }.nonisolated()
      }
    do {
      switch address {
      case .tcp(let endpoint):
        let channel = try await bootstrap.bind(
          host: endpoint.address.description, port: Int(endpoint.port)
        ).get()
        return ReportServer(channel: channel, file: nil, connections: connections)
      case .unix(let path):
        let listener = try Self.unixListener(path)
        let id = SocketFile(path: path)
        let channel = try await bootstrap.withBoundSocket(listener).get()
        return ReportServer(channel: channel, file: (path, id), connections: connections)
      }
    } catch let error as MeshError {
      throw error
    } catch {
      throw MeshError(
        .unavailable, "\(address)", "cannot be listened on", cause: "\(error)",
        next: "another process may hold it, perhaps another agent")
    }
  }

  /// Whether the file at the path still is its socket. True for a TCP port.
  package var isReachable: Bool {
    guard let file = self.file else { return true }
    return file.id != nil && SocketFile(path: file.path) == file.id
  }

  /// Closes the listener; connections end by themselves.
  package func stopListening() async { try? await self.channel.close().get() }

  /// Closes the listener and every connection.
  package func stop() async {
    try? await self.channel.close().get()
    let connections = self.connections
    try? await self.channel.eventLoop.submit {
      for channel in connections.value.values { channel.close(promise: nil) }
    }.get()
  }

  /// Connections that are open now.
  package func openConnections() async -> Int {
    let connections = self.connections
    return (try? await self.channel.eventLoop.submit { connections.value.count }.get()) ?? 0
  }

  private struct Full: Error {}

  /// The mode of a Unix socket is that of the descriptor when it is bound (net/unix/af_unix.c, unix_bind_bsd), so fchmod
  /// before bind leaves no moment in which others could connect, and needs no umask, which belongs to all threads.
  private static func unixListener(_ path: String) throws -> CInt {
    let address = try SocketAddress(unixDomainSocketPath: path)
    if let status = SocketFile(path: path) {
      guard status.isSocket else {
        throw MeshError(.conflict, path, "is there and is no socket", next: "remove it, or choose another --run-dir")
      }
      unlink(path)
    }
    let descriptor = socket(
      AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { throw self.failure(path, "socket") }
    guard fchmod(descriptor, 0o600) == 0 else { throw self.failure(path, "fchmod", closing: descriptor) }
    guard address.withSockAddr({ bind(descriptor, $0, socklen_t($1)) }) == 0 else {
      throw self.failure(path, "bind", closing: descriptor)
    }
    guard listen(descriptor, 64) == 0 else { throw self.failure(path, "listen", closing: descriptor) }
    return descriptor
  }

  private static func failure(_ path: String, _ call: String, closing descriptor: CInt = -1) -> MeshError {
    let number = errno
    if descriptor >= 0 { close(descriptor) }
    return MeshError(
      .unavailable, path, "\(call) failed", cause: String(cString: strerror(number)),
      next: "the directory must exist and belong to root")
  }
}
