package import NIOCore

/// Sizes the buffer of the next read: 1 KiB at first, four times as much whenever a read filled it, up to 256 KiB; back by
/// one step after 16 reads in a row that would have fitted the step below. An idle or small-message connection so keeps
/// little memory, and bulk needs few system calls.
package struct RelayBufferSizes: RecvByteBufferAllocator {
  package static let least = 1 << 10
  package static let most = 256 << 10
  static let patience = 16

  package private(set) var size: Int
  private var smallReads = 0

  package init(first: Int = Self.least) { self.size = first }

  package func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: self.size) }

  /// True makes the pool take a buffer of the new size; else it uses the last one again.
  package mutating func record(actualReadBytes: Int) -> Bool {
    if actualReadBytes >= self.size {
      self.smallReads = 0
      guard self.size < Self.most else { return false }
      self.size *= 4
      return true
    }
    guard actualReadBytes * 4 < self.size, self.size > Self.least else {
      self.smallReads = 0
      return false
    }
    self.smallReads += 1
    guard self.smallReads >= Self.patience else { return false }
    self.smallReads = 0
    self.size /= 4
    return true
  }
}
