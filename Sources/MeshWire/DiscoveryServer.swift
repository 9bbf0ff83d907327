import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import Logging
import MeshBase
import MeshProto
package import MeshSnapshot
package import MeshSync
import ServiceLifecycle
import Synchronization

/// The control plane's side: serves delta sessions on a Unix socket. Says nothing before the first `publish`.
package final class DiscoveryServer: Service {
  package struct Configuration: Sendable {
    package var socketPath: String
    package var session = ServerSession.Configuration.defaults
    /// Entries that are larger are withheld: nodes keep what they have.
    package var maximumEntrySize = MeshProto.maximumEntrySize
    /// A peer that does not answer a ping is gone.
    package var keepaliveTime = Duration.seconds(30)
    package var keepaliveTimeout = Duration.seconds(10)

    package init(socketPath: String) { self.socketPath = socketPath }
  }

  private let configuration: Configuration
  private let board: CatalogueBoard
  private let logger: Logger
  private let (listening, listeningContinuation) = AsyncStream.makeStream(of: Void.self)

  /// `epoch` is larger at each start of the control plane.
  package init(_ configuration: Configuration, epoch: UInt64, logger: Logger) {
    self.configuration = configuration
    self.board = CatalogueBoard(epoch: epoch, maximumEntrySize: configuration.maximumEntrySize)
    self.logger = logger
  }

  /// The state that is served, nil before the first `publish`.
  package var version: SystemVersion? { self.board.current?.catalogue.version }

  /// Serves this snapshot from now on. Returns the entries that are too large to be sent, with their sizes.
  @discardableResult
  package func publish(_ snapshot: Snapshot) -> [EntryKey: Int] {
    guard let next = self.board.publish(snapshot) else { return self.board.current?.withheld ?? [:] }
    self.logger.info(
      "serving",
      metadata: [
        LogKey.revision: "\(next.catalogue.version)", LogKey.count: "\(next.catalogue.changed.count)",
      ])
    return next.withheld
  }

  /// Returns when the socket can be connected to.
  package func waitUntilListening() async {
    for await _ in self.listening { return }
  }

  /// Serves until the task is cancelled or shut down gracefully.
  package func run() async throws {
    var listener = try UnixListener(path: self.configuration.socketPath)
    guard let socket = listener.takeSocket() else { return }
    let server = GRPCServer(transport: self.transport(socket), services: [Endpoint(server: self)])
    self.listeningContinuation.finish()
    try await withTaskCancellationHandler {
      try await withGracefulShutdownHandler {
        try await server.serve()
      } onGracefulShutdown: {
        // First the streams end, or they would hold the server up for as long as the agents like.
        self.board.close()
        server.beginGracefulShutdown()
      }
    } onCancel: {
      self.board.close()
    }
    // The path and its lock are ours until the last stream has ended.
    _ = consume listener
  }

  private func transport(_ socket: CInt) -> HTTP2ServerTransport.Posix {
    .http2NIOPosix(
      listeningSocketDescriptor: Int(socket), transportSecurity: .plaintext,
      config: .defaults { config in
        config.rpc.maxRequestPayloadSize = MeshProto.maximumMessageSize
        config.connection.keepalive.time = self.configuration.keepaliveTime
        config.connection.keepalive.timeout = self.configuration.keepaliveTimeout
        // Agents ping every 30 s; the default calls that abuse while no call is open.
        config.connection.keepalive.clientBehavior.allowWithoutCalls = true
        config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(5)
        config.channelDebuggingCallbacks.onAcceptTCPConnection = { PeerCheck.admit($0) }
      })
  }

  private struct Endpoint: RegistrableRPCService {
    let server: DiscoveryServer

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
      let server = self.server
      router.registerHandler(
        forMethod: .deltaResources, deserializer: BytesDeserializer(), serializer: BytesSerializer()
      ) { request, _ in
        StreamingServerResponse(of: [UInt8].self) { writer in
          try await server.serve(request.messages, writer)
          return [:]
        }
      }
    }
  }

  private func serve(_ requests: RPCAsyncSequence<[UInt8], any Error>, _ writer: RPCWriter<[UInt8]>) async throws {
    let stream = ServerStream(writer: writer, configuration: self.configuration.session, logger: self.logger)
    let updates = self.board.updates()
    do {
      // The first of the two to end ends the stream: the agent has gone, or the server is shutting down.
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { for try await bytes in requests { try await stream.received(bytes) } }
        group.addTask { for await catalogue in updates { try await stream.changed(catalogue) } }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch {
      await stream.ended()
      throw error
    }
    await stream.ended()
  }
}
