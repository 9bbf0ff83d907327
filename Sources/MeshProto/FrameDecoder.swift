package import MeshBase

/// Cuts a byte stream into frames. Feed it any pieces, then take frames until there is none. After an error the stream
/// is lost: where the next frame begins is not known.
package struct FrameDecoder: Sendable {
  /// The largest frame that is accepted, in bytes without its length prefix.
  package static let maximumFrameSize = MeshProto.maximumEntrySize + 1024

  private var buffer: [UInt8] = []
  private var start = 0

  package init() {}

  /// Bytes that wait for the rest of their frame.
  package var bufferedCount: Int { self.buffer.count - self.start }

  package mutating func append(_ bytes: some Sequence<UInt8>) {
    if self.start > 0, self.start >= self.buffer.count / 2 {
      self.buffer.removeFirst(self.start)
      self.start = 0
    }
    self.buffer.append(contentsOf: bytes)
  }

  /// The next whole frame, or nil if its end is not there yet.
  package mutating func next() throws(MeshError) -> ProxyFrame? {
    guard self.bufferedCount >= 4 else { return nil }
    let count = self.buffer[self.start..<self.start + 4].reduce(0) { $0 << 8 | Int($1) }
    guard count <= Self.maximumFrameSize else {
      throw MeshError(.exhausted, "proxy stream", "a frame of \(count) bytes is larger than \(Self.maximumFrameSize)")
    }
    guard self.bufferedCount - 4 >= count else { return nil }
    let body = Array(self.buffer[self.start + 4..<self.start + 4 + count])
    self.start += 4 + count
    return try ProxyFrame(body: body)
  }
}
