package import MeshBase
package import NIOCore

/// Cuts a byte stream into frames. A frame is its length (four bytes, network order, counting what follows), its kind
/// (one byte) and its body.
///
/// Feed it bytes in pieces of any size. After an error the stream has lost its meaning: close it.
package struct LinkFraming {
  /// One entry of the snapshot must fit: 10,000 endpoints take about 1 MB.
  package static let maximumLength = (8 << 20) + 64

  package struct Frame: Equatable {
    package var kind: UInt8
    package var body: ByteBuffer

    package init(kind: UInt8, body: ByteBuffer) {
      self.kind = kind
      self.body = body
    }
  }

  private var buffered = ByteBuffer()
  private let maximumLength: Int

  package init(maximumLength: Int = Self.maximumLength) {
    self.maximumLength = maximumLength
  }

  /// Bytes held that are not a whole frame yet.
  package var pendingBytes: Int { self.buffered.readableBytes }

  package mutating func append(_ bytes: ByteBuffer) {
    if self.buffered.readableBytes == 0 {
      self.buffered = bytes
    } else {
      self.buffered.writeImmutableBuffer(bytes)
    }
  }

  /// The next whole frame, nil if more bytes are needed.
  package mutating func next() throws(MeshError) -> Frame? {
    guard let length = self.buffered.getInteger(at: self.buffered.readerIndex, as: UInt32.self) else { return nil }
    guard length >= 1, Int(length) <= self.maximumLength else {
      throw MeshError(
        .invalid, "proxy link", "a frame of \(length) bytes", cause: "the limit is \(self.maximumLength), the least 1")
    }
    guard self.buffered.readableBytes >= 4 + Int(length) else { return nil }
    self.buffered.moveReaderIndex(forwardBy: 4)
    guard let kind = self.buffered.readInteger(as: UInt8.self),
      let body = self.buffered.readSlice(length: Int(length) - 1)
    else { return nil }
    if self.buffered.readableBytes == 0 {
      self.buffered = ByteBuffer()
    } else if self.buffered.readerIndex > 1 << 20 {
      self.buffered.discardReadBytes()
    }
    return Frame(kind: kind, body: body)
  }

  /// Appends a frame to `output`.
  package static func write(kind: UInt8, to output: inout ByteBuffer, body: (inout ByteBuffer) -> Void) {
    let start = output.writerIndex
    output.writeInteger(UInt32(0))
    output.writeInteger(kind)
    body(&output)
    output.setInteger(UInt32(clamping: output.writerIndex - start - 4), at: start)
  }
}
