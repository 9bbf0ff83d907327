/// The streams that were reset last. What was under way when a reset was written arrives afterwards and is no error; without
/// this it could not be told from frames for streams that have ended.
struct HTTP2ResetRing: Hashable, Sendable {
  struct Entry: Hashable, Sendable {
    var stream: UInt32
    /// The peer has reset it, or has answered to ours: it sends nothing more.
    var peerKnows: Bool
    /// DATA bytes that the peer was allowed: the window of a stream that is reset is never opened again.
    var window: Int
    /// Field blocks that may still come: interim heads, a final one, trailers.
    var blocks: UInt8
  }

  private static let blocksUnderWay: UInt8 = 4

  private let capacity: Int
  private var entries: [Entry] = []
  private var next = 0
  /// No stream above this one was forgotten.
  private(set) var forgottenUpTo: UInt32 = 0

  init(capacity: Int) {
    self.capacity = max(1, capacity)
  }

  mutating func insert(_ stream: UInt32, peerKnows: Bool, window: Int) {
    let entry = Entry(stream: stream, peerKnows: peerKnows, window: window, blocks: Self.blocksUnderWay)
    if self.entries.count < self.capacity {
      self.entries.append(entry)
    } else {
      self.forgottenUpTo = max(self.forgottenUpTo, self.entries[self.next].stream)
      self.entries[self.next] = entry
      self.next = (self.next + 1) % self.capacity
    }
  }

  func index(of stream: UInt32) -> Int? {
    self.entries.lastIndex { $0.stream == stream }
  }

  /// The peer has reset it as well: whether that may have crossed with ours.
  mutating func crosses(at index: Int) -> Bool {
    defer { self.entries[index].peerKnows = true }
    return !self.entries[index].peerKnows
  }

  /// Whether a field block may have been under way.
  mutating func takesBlock(at index: Int) -> Bool {
    guard !self.entries[index].peerKnows, self.entries[index].blocks > 0 else { return false }
    self.entries[index].blocks -= 1
    return true
  }

  /// Whether bytes of DATA may have been under way.
  mutating func takesData(_ count: Int, at index: Int) -> Bool {
    guard !self.entries[index].peerKnows, count <= self.entries[index].window else { return false }
    self.entries[index].window -= count
    return true
  }
}
