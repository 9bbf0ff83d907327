import MeshBase
import MeshProto
import MeshSnapshot
import MeshSync
import Synchronization

/// Where the newest catalogue hangs, and who wants to know of it.
final class CatalogueBoard: Sendable {
  private struct State {
    var current: EncodedCatalogue?
    var isClosed = false
    var lastReader: UInt64 = 0
    var readers: [UInt64: AsyncStream<EncodedCatalogue>.Continuation] = [:]
  }

  private let epoch: UInt64
  private let maximumEntrySize: Int
  private let state = Mutex(State())
  /// One publisher at a time, so that readers are not held up while entries are encoded.
  private let publishing = Mutex(())

  init(epoch: UInt64, maximumEntrySize: Int) {
    self.epoch = epoch
    self.maximumEntrySize = maximumEntrySize
  }

  var current: EncodedCatalogue? { self.state.withLock { $0.current } }

  /// Returns the new catalogue, or nil if the snapshot says nothing new.
  func publish(_ snapshot: Snapshot) -> EncodedCatalogue? {
    self.publishing.withLock { _ in
      guard
        let next = EncodedCatalogue(
          snapshot, epoch: self.epoch, after: self.current, maximumEntrySize: self.maximumEntrySize)
      else { return nil }
      let readers = self.state.withLock { state in
        state.current = next
        return Array(state.readers.values)
      }
      for reader in readers { reader.yield(next) }
      return next
    }
  }

  /// The catalogue now and each newer one; whoever is slow gets the newest only. Ends when the board closes.
  func updates() -> AsyncStream<EncodedCatalogue> {
    let (stream, continuation) = AsyncStream.makeStream(of: EncodedCatalogue.self, bufferingPolicy: .bufferingNewest(1))
    let reader: UInt64? = self.state.withLock { state in
      guard !state.isClosed else { return nil }
      state.lastReader += 1
      state.readers[state.lastReader] = continuation
      if let current = state.current { continuation.yield(current) }
      return state.lastReader
    }
    guard let reader else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { state in _ = state.readers.removeValue(forKey: reader) }
    }
    return stream
  }

  /// Ends every stream of updates.
  func close() {
    let readers = self.state.withLock { state in
      state.isClosed = true
      return Array(state.readers.values)
    }
    for reader in readers { reader.finish() }
  }
}
