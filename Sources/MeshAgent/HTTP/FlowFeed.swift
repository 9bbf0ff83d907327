import CMeshABI
package import MeshTelemetry
import Synchronization

/// The ring of flow records, with a bell. One writer (the thread that reads the kernel's ring buffer) publishes batches,
/// and never waits for a reader; each reader holds a cursor of its own, and learns how many records it was too slow for.
///
/// Events are held as the kernel wrote them, and are given their names when somebody reads: the names of one cost some
/// microseconds, which under load is more than the kernel spends on the whole connection.
package final class FlowFeed: Sendable {
  private enum Held: Sendable {
    case event(mesh_event)
    case record(FlowRecord)
  }

  private struct State {
    var ring: FlowRing<Held>
    /// Of the events in the ring, all of them: those of earlier names have become records.
    var names = FlowNames()
    /// No element up to this number is an event.
    var named: UInt64 = 0
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var tickets: UInt64 = 0

    mutating func takeWaiting() -> [CheckedContinuation<Void, Never>] {
      guard !self.waiting.isEmpty else { return [] }
      defer { self.waiting.removeAll(keepingCapacity: true) }
      return Array(self.waiting.values)
    }
  }

  private let state: Mutex<State>

  package init(capacity: Int = 16_384) {
    self.state = Mutex(State(ring: FlowRing(capacity: capacity)))
  }

  package func publish(_ records: some Sequence<FlowRecord>) {
    let woken = self.state.withLock { state in
      let before = state.ring.newest
      for record in records { state.ring.append(.record(record)) }
      return state.ring.newest == before ? [] : state.takeWaiting()
    }
    for reader in woken { reader.resume() }
  }

  /// What happened, and the names that hold for it.
  func publish(_ events: [mesh_event], _ names: FlowNames) {
    self.settle(names)
    let woken = self.state.withLock { state in
      for event in events { state.ring.append(.event(event)) }
      return events.isEmpty ? [] : state.takeWaiting()
    }
    for reader in woken { reader.resume() }
  }

  /// Other names from here on: what is held gets its own before. A part at a time, so that readers wait for none of it.
  private func settle(_ names: FlowNames) {
    while true {
      let (batch, former) = self.state.withLock { state -> (FlowRing<Held>.Batch?, FlowNames) in
        let former = state.names
        guard former !== names else { return (nil, former) }
        let batch = state.ring.elements(after: state.named, limit: Self.part)
        if batch.elements.isEmpty { state.names = names }
        return (batch.elements.isEmpty ? nil : batch, former)
      }
      guard let batch else { return }
      let records = Self.records(batch, former)
      self.state.withLock { state in
        for record in records { state.ring.replace(record.number, with: .record(record)) }
        state.named = batch.cursor
      }
    }
  }

  private static let part = 256

  private static func records(_ batch: FlowRing<Held>.Batch, _ names: FlowNames) -> [FlowRecord] {
    batch.elements.enumerated().map { offset, held in
      var record =
        switch held {
        case .event(let event): names.record(event)
        case .record(let record): record
        }
      record.number = batch.first + UInt64(offset)
      return record
    }
  }

  package var newest: UInt64 { self.state.withLock { $0.ring.newest } }

  /// Readers that wait now.
  package var waitingReaders: Int { self.state.withLock { $0.waiting.count } }

  /// A part of the sequence, as `FlowRing.Batch` says.
  package struct Batch: Sendable, Hashable {
    package var records: [FlowRecord]
    package var cursor: UInt64
    package var missed: UInt64
  }

  package func records(after cursor: UInt64, limit: Int) -> Batch {
    let (batch, names) = self.state.withLock { ($0.ring.elements(after: cursor, limit: limit), $0.names) }
    return Batch(records: Self.records(batch, names), cursor: batch.cursor, missed: batch.missed)
  }

  /// The cursor from which the last `count` records that match come next; for `--last N`.
  package func cursor(last count: Int, matching filter: FlowFilter) -> UInt64 {
    var (number, oldest) = self.state.withLock { ($0.ring.newest, $0.ring.dropped) }
    guard count > 0 else { return number }
    if filter == FlowFilter() { return max(oldest, number - min(number, UInt64(count))) }
    var found = 0
    while number > oldest {
      let before = max(oldest, number - min(number, UInt64(Self.part)))
      let batch = self.records(after: before, limit: Int(number - before))
      for record in batch.records.reversed() where filter.matches(record) {
        found += 1
        if found == count { return record.number - 1 }
      }
      number = before
      oldest = self.state.withLock { $0.ring.dropped }
    }
    return number
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
