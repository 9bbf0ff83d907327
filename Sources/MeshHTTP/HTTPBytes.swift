/// What bytes mean in HTTP (RFC 9110 section 5.6, RFC 3986). Masks of two words, so that nothing is loaded.
enum HTTPBytes {
  static let tab: UInt8 = 0x09
  static let lineFeed: UInt8 = 0x0a
  static let carriageReturn: UInt8 = 0x0d
  static let space: UInt8 = 0x20
  static let comma: UInt8 = 0x2c
  static let slash: UInt8 = 0x2f
  static let colon: UInt8 = 0x3a
  static let semicolon: UInt8 = 0x3b
  static let underscore: UInt8 = 0x5f

  @inline(__always)
  private static func has(_ byte: UInt8, _ low: UInt64, _ high: UInt64) -> Bool {
    byte < 128 && ((byte < 64 ? low : high) &>> UInt64(byte & 63)) & 1 != 0
  }

  /// `!#$%&'*+-.0-9` and `A-Z^_`a-z|~`.
  @inline(__always)
  static func isToken(_ byte: UInt8) -> Bool { Self.has(byte, 0x03ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe) }

  /// Methods are case-sensitive and all registered ones are capital letters and hyphens.
  @inline(__always)
  static func isMethod(_ byte: UInt8) -> Bool { Self.isUpper(byte) || byte == 0x2d }

  /// Visible ASCII but `#`: a fragment is never sent, and whoever gets one cuts at another place than the next one does.
  @inline(__always)
  static func isTarget(_ byte: UInt8) -> Bool { byte &- 0x21 < 0x5e && byte != 0x23 }

  /// Anything visible, blanks, and bytes of other character sets.
  @inline(__always)
  static func isValue(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7f) || byte == Self.tab }

  @inline(__always)
  static func isBlank(_ byte: UInt8) -> Bool { byte == Self.space || byte == Self.tab }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  @inline(__always)
  static func isUpper(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }

  static func isAlphanumeric(_ byte: UInt8) -> Bool { Self.isDigit(byte) || (byte | 0x20) &- 0x61 < 26 }

  @inline(__always)
  static func lower(_ byte: UInt8) -> UInt8 { Self.isUpper(byte) ? byte | 0x20 : byte }

  @inline(__always)
  static func hexDigit(_ byte: UInt8) -> UInt64? {
    if Self.isDigit(byte) { return UInt64(byte &- 0x30) }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? UInt64(letter &+ 10) : nil
  }

  /// Whether eight bytes hold no control character but perhaps bytes above ASCII. A tab counts as one: who asks looks closer.
  @inline(__always)
  static func isPlain(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    let deleted = word ^ (ones &* 0x7f)
    return ((word &- ones &* 0x20) & ~word | (deleted &- ones) & ~deleted) & tops == 0
  }
}

extension Span<UInt8> {
  /// Equal but for the case of letters; `text` is in lower case.
  package func matches(_ range: Range<Int>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    return text.withUTF8Buffer { literal in
      for offset in 0..<literal.count
      where unsafe HTTPBytes.lower(self[range.lowerBound + offset]) != literal[offset] {
        return false
      }
      return true
    }
  }

  /// Equal but for the case of letters; `text` is in lower case.
  func matches(_ range: Range<Int>, _ text: [UInt8]) -> Bool {
    guard range.count == text.count else { return false }
    for offset in 0..<text.count where HTTPBytes.lower(self[range.lowerBound + offset]) != text[offset] {
      return false
    }
    return true
  }

  func matches(_ one: Range<Int>, _ other: Range<Int>) -> Bool {
    guard one.count == other.count else { return false }
    for offset in 0..<one.count
    where HTTPBytes.lower(self[one.lowerBound + offset]) != HTTPBytes.lower(self[other.lowerBound + offset]) {
      return false
    }
    return true
  }

  package func starts(_ range: Range<Int>, with text: StaticString) -> Bool {
    range.count >= text.utf8CodeUnitCount
      && self.matches(range.lowerBound..<range.lowerBound + text.utf8CodeUnitCount, text)
  }
}

extension [UInt8] {
  /// One copy of the whole range: a loop of appends checks the capacity for each byte.
  @inline(__always)
  mutating func append(_ bytes: Span<UInt8>, _ range: Range<Int>) {
    unsafe bytes.extracting(range).withUnsafeBufferPointer { unsafe self.append(contentsOf: $0) }
  }

  @inline(__always)
  mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { unsafe self.append(contentsOf: $0) }
  }

  mutating func append(decimal number: UInt64) {
    guard number > 9 else { return self.append(0x30 + UInt8(truncatingIfNeeded: number)) }
    var divisor: UInt64 = 1
    while number / divisor > 9 { divisor *= 10 }
    while divisor > 0 {
      self.append(0x30 + UInt8(truncatingIfNeeded: number / divisor % 10))
      divisor /= 10
    }
  }

  mutating func append(hexadecimal number: UInt64) {
    var shift = number == 0 ? 0 : (63 - number.leadingZeroBitCount) & ~3
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift) & 15)
      self.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
      shift -= 4
    }
  }
}
