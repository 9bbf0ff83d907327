/// Bytes that the peer may send, of a stream or of all. They are given back as they are consumed, half a window at a time, so
/// that a slow consumer stops the sender and a fast one does not cost a frame a read.
struct HTTP2ReceiveWindow: Hashable, Sendable {
  private let size: Int
  /// What the peer may send still.
  private(set) var available: Int
  /// What was consumed and not yet given back.
  private var owed = 0

  init(size: Int) {
    self.size = max(HTTP2Settings.protocolWindow, min(size, HTTP2Settings.largestWindow))
    self.available = self.size
  }

  /// What arrived and is not consumed.
  var held: Int { self.size - self.available - self.owed }

  /// False: the peer was not allowed so many.
  mutating func spend(_ count: Int) -> Bool {
    guard count >= 0, count <= self.available else { return false }
    self.available -= count
    return true
  }

  /// What to tell the peer, if it is time to. More than `held` is never given back.
  mutating func consume(_ count: Int) -> UInt32? {
    self.owed += max(0, min(count, self.held))
    guard self.owed >= self.size / 2 else { return nil }
    defer { self.owed = 0 }
    self.available += self.owed
    return UInt32(truncatingIfNeeded: self.owed)
  }
}
