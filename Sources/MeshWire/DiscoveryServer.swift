import FoundationEssentials
import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import Logging
package import MeshBase
import MeshProto
package import MeshSnapshot
package import MeshSync
import NIOCore
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
    /// How often it is looked whether somebody removed the socket.
    package var repairInterval = Duration.seconds(1)

    /// Where agents of other hosts are served, over TLS. Nil: nowhere.
    package var networkAddress: SocketEndpoint?

    package init(socketPath: String) { self.socketPath = socketPath }
  }

  private struct State {
    var network: GRPCServer<HTTP2ServerTransport.Posix>?
    var networkAddress: SocketEndpoint?
    var refusals: [String: UInt64] = [:]
    var streams: [UInt64: ContentVersion?] = [:]
    var lastStream: UInt64 = 0
    var listener: UnixListener?
    var problem: MeshError?
    var refused = RefusedPeers()
    var server: GRPCServer<HTTP2ServerTransport.Posix>?
    var isEnding = false
  }

  private let configuration: Configuration
  private let board: CatalogueBoard
  /// Who signs, and by whom peers of the network are judged.
  private let authority: (any IdentityAuthority)?
  /// What agents say of their workloads.
  package let statuses = StatusBoard()
  private let logger: Logger
  private let state = Mutex(State())
  private let directory: Mutex<SocketDirectory>
  private let (listening, listeningContinuation) = AsyncStream.makeStream(of: Void.self)

  /// `epoch` is larger at each start of the control plane.
  package init(
    _ configuration: Configuration, epoch: UInt64, authority: (any IdentityAuthority)? = nil, logger: Logger
  ) {
    self.authority = authority
    self.configuration = configuration
    self.directory = Mutex(SocketDirectory(of: configuration.socketPath))
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

  /// Why agents cannot reach the socket now: somebody removed it, and it cannot be made again. Nil: they can.
  package var problem: MeshError? { self.state.withLock { $0.problem } }

  /// Peers that were turned away, because they are neither root nor this process's own user.
  package var refusedPeers: UInt64 { self.state.withLock { $0.refused.count } }

  /// It holds the socket's path.
  package var isListening: Bool { self.state.withLock { $0.listener != nil } }

  /// Serves until the task is cancelled or shut down gracefully. A socket that somebody removes is made again; streams go on.
  package func run() async throws {
    let (sockets, found) = AsyncStream.makeStream(of: CInt.self)
    // The path and its lock are ours until the last stream has ended.
    defer { self.state.withLock { $0.listener = nil } }
    try self.listen { found.yield($0) }
    self.listeningContinuation.finish()
    try await withTaskCancellationHandler {
      try await withGracefulShutdownHandler {
        try await withThrowingDiscardingTaskGroup { group in
          group.addTask {
            await self.keepListening { found.yield($0) }
            found.finish()
          }
          if let address = self.configuration.networkAddress, let authority = self.authority {
            group.addTask { try await self.serveNetwork(address, authority) }
          }
          for await socket in sockets { group.addTask { try await self.serve(socket) } }
        }
      } onGracefulShutdown: {
        self.end()
      }
    } onCancel: {
      self.board.close()
    }
  }

  private func listen(_ take: (CInt) -> Void) throws(MeshError) {
    self.directory.withLock { $0.keep() }
    let listener = try UnixListener.open(
      path: self.configuration.socketPath, after: self.state.withLock { $0.listener })
    self.state.withLock { $0.listener = listener }
    if let socket = listener.takeSocket() { take(socket) }
  }

  private func keepListening(_ take: @escaping @Sendable (CInt) -> Void) async {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        try? await Task.sleep(for: self.configuration.repairInterval)
        guard !Task.isCancelled, let listener = self.state.withLock({ $0.listener }), !listener.isWhole else {
          continue
        }
        do throws(MeshError) {
          try self.listen(take)
          self.state.withLock { $0.problem = nil }
          self.logger.error(
            "somebody removed it: it is made again", metadata: [LogKey.path: "\(self.configuration.socketPath)"])
        } catch {
          let isNews = self.state.withLock { state in
            defer { state.problem = error }
            return state.problem?.description != error.description
          }
          if isNews { self.logger.error("socket cannot be made again", metadata: [LogKey.error: "\(error)"]) }
        }
      }
    }
  }

  /// One listener, until it is replaced or the server ends, and the streams that came by it.
  private func serve(_ socket: CInt) async throws {
    let server = GRPCServer(transport: self.transport(socket), services: [Endpoint(server: self)])
    let (previous, isEnding) = self.state.withLock { state in
      defer { state.server = server }
      return (state.server, state.isEnding)
    }
    // Takes no more connections; its streams go on.
    previous?.beginGracefulShutdown()
    if isEnding { server.beginGracefulShutdown() }
    try await server.serve()
  }

  /// First the streams end, or they would hold the server up for as long as the agents like.
  private func end() {
    self.board.close()
    let (server, network) = self.state.withLock { state in
      state.isEnding = true
      return (state.server, state.network)
    }
    server?.beginGracefulShutdown()
    network?.beginGracefulShutdown()
  }

  // MARK: the network

  /// Where agents of other hosts connect to, once it is open.
  package var networkAddress: SocketEndpoint? { self.state.withLock { $0.networkAddress } }

  /// Peers of the network that were turned away, by reason.
  package var refusals: [String: UInt64] { self.state.withLock { $0.refusals } }

  /// Every agent that is connected has acknowledged the configuration of the mesh that is served: with it, the roots.
  package var allHoldConfig: Bool {
    guard let version = self.board.current?.catalogue.items[.config]?.values.first?.version else { return false }
    return self.state.withLock { state in state.streams.values.allSatisfy { $0 == version } }
  }

  private func serveNetwork(_ address: SocketEndpoint, _ authority: any IdentityAuthority) async throws {
    let refused: @Sendable (String) -> Void = { [weak self] reason in self?.turnedAway(reason) }
    let transport = HTTP2ServerTransport.Posix(
      address: address.grpc, transportSecurity: .plaintext,
      config: self.transportConfiguration { WireTLS.accept($0, authority, refused: refused) })
    let server = GRPCServer(transport: transport, services: [Endpoint(server: self, isNetwork: true)])
    let isEnding = self.state.withLock { state in
      state.network = server
      return state.isEnding
    }
    if isEnding { server.beginGracefulShutdown() }
    try await withThrowingDiscardingTaskGroup { group in
      group.addTask {
        do {
          try await server.serve()
        } catch {
          throw MeshError(
            .unavailable, "\(address)", "cannot be listened on", cause: "\(error)",
            next: "give --listen an address of this host and a port that is free")
        }
      }
      group.addTask {
        guard let bound = SocketEndpoint(try? await transport.listeningAddress) else { return }
        self.state.withLock { $0.networkAddress = bound }
        self.logger.info("serving agents of other hosts", metadata: ["address": "\(bound)"])
      }
    }
  }

  /// Each reason's first, second, fourth and so on is told: strangers may knock in a loop.
  private func turnedAway(_ reason: String) {
    let count = self.state.withLock { state in
      state.refusals[reason, default: 0] &+= 1
      return state.refusals[reason] ?? 0
    }
    guard count & (count &- 1) == 0 else { return }
    self.logger.warning(
      "a connection was refused", metadata: [LogKey.reason: "\(reason)", LogKey.count: "\(count)"])
  }

  private func turnedAway(_ peer: PeerCheck.Refused) {
    let (isNews, count) = self.state.withLock { ($0.refused.refused(), $0.refused.count) }
    guard isNews else { return }
    self.logger.warning(
      "a connection was refused: neither root nor this process's user",
      metadata: [
        LogKey.path: "\(self.configuration.socketPath)", "uid": "\(peer.uid)", "pid": "\(peer.pid)",
        LogKey.count: "\(count)",
      ])
  }

  private func transport(_ socket: CInt) -> HTTP2ServerTransport.Posix {
    let refused: @Sendable (PeerCheck.Refused) -> Void = { [weak self] peer in self?.turnedAway(peer) }
    return .http2NIOPosix(
      listeningSocketDescriptor: Int(socket), transportSecurity: .plaintext,
      config: self.transportConfiguration { channel in
        PeerCheck.admit(channel).flatMapErrorThrowing { error in
          if let peer = error as? PeerCheck.Refused { refused(peer) }
          throw error
        }
      })
  }

  private func transportConfiguration(
    _ admit: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
  ) -> HTTP2ServerTransport.Posix.Config {
    .defaults { config in
      config.rpc.maxRequestPayloadSize = MeshProto.maximumMessageSize
      config.connection.keepalive.time = self.configuration.keepaliveTime
      config.connection.keepalive.timeout = self.configuration.keepaliveTimeout
      // Agents ping every 30 s; the default calls that abuse while no call is open.
      config.connection.keepalive.clientBehavior.allowWithoutCalls = true
      config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(5)
      config.channelDebuggingCallbacks.onAcceptTCPConnection = admit
    }
  }

  private struct Endpoint: RegistrableRPCService {
    let server: DiscoveryServer
    /// Its peers are known by certificates, not by the kernel.
    var isNetwork = false

    private func peer(_ context: ServerContext) throws -> WirePeer {
      self.isNetwork ? try WirePeer(context, self.server.authority) : .local
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
      let server = self.server
      if let authority = server.authority {
        IdentityEndpoint(authority: authority, isNetwork: self.isNetwork).register(with: &router)
      }
      router.registerHandler(
        forMethod: .deltaResources, deserializer: BytesDeserializer(), serializer: BytesSerializer()
      ) { request, context in
        let peer = try self.peer(context)
        return StreamingServerResponse(of: [UInt8].self) { writer in
          try await server.serve(request.messages, writer, peer)
          return [:]
        }
      }
      router.registerHandler(
        forMethod: .reportStatus, deserializer: BytesDeserializer(), serializer: BytesSerializer()
      ) { request, context in
        let peer = try self.peer(context)
        return StreamingServerResponse(of: [UInt8].self) { writer in
          try await server.serveStatuses(request.messages, writer, peer)
          return [:]
        }
      }
    }
  }

  private func serveStatuses(
    _ requests: RPCAsyncSequence<[UInt8], any Error>, _ writer: RPCWriter<[UInt8]>, _ peer: WirePeer
  ) async throws {
    // Ends with the server's end.
    let updates = self.board.updates()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.statuses.serve(requests, writer, peer: peer) }
      group.addTask { for await _ in updates { try peer.isStillGood(self.authority) } }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func serve(
    _ requests: RPCAsyncSequence<[UInt8], any Error>, _ writer: RPCWriter<[UInt8]>, _ peer: WirePeer
  ) async throws {
    let stream = ServerStream(
      writer: writer, configuration: self.configuration.session, peer: peer, logger: self.logger)
    let number = self.state.withLock { state in
      state.lastStream += 1
      state.streams.updateValue(nil, forKey: state.lastStream)
      return state.lastStream
    }
    defer { self.state.withLock { state in _ = state.streams.removeValue(forKey: number) } }
    let updates = self.board.updates()
    do {
      // The first of the two to end ends the stream: the agent has gone, or the server is shutting down.
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          for try await bytes in requests {
            try await stream.received(bytes)
            let held = await stream.heldConfig
            self.state.withLock { state in _ = state.streams.updateValue(held, forKey: number) }
          }
        }
        group.addTask {
          for await catalogue in updates {
            try peer.isStillGood(self.authority)
            try await stream.changed(catalogue)
          }
        }
        // A stream does not outlive the certificate that opened it: the agent has the next one by then.
        if let end = peer.ends {
          group.addTask {
            try await Task.sleep(for: .seconds(max(end.timeIntervalSinceNow, 0)))
            throw RPCError(code: .unauthenticated, message: "the certificate has expired")
          }
        }
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
