import GRPCCore
import MeshBase
package import MeshSync
import Synchronization

/// What all nodes said of their workloads, and who wants to know of a change. The server's end of `StatusFeed`.
package final class StatusBoard: Sendable {
  private struct State {
    var ledger = StatusLedger()
  }

  private let state = Mutex(State())
  /// Something changed since the last element; changes in between are one. For one reader.
  package let changes: AsyncStream<Void>
  private let changed: AsyncStream<Void>.Continuation

  package init() {
    (self.changes, self.changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  package var ledger: StatusLedger { self.state.withLock { $0.ledger } }

  /// Nodes on which workloads are placed: what others said is forgotten when they go.
  package func retain(nodes: Set<String>) { self.state.withLock { $0.ledger.retain(nodes: nodes) } }

  /// One agent's stream, until it ends. Each update is answered before the next is read, so that one that sends faster
  /// waits in its own stream.
  func serve(
    _ requests: RPCAsyncSequence<[UInt8], any Error>, _ writer: RPCWriter<[UInt8]>, peer: WirePeer = .local
  ) async throws {
    let stream = self.state.withLock { $0.ledger.opened() }
    defer {
      self.state.withLock { $0.ledger.closed(stream) }
      self.changed.yield()
    }
    for try await bytes in requests {
      let update: StatusUpdate
      do throws(MeshError) {
        update = try StatusUpdate(bytes: bytes)
      } catch {
        throw RPCError(code: .invalidArgument, message: error.description)
      }
      if let node = update.node { try peer.mayBe(node) }
      let answer = self.state.withLock { $0.ledger.received(update, on: stream) }
      if answer.isNews { self.changed.yield() }
      switch answer.action {
      case .acknowledge(let ack): try await writer.write(try ack.encoded())
      case .close(let reason): throw RPCError(code: .invalidArgument, message: reason)
      }
    }
  }
}
