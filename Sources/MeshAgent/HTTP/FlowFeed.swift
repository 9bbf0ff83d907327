package import MeshTelemetry
import Synchronization

/// The ring of flow records, with a bell. One writer (the thread that reads the kernel's ring buffer) publishes batches,
/// and never waits for a reader; each reader holds a cursor of its own, and learns how many records it was too slow for.
package final class FlowFeed: Sendable {
  private struct State {
    var ring: FlowRing
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var tickets: UInt64 = 0
  }

  private let state: Mutex<State>

  package init(capacity: Int = 16_384) {
    self.state = Mutex(State(ring: FlowRing(capacity: capacity)))
  }

  package func publish(_ records: some Sequence<FlowRecord>) {
    let woken = self.state.withLock { state in
      let before = state.ring.newest
      for record in records { state.ring.append(record) }
      guard state.ring.newest != before, !state.waiting.isEmpty else {
        return [CheckedContinuation<Void, Never>]()
      }
      defer { state.waiting.removeAll(keepingCapacity: true) }
      return Array(state.waiting.values)
    }
    for reader in woken { reader.resume() }
  }

  package var newest: UInt64 { self.state.withLock { $0.ring.newest } }

  /// Readers that wait now.
  package var waitingReaders: Int { self.state.withLock { $0.waiting.count } }

  package func records(after cursor: UInt64, limit: Int) -> FlowRing.Batch {
    self.state.withLock { $0.ring.records(after: cursor, limit: limit) }
  }

  package func cursor(last count: Int, matching filter: FlowFilter) -> UInt64 {
    self.state.withLock { $0.ring.cursor(last: count, where: filter.matches) }
  }

  /// Returns when there is a record after `cursor`, or when the task is cancelled.
  package func wait(after cursor: UInt64) async {
    let ticket = self.state.withLock { state in
      state.tickets += 1
      return state.tickets
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = self.state.withLock { state in
          // A cancellation before this line is seen here, one after it finds the ticket.
          if state.ring.newest > cursor || Task.isCancelled { return true }
          state.waiting[ticket] = continuation
          return false
        }
        if now { continuation.resume() }
      }
    } onCancel: {
      self.state.withLock { $0.waiting.removeValue(forKey: ticket) }?.resume()
    }
  }
}
