/// Reads a message from its beginning. Every lack is an error; nothing is recursive, and no name takes more steps than a
/// name can have bytes.
struct DNSReader {
  /// A name has at most 127 labels: so many jumps serve every honest one.
  private static let maximumJumps = 127

  private let bytes: [UInt8]
  private(set) var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { self.position >= self.bytes.count }

  mutating func byte() throws(DNSMalformed) -> UInt8 {
    guard self.position < self.bytes.count else { throw .short }
    defer { self.position += 1 }
    return self.bytes[self.position]
  }

  mutating func number16() throws(DNSMalformed) -> UInt16 {
    UInt16(try self.byte()) << 8 | UInt16(try self.byte())
  }

  mutating func number32() throws(DNSMalformed) -> UInt32 {
    UInt32(try self.number16()) << 16 | UInt32(try self.number16())
  }

  mutating func range(_ count: Int) throws(DNSMalformed) -> Range<Int> {
    guard count >= 0, count <= self.bytes.count - self.position else { throw .short }
    defer { self.position += count }
    return self.position..<self.position + count
  }

  /// A name, its compression undone (RFC 1035 section 4.1.4). A pointer leads to an earlier place than the labels before
  /// it began at, and not into the header: so there is no loop.
  mutating func name() throws(DNSMalformed) -> SpelledName {
    var wire: [UInt8] = []
    var cursor = self.position
    var least = self.position
    var jumps = 0
    while true {
      guard cursor < self.bytes.count else { throw .short }
      let length = self.bytes[cursor]
      switch length >> 6 {
      case 0:
        let end = cursor + 1 + Int(length)
        guard end <= self.bytes.count else { throw .short }
        guard wire.count + 1 + Int(length) <= DNSName.maximumLength else { throw .nameTooLong }
        wire += self.bytes[cursor..<end]
        cursor = end
        if length == 0 {
          if jumps == 0 { self.position = cursor }
          return SpelledName(valid: wire)
        }
      case 3:
        guard cursor + 1 < self.bytes.count else { throw .short }
        let target = Int(length & 0x3f) << 8 | Int(self.bytes[cursor + 1])
        jumps += 1
        guard target < least, target >= DNSHeader.length, jumps <= Self.maximumJumps else { throw .pointer }
        if jumps == 1 { self.position = cursor + 2 }
        least = target
        cursor = target
      default: throw .label
      }
    }
  }

  mutating func header() throws(DNSMalformed) -> DNSHeader {
    DNSHeader(
      id: try self.number16(), flags: DNSFlags(rawValue: try self.number16()), questions: try self.number16(),
      answers: try self.number16(), authorities: try self.number16(), additionals: try self.number16())
  }

  mutating func question() throws(DNSMalformed) -> DNSQuestion {
    DNSQuestion(
      name: try self.name(), type: DNSType(rawValue: try self.number16()), recordClass: try self.number16())
  }

  mutating func record() throws(DNSMalformed) -> DNSRecord {
    let name = try self.name()
    let type = DNSType(rawValue: try self.number16())
    let recordClass = try self.number16()
    let timeToLive = try self.number32()
    let data = try self.range(Int(try self.number16()))
    return DNSRecord(
      name: name, type: type, recordClass: recordClass, timeToLive: timeToLive, data: Array(self.bytes[data]))
  }
}
