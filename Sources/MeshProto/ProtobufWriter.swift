/// Appends protobuf fields to bytes, for messages whose parts are encoded already: a resource is encoded once and copied
/// into the responses of all streams. Wire format: protobuf.dev/programming-guides/encoding.
struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  init(capacity: Int = 0) { self.bytes.reserveCapacity(capacity) }

  /// A field of wire type 2: a string, bytes or message.
  mutating func write(field number: UInt64, _ content: some Collection<UInt8>) {
    self.write(varint: number << 3 | 2)
    self.write(varint: UInt64(content.count))
    self.bytes.append(contentsOf: content)
  }

  /// Proto3: an empty string is not written.
  mutating func write(field number: UInt64, _ text: String) {
    if !text.isEmpty { self.write(field: number, text.utf8) }
  }

  /// Copies whole fields.
  mutating func append(_ fields: [UInt8]) { self.bytes.append(contentsOf: fields) }

  private mutating func write(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    self.bytes.append(UInt8(truncatingIfNeeded: rest))
  }
}
