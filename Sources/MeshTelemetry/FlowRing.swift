/// The last records, in order, each with a number that is never reused. A reader keeps a cursor of its own and asks for
/// what comes after it; what was overwritten before the reader came is counted for it, never silently skipped.
package struct FlowRing: Sendable {
  private var slots: [FlowRecord] = []
  package let capacity: Int
  /// Number of the newest record; 0: none yet.
  package private(set) var newest: UInt64 = 0

  /// A capacity below 1 is taken as 1.
  package init(capacity: Int) { self.capacity = max(1, capacity) }

  package var count: Int { self.slots.count }

  /// Records that were overwritten since the beginning.
  package var dropped: UInt64 { self.newest - UInt64(self.slots.count) }

  /// Stores the record under the next number and returns that.
  @discardableResult
  package mutating func append(_ record: FlowRecord) -> UInt64 {
    self.newest += 1
    var numbered = record
    numbered.number = self.newest
    if self.slots.count < self.capacity {
      self.slots.append(numbered)
    } else {
      self.slots[self.index(of: self.newest)] = numbered
    }
    return self.newest
  }

  /// A part of the sequence, oldest first.
  package struct Batch: Sendable, Hashable {
    package var records: [FlowRecord]
    /// The cursor to ask with next.
    package var cursor: UInt64
    /// Records between the cursor asked with and the first one here that no longer exist.
    package var missed: UInt64
  }

  /// At most `limit` records with numbers above `cursor`. A cursor of the future (of an agent that was restarted) is
  /// taken as the newest.
  package func records(after cursor: UInt64, limit: Int) -> Batch {
    let cursor = min(cursor, self.newest)
    let oldest = self.dropped + 1
    let first = max(cursor + 1, oldest)
    guard limit > 0, first <= self.newest else { return Batch(records: [], cursor: cursor, missed: 0) }
    let last = min(self.newest, first + UInt64(limit) - 1)
    return Batch(
      records: (first...last).map { self.slots[self.index(of: $0)] }, cursor: last, missed: first - cursor - 1)
  }

  /// The cursor from which the last `count` records that match come next; for `--last N`.
  package func cursor(last count: Int, where matches: (FlowRecord) -> Bool) -> UInt64 {
    guard count > 0 else { return self.newest }
    var found = 0
    var number = self.newest
    while number > self.dropped {
      if matches(self.slots[self.index(of: number)]) { found += 1 }
      number -= 1
      if found == count { break }
    }
    return number
  }

  /// Number 1 lives in slot 0; the slot repeats with the capacity.
  private func index(of number: UInt64) -> Int { Int((number - 1) % UInt64(self.capacity)) }
}
