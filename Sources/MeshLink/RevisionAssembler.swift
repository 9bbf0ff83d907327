package import MeshBase
package import MeshSnapshot

/// The proxy's side of a revision: collects changes and yields the whole snapshot at `commit`, never before.
///
/// ```
///        begin           upsert, remove
/// idle ─────────► collecting ⟲
///   ◄───────────────── commit: the new snapshot
/// ```
/// Any other order is an error, after which the connection is closed and the committed snapshot stays.
package struct RevisionAssembler {
  package enum Phase: Equatable, Sendable {
    case idle
    case collecting(revision: UInt64)
  }

  package private(set) var phase: Phase = .idle
  package private(set) var committed = Snapshot()
  /// A connection starts with a full revision: what an earlier agent said is no base for changes.
  private var hasBase = false
  private var next = Snapshot()

  package init() {}

  /// A new connection: what was half received is dropped, what was committed stays.
  package mutating func reset() {
    self.phase = .idle
    self.hasBase = false
    self.next = Snapshot()
  }

  package mutating func begin(revision: UInt64, isFull: Bool) throws(MeshError) {
    guard self.phase == .idle else { throw Self.outOfOrder("begin inside of a revision") }
    guard isFull || self.hasBase else { throw Self.outOfOrder("changes without a full revision before") }
    self.next = isFull ? Snapshot() : self.committed
    self.phase = .collecting(revision: revision)
  }

  package mutating func upsert(_ entry: VersionedEntry) throws(MeshError) {
    guard self.phase != .idle else { throw Self.outOfOrder("an entry outside of a revision") }
    self.next.insert(entry)
  }

  package mutating func remove(_ key: EntryKey) throws(MeshError) {
    guard self.phase != .idle else { throw Self.outOfOrder("a removal outside of a revision") }
    self.next.remove(key)
  }

  /// The snapshot that holds from now on.
  package mutating func commit(revision: UInt64) throws(MeshError) -> Snapshot {
    guard self.phase == .collecting(revision: revision) else {
      throw Self.outOfOrder("commit of revision \(revision) in phase \(self.phase)")
    }
    self.phase = .idle
    self.hasBase = true
    self.committed = self.next
    self.next = Snapshot()
    return self.committed
  }

  private static func outOfOrder(_ cause: String) -> MeshError {
    MeshError(.invalid, "proxy link", "messages are out of order", cause: cause)
  }
}
