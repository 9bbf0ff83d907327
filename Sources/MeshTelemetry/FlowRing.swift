/// The last elements, in order, each with a number that is never reused. A reader keeps a cursor of its own and asks for
/// what comes after it; what was overwritten before the reader came is counted for it, never silently skipped.
package struct FlowRing<Element: Sendable>: Sendable {
  private var slots: [Element] = []
  package let capacity: Int
  /// Number of the newest element; 0: none yet.
  package private(set) var newest: UInt64 = 0

  /// A capacity below 1 is taken as 1.
  package init(capacity: Int) { self.capacity = max(1, capacity) }

  package var count: Int { self.slots.count }

  /// Elements that were overwritten since the beginning.
  package var dropped: UInt64 { self.newest - UInt64(self.slots.count) }

  /// Stores the element under the next number and returns that.
  @discardableResult
  package mutating func append(_ element: Element) -> UInt64 {
    self.newest += 1
    if self.slots.count < self.capacity {
      self.slots.append(element)
    } else {
      self.slots[self.index(of: self.newest)] = element
    }
    return self.newest
  }

  /// Nil for a number that is not given yet, or no longer held.
  package func element(_ number: UInt64) -> Element? {
    number > self.dropped && number <= self.newest ? self.slots[self.index(of: number)] : nil
  }

  /// Puts another one in its place, if it is still held.
  package mutating func replace(_ number: UInt64, with element: Element) {
    guard number > self.dropped, number <= self.newest else { return }
    self.slots[self.index(of: number)] = element
  }

  /// A part of the sequence, oldest first: the numbers of the elements follow each other.
  package struct Batch: Sendable {
    package var elements: [Element]
    /// The cursor to ask with next: the number of the last element.
    package var cursor: UInt64
    /// Elements between the cursor asked with and the first one here that no longer exist.
    package var missed: UInt64

    /// Of the first element.
    package var first: UInt64 { self.cursor + 1 - UInt64(self.elements.count) }
  }

  /// At most `limit` elements with numbers above `cursor`. A cursor of the future (of an agent that was restarted) is
  /// taken as the newest.
  package func elements(after cursor: UInt64, limit: Int) -> Batch {
    let cursor = min(cursor, self.newest)
    let oldest = self.dropped + 1
    let first = max(cursor + 1, oldest)
    guard limit > 0, first <= self.newest else { return Batch(elements: [], cursor: cursor, missed: 0) }
    let last = min(self.newest, first + UInt64(limit) - 1)
    return Batch(
      elements: (first...last).map { self.slots[self.index(of: $0)] }, cursor: last, missed: first - cursor - 1)
  }

  /// Number 1 lives in slot 0; the slot repeats with the capacity.
  private func index(of number: UInt64) -> Int { Int((number - 1) % UInt64(self.capacity)) }
}
