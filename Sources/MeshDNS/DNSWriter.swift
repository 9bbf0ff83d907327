/// Writes a message. A name whose end was written before is shortened by a pointer to it, if the letters are the same ones:
/// spelling is kept.
struct DNSWriter {
  /// Pointers hold 14 bits.
  private static let farthest = 0x3fff

  private(set) var bytes: [UInt8] = []
  private var written: [ArraySlice<UInt8>: Int] = [:]

  mutating func write(_ number: UInt16) {
    self.bytes.append(UInt8(truncatingIfNeeded: number >> 8))
    self.bytes.append(UInt8(truncatingIfNeeded: number))
  }

  mutating func write(_ number: UInt32) {
    self.write(UInt16(truncatingIfNeeded: number >> 16))
    self.write(UInt16(truncatingIfNeeded: number))
  }

  mutating func write(_ name: SpelledName) {
    let wire = name.wire
    for start in DNSName.labelStarts(of: wire) {
      let rest = wire[start...]
      if let place = self.written[rest] {
        self.write(UInt16(0xc000) | UInt16(truncatingIfNeeded: place))
        return
      }
      if self.bytes.count <= Self.farthest { self.written[rest] = self.bytes.count }
      self.bytes += wire[start...(start + Int(wire[start]))]
    }
    self.bytes.append(0)
  }

  mutating func write(_ header: DNSHeader) {
    for number in [
      header.id, header.flags.rawValue, header.questions, header.answers, header.authorities, header.additionals,
    ] { self.write(number) }
  }

  mutating func write(_ question: DNSQuestion) {
    self.write(question.name)
    self.write(question.type.rawValue)
    self.write(question.recordClass)
  }

  /// Data past 65,535 bytes cannot be said and is cut; no record of ours has so much.
  mutating func write(_ record: DNSRecord) {
    self.write(record.name)
    self.write(record.type.rawValue)
    self.write(record.recordClass)
    self.write(record.timeToLive)
    let data = record.data.prefix(Int(UInt16.max))
    self.write(UInt16(truncatingIfNeeded: data.count))
    self.bytes += data
  }
}
