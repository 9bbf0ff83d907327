/// Messages on a TCP connection: each after its length in two bytes (RFC 1035 section 4.2.2). Holds at most one message
/// that is not complete.
package struct DNSStreamFraming: Sendable {
  private var pending: [UInt8] = []

  package init() {}

  /// Bytes of a message that is not complete.
  package var pendingCount: Int { self.pending.count }

  /// Takes what was read; the messages that are complete now. An empty one is given as such: it is no query.
  package mutating func feed(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
    self.pending += bytes
    var messages: [[UInt8]] = []
    var position = 0
    while self.pending.count - position >= 2 {
      let length = Int(self.pending[position]) << 8 | Int(self.pending[position + 1])
      guard self.pending.count - position - 2 >= length else { break }
      messages.append(Array(self.pending[(position + 2)..<(position + 2 + length)]))
      position += 2 + length
    }
    self.pending.removeFirst(position)
    return messages
  }

  /// A message as it goes on the stream. Nil: it is longer than a length can say.
  package static func framed(_ message: [UInt8]) -> [UInt8]? {
    guard let length = UInt16(exactly: message.count) else { return nil }
    return [UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)] + message
  }
}
