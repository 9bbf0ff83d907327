/// An IPv6 address, or an IPv4 address held as v4-mapped (`::ffff:a.b.c.d`), so that one type and one map key serve both.
///
/// `high` and `low` are the address as numbers in host order: `high` holds the first eight bytes.
package struct IPAddress: Hashable, Sendable, Comparable {
  package var high: UInt64
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// An IPv4 address from its number in host order.
  package init(v4: UInt32) {
    self.init(high: 0, low: 0xffff_0000_0000 | UInt64(v4))
  }

  package static let loopbackV4 = IPAddress(v4: 0x7f00_0001)
  package static func loopback(isV4: Bool) -> IPAddress { isV4 ? .loopbackV4 : .loopbackV6 }
  package static let loopbackV6 = IPAddress(high: 0, low: 1)

  package var isV4: Bool { self.high == 0 && self.low >> 32 == 0xffff }

  /// The IPv4 address as a number in host order, if this is one.
  package var v4: UInt32? { self.isV4 ? UInt32(truncatingIfNeeded: self.low) : nil }

  package var isUnspecified: Bool { self.high == 0 && (self.low == 0 || self.low == 0xffff_0000_0000) }

  /// 127.0.0.0/8 or ::1.
  package var isLoopback: Bool {
    if let v4 = self.v4 { return v4 >> 24 == 127 }
    return self == .loopbackV6
  }

  /// 169.254.0.0/16 or fe80::/10.
  package var isLinkLocal: Bool {
    if let v4 = self.v4 { return v4 >> 16 == 0xa9fe }
    return self.high >> 54 == 0x3fa
  }

  /// 224.0.0.0/4 or ff00::/8.
  package var isMulticast: Bool {
    if let v4 = self.v4 { return v4 >> 28 == 0xe }
    return self.high >> 56 == 0xff
  }

  package static func < (a: IPAddress, b: IPAddress) -> Bool {
    (a.high, a.low) < (b.high, b.low)
  }
}

extension IPAddress: LosslessStringConvertible {
  /// Parses dotted IPv4 (four decimal parts, no leading zeros) or RFC 4291 IPv6 text. No zone, no brackets, no port.
  package init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    if bytes.contains(UInt8(ascii: ":")) {
      guard let words = Self.parseV6(bytes[...]) else { return nil }
      self.init(
        high: words[0..<4].reduce(0) { $0 << 16 | UInt64($1) },
        low: words[4..<8].reduce(0) { $0 << 16 | UInt64($1) })
    } else {
      guard let v4 = Self.parseV4(bytes[...]) else { return nil }
      self.init(v4: v4)
    }
  }

  private static func parseV4(_ text: ArraySlice<UInt8>) -> UInt32? {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
      var octet: UInt32 = 0
      for byte in part {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
      }
      guard octet <= 255 else { return nil }
      value = value << 8 | octet
    }
    return value
  }

  private static func parseV6(_ text: ArraySlice<UInt8>) -> [UInt16]? {
    guard text.count <= 45 else { return nil }
    let colon = UInt8(ascii: ":")
    var head: [UInt16] = []
    var tail: [UInt16]?
    var rest = text
    if rest.starts(with: [colon, colon]) {
      tail = []
      rest = rest.dropFirst(2)
    }
    while !rest.isEmpty {
      let group = rest.prefix { $0 != colon }
      var words: [UInt16]
      if group.contains(UInt8(ascii: ".")) {
        guard group.count == rest.count, let v4 = Self.parseV4(group) else { return nil }
        words = [UInt16(v4 >> 16), UInt16(truncatingIfNeeded: v4)]
      } else {
        guard let word = Self.parseHex(group) else { return nil }
        words = [word]
      }
      if tail == nil { head += words } else { tail? += words }
      rest = rest.dropFirst(group.count)
      if rest.isEmpty { break }
      rest = rest.dropFirst()
      if rest.first == colon {
        guard tail == nil else { return nil }
        tail = []
        rest = rest.dropFirst()
      } else if rest.isEmpty {
        return nil
      }
    }
    guard let tail else { return head.count == 8 ? head : nil }
    let gap = 8 - head.count - tail.count
    guard gap >= 1 else { return nil }
    return head + Array(repeating: 0, count: gap) + tail
  }

  private static func parseHex(_ text: ArraySlice<UInt8>) -> UInt16? {
    guard (1...4).contains(text.count) else { return nil }
    var value: UInt16 = 0
    for byte in text {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: return nil
      }
      value = value << 4 | UInt16(digit)
    }
    return value
  }

  /// Dotted for IPv4, RFC 5952 for IPv6.
  package var description: String {
    if let v4 = self.v4 {
      return "\(v4 >> 24).\(v4 >> 16 & 0xff).\(v4 >> 8 & 0xff).\(v4 & 0xff)"
    }
    let words = (0..<8).map { i in
      UInt16(truncatingIfNeeded: (i < 4 ? self.high : self.low) >> UInt64((3 - i % 4) * 16))
    }
    var longest = 0..<0
    var start = 0
    while start < 8 {
      let end = words[start...].firstIndex { $0 != 0 } ?? 8
      if end - start > max(longest.count, 1) { longest = start..<end }
      start = max(end, start) + 1
    }
    let hex = words.map { String($0, radix: 16) }
    guard !longest.isEmpty else { return hex.joined(separator: ":") }
    return hex[..<longest.lowerBound].joined(separator: ":") + "::" + hex[longest.upperBound...].joined(separator: ":")
  }
}

/// An address and a TCP port.
package struct SocketEndpoint: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var address: IPAddress
  package var port: UInt16

  package init(_ address: IPAddress, _ port: UInt16) {
    self.address = address
    self.port = port
  }

  /// Parses `1.2.3.4:80` and `[::1]:80`.
  package init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(strictDecimal: text[text.index(after: colon)...])
    else {
      return nil
    }
    var host = text[..<colon]
    if host.first == "[", host.last == "]" {
      host = host.dropFirst().dropLast()
      guard let address = IPAddress(host), !address.isV4 else { return nil }
      self.init(address, port)
    } else {
      guard !host.contains(":"), let address = IPAddress(host) else { return nil }
      self.init(address, port)
    }
  }

  package var description: String {
    self.address.isV4 ? "\(self.address):\(self.port)" : "[\(self.address)]:\(self.port)"
  }

  package static func < (a: SocketEndpoint, b: SocketEndpoint) -> Bool {
    a.address == b.address ? a.port < b.port : a.address < b.address
  }
}

extension FixedWidthInteger {
  /// Decimal digits only: no sign, no space, no leading zero, no overflow.
  package init?(strictDecimal text: some StringProtocol) {
    let digits = text.utf8
    guard let first = digits.first, digits.count == 1 || first != UInt8(ascii: "0"),
      digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let value = Self(text)
    else { return nil }
    self = value
  }
}
