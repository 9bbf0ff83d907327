package import NIOCore

/// Sizes the buffer of the next read: 1 KiB at first, four times as much whenever a read filled it, up to 256 KiB. NIO's pool
/// keeps the largest; `RelayHandler.sweep` begins again when a connection is quiet, so an idle one keeps little.
package struct RelayBufferSizes: RecvByteBufferAllocator {
  package static let least = 1 << 10
  package static let most = 256 << 10

  package private(set) var size: Int

  package init(first: Int = Self.least) { self.size = first }

  package func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: self.size) }

  package func nextBufferSize() -> Int? { self.size }

  package mutating func record(actualReadBytes: Int) -> Bool {
    guard actualReadBytes >= self.size, self.size < Self.most else { return false }
    self.size *= 4
    return true
  }
}
