/// When to look at whom. A member that moves its deadline back is looked at early and once more: so each message may move one
/// without a change here.
struct DeadlineQueue {
  struct Entry: Equatable {
    var time: UInt64
    var member: UInt64
  }

  /// A heap: every entry is before its two children.
  private var heap: [Entry] = []

  var next: UInt64? { self.heap.first?.time }
  var count: Int { self.heap.count }

  mutating func add(_ time: UInt64, _ member: UInt64) {
    self.heap.append(Entry(time: time, member: member))
    var at = self.heap.count - 1
    while at > 0, self.heap[at].time < self.heap[(at - 1) / 2].time {
      self.heap.swapAt(at, (at - 1) / 2)
      at = (at - 1) / 2
    }
  }

  /// The earliest, if its time has come.
  mutating func take(now: UInt64) -> Entry? {
    guard let first = self.heap.first, first.time <= now, let last = self.heap.popLast() else { return nil }
    guard !self.heap.isEmpty else { return first }
    self.heap[0] = last
    var at = 0
    while true {
      var least = at
      for child in [2 * at + 1, 2 * at + 2]
      where child < self.heap.count && self.heap[child].time < self.heap[least].time {
        least = child
      }
      if least == at { return first }
      self.heap.swapAt(at, least)
      at = least
    }
  }
}
