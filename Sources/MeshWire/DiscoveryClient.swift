import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import Logging
package import MeshBase
import MeshProto
package import MeshSnapshot
package import MeshSync
import ServiceLifecycle
import Synchronization

/// The agent's side: holds one stream to the control plane, and begins another one when it ends, for as long as it runs.
package final class DiscoveryClient: Service {
  package struct Configuration: Sendable {
    package var address: ControlPlaneAddress
    package var node: String
    package var backoff = Backoff()
    /// A control plane that does not answer a ping is gone.
    package var keepaliveTime = Duration.seconds(30)
    package var keepaliveTimeout = Duration.seconds(10)

    package init(_ address: ControlPlaneAddress, node: String) {
      self.address = address
      self.node = node
    }

    package init(socketPath: String, node: String) { self.init(.unix(path: socketPath), node: node) }
  }

  package struct Status: Sendable, Equatable {
    package var phase: ClientSession.Phase = .disconnected
    package var connectedSince: ContinuousClock.Instant?
    /// Why the last stream ended, or could not be opened.
    package var lastError: String?
    /// Streams opened so far.
    package var connections = 0
  }

  private let configuration: Configuration
  private let driver: ClientDriver
  private let statuses: StatusFeed?
  private let logger: Logger
  private let state = Mutex(Status())
  /// The connection that is there.
  private let open = Mutex<GRPCClient<HTTP2ClientTransport.Posix>?>(nil)

  /// - Parameters:
  ///   - held: versions of the snapshot that the agent begins with, as `Snapshot.versions` gives them.
  ///   - version: the control plane's state that this snapshot came from.
  ///   - statuses: what the control plane is told of this node's workloads.
  ///   - apply: makes a batch true on this node and returns what it could not; the rest counts as held. Batches come
  ///     one at a time.
  package init(
    _ configuration: Configuration, held: [EntryKey: ContentVersion] = [:], version: SystemVersion? = nil,
    statuses: StatusFeed? = nil, logger: Logger, apply: @escaping @Sendable (SessionBatch) async -> [Rejection]
  ) {
    self.configuration = configuration
    self.statuses = statuses
    self.driver = ClientDriver(
      ClientSession(node: configuration.node, held: held, version: version, backoff: configuration.backoff),
      apply: apply)
    self.logger = logger
  }

  package var status: Status { self.state.withLock { $0 } }

  /// Runs until the task is cancelled or shut down gracefully.
  package func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        let error = await self.stream()
        let delay = await self.driver.disconnected()
        self.ended(error)
        try? await Task.sleep(for: delay)
      }
    }
  }

  /// One stream, from connect to its end. Returns why it ended.
  private func stream() async -> (any Error)? {
    let reasons = Reasons()
    do {
      let transport = try self.configuration.address.transport(
        keepalive: (self.configuration.keepaliveTime, self.configuration.keepaliveTimeout),
        refused: { reasons.add($0) })
      try await withGRPCClient(transport: transport) { client in
        self.open.withLock { $0 = client }
        defer { self.open.withLock { $0 = nil } }
        let (outgoing, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        defer { continuation.finish() }
        var options = CallOptions.defaults
        // We wait between attempts ourselves.
        options.waitForReady = false
        options.maxResponseMessageBytes = MeshProto.maximumMessageSize
        async let _: Void? = self.statuses?.run(client, options: options)
        try await client.bidirectionalStreaming(
          request: StreamingClientRequest(of: [UInt8].self) { writer in
            for await message in outgoing { try await writer.write(message) }
          },
          descriptor: .deltaResources, serializer: BytesSerializer(), deserializer: BytesDeserializer(),
          options: options
        ) { response in
          try await self.follow(response.messages, continuation)
        }
      }
      return nil
    } catch {
      guard let reason = reasons.first else { return error }
      return MeshError(.denied, "control plane", "its certificate is not accepted: \(reason)")
    }
  }

  private func follow(
    _ messages: RPCAsyncSequence<[UInt8], any Error>, _ outgoing: AsyncStream<[UInt8]>.Continuation
  ) async throws {
    defer { outgoing.finish() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      for message in try await self.driver.connected().send { outgoing.yield(message) }
      for try await message in messages {
        let reply = try await self.driver.received(message)
        self.progressed(reply.phase)
        for message in reply.send { outgoing.yield(message) }
        if let later = reply.sendLater {
          group.addTask {
            try await Task.sleep(for: later.after)
            outgoing.yield(later.message)
          }
        }
      }
    }
  }

  /// Over the connection that is there. Throws `unavailable` while there is none.
  package func sign(_ request: [UInt8]) async throws -> CertificateAnswer {
    guard let client = self.open.withLock({ $0 }) else {
      throw MeshError(.unavailable, "control plane", "there is no connection to it")
    }
    return try await IdentityClient.ask(.sign(node: self.configuration.node, request: request), client)
  }

  private func progressed(_ phase: ClientSession.Phase) {
    let isNew = self.state.withLock { state in
      state.phase = phase
      guard state.connectedSince == nil else { return false }
      state.connectedSince = .now
      state.connections += 1
      return true
    }
    if isNew { self.logger.info("connected to the control plane") }
  }

  private func ended(_ error: (any Error)?) {
    let text = error.map { "\($0)" } ?? "the control plane ended the stream"
    let isNews = self.state.withLock { state in
      defer {
        state.phase = .disconnected
        state.connectedSince = nil
        state.lastError = text
      }
      // Once for each outage and each new reason, not for each attempt.
      return state.connectedSince != nil || state.lastError != text
    }
    if isNews, !Task.isCancelled {
      self.logger.warning("no control plane; the last good state holds", metadata: [LogKey.error: "\(text)"])
    }
  }
}
