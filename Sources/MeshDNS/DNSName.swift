/// A domain name as somebody spelled it: uncompressed wire form with the root's zero at its end, upper and lower case as
/// they came. Answers repeat the spelling of the question, so that a client that mixes cases finds its own (0x20).
///
/// Always valid: labels of 1 to 63 bytes, 255 bytes in all.
package struct SpelledName: Hashable, Sendable {
  package let wire: [UInt8]

  init(valid wire: [UInt8]) { self.wire = wire }

  /// Labels separated by dots, a dot at the end or none; no escapes. Nil: no valid name.
  package init?(_ text: some StringProtocol) {
    var wire: [UInt8] = []
    let bytes = Array(text.utf8)
    let trimmed = bytes.last == UInt8(ascii: ".") ? bytes.dropLast() : bytes[...]
    if !trimmed.isEmpty {
      for label in trimmed.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
        guard (1...63).contains(label.count) else { return nil }
        wire.append(UInt8(label.count))
        wire += label
      }
    }
    wire.append(0)
    guard wire.count <= DNSName.maximumLength else { return nil }
    self.wire = wire
  }

  package var name: DNSName { DNSName(self) }
}

/// A domain name to compare and look up: as `SpelledName`, in lower case (ASCII; RFC 4343).
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
  package static let maximumLength = 255
  package static let root = DNSName(valid: [0])

  package let wire: [UInt8]

  private init(valid wire: [UInt8]) { self.wire = wire }

  package init(_ spelled: SpelledName) {
    // Lengths are below 64, so that they are never taken for letters.
    self.wire = spelled.wire.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
  }

  /// As `SpelledName.init(_:)`.
  package init?(_ text: some StringProtocol) {
    guard let spelled = SpelledName(text) else { return nil }
    self.init(spelled)
  }

  package var spelled: SpelledName { SpelledName(valid: self.wire) }

  /// Where labels begin, the root's not among them.
  package var labelStarts: [Int] { Self.labelStarts(of: self.wire) }

  static func labelStarts(of wire: [UInt8]) -> [Int] {
    var starts: [Int] = []
    var position = 0
    while position < wire.count, wire[position] != 0 {
      starts.append(position)
      position += 1 + Int(wire[position])
    }
    return starts
  }

  /// The labels, without lengths and root.
  package var labels: [ArraySlice<UInt8>] {
    self.labelStarts.map { self.wire[($0 + 1)..<min($0 + 1 + Int(self.wire[$0]), self.wire.count)] }
  }

  /// The name without its first labels. Nil: it has fewer.
  package func dropping(_ count: Int) -> DNSName? {
    let starts = self.labelStarts
    guard count <= starts.count else { return nil }
    return count == starts.count ? .root : DNSName(valid: Array(self.wire[starts[count]...]))
  }

  /// How many labels stand before `zone`; 0: the same name. Nil: it is not in the zone.
  package func labels(above zone: DNSName) -> Int? {
    let boundary = self.wire.count - zone.wire.count
    guard boundary >= 0, self.wire[boundary...].elementsEqual(zone.wire) else { return nil }
    if zone == .root { return self.labelStarts.count }
    return self.labelStarts.firstIndex(of: boundary)
  }

  /// The name of these labels, `.` at its end; bytes that are no printable letters as `\DDD` (RFC 4343 section 2.1).
  package var description: String {
    let labels = self.labels
    if labels.isEmpty { return "." }
    return labels.map { label in
      label.reduce(into: "") { text, byte in
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "\\"): text += "\\\(UnicodeScalar(byte))"
        case 0x21...0x7e: text += "\(UnicodeScalar(byte))"
        default: text += "\\" + String("00\(byte)".suffix(3))
        }
      } + "."
    }.joined()
  }
}
