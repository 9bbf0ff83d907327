import GRPCCore
package import Logging
package import MeshBase
package import MeshSync
import Synchronization

/// The agent's statuses on their way to the control plane. `DiscoveryClient` opens a stream for them beside its session,
/// over the same connection.
package final class StatusFeed: Sendable {
  private struct State {
    var reporter: StatusReporter
    /// Of the stream that is open.
    var outgoing: AsyncStream<[UInt8]>.Continuation?
    var rejected: [Rejection] = []
  }

  private let logger: Logger
  private let state: Mutex<State>
  /// Between two attempts: a control plane that does not know the method is asked again, because it may be replaced.
  private static let retry = Duration.seconds(2)

  /// - gateways: the host's addresses, where tunnels to its workloads can be dialled.
  package init(node: String, gateways: [IPAddress] = [], logger: Logger) {
    self.logger = logger
    self.state = Mutex(State(reporter: StatusReporter(node: node, gateways: gateways)))
  }

  /// Everything that is to be known now. Cheap if it is what it was.
  package func update(_ statuses: [WorkloadStatus]) {
    self.state.withLock { state in Self.perform(state.reporter.changed(to: statuses), &state) }
  }

  package var phase: StatusReporter.Phase { self.state.withLock { $0.reporter.phase } }

  private static func perform(_ action: StatusAction, _ state: inout State) {
    switch action {
    case .none: break
    case .send(let update):
      if let bytes = try? update.encoded() {
        state.outgoing?.yield(bytes)
      } else {
        state.outgoing?.finish()
      }
    case .close: state.outgoing?.finish()
    }
  }

  /// Streams, one after the other, until the task is cancelled with its connection.
  func run(_ client: GRPCClient<some ClientTransport>, options: CallOptions) async {
    var told: String?
    while !Task.isCancelled {
      do {
        try await self.stream(client, options)
        told = nil
      } catch {
        let text = "\(error)"
        if text != told, !Task.isCancelled {
          self.logger.debug("no stream of statuses", metadata: [LogKey.error: "\(text)"])
        }
        told = text
      }
      self.state.withLock { state in
        state.reporter.disconnected()
        state.outgoing = nil
      }
      try? await Task.sleep(for: Self.retry)
    }
  }

  private func stream(_ client: GRPCClient<some ClientTransport>, _ options: CallOptions) async throws {
    let (outgoing, continuation) = AsyncStream.makeStream(of: [UInt8].self)
    defer { continuation.finish() }
    try await client.bidirectionalStreaming(
      request: StreamingClientRequest(of: [UInt8].self) { writer in
        for await message in outgoing { try await writer.write(message) }
      },
      descriptor: .reportStatus, serializer: BytesSerializer(), deserializer: BytesDeserializer(), options: options
    ) { response in
      defer { continuation.finish() }
      self.state.withLock { state in
        state.outgoing = continuation
        Self.perform(state.reporter.connected(), &state)
      }
      for try await message in response.messages { self.answered(try StatusAck(bytes: message)) }
    }
  }

  private func answered(_ ack: StatusAck) {
    let isNews = self.state.withLock { state in
      Self.perform(state.reporter.acknowledged(ack.sequence), &state)
      defer { if !ack.rejections.isEmpty { state.rejected = ack.rejections } }
      return !ack.rejections.isEmpty && state.rejected != ack.rejections
    }
    guard isNews, let first = ack.rejections.first else { return }
    self.logger.warning(
      "the control plane rejected statuses",
      metadata: [
        LogKey.count: "\(ack.rejections.count)", LogKey.workload: "\(first.name)", LogKey.reason: "\(first.reason)",
      ])
  }
}
