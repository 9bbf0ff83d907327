/// A CIDR block. Bits past the prefix are zero. `length` counts within the family: 0...32 for IPv4, 0...128 for IPv6.
package struct IPPrefix: Hashable, Sendable, Comparable, LosslessStringConvertible {
  package let address: IPAddress
  package let isV4: Bool
  package let length: Int

  /// Bits past the prefix are cleared. A length outside of the family's range is nil.
  package init?(_ address: IPAddress, length: Int) {
    guard (0...(address.isV4 ? 32 : 128)).contains(length) else { return nil }
    self.isV4 = address.isV4
    self.length = length
    self.address = Self.mask(address, bits: address.isV4 ? 96 + length : length)
  }

  /// Exactly one address.
  package init(host address: IPAddress) {
    self.address = address
    self.isV4 = address.isV4
    self.length = address.isV4 ? 32 : 128
  }

  /// Parses `10.0.0.0/8`, `fd00::/8`, or a bare address, which means exactly that address. Bits past the prefix are
  /// cleared, as Istio and most firewalls do.
  package init?(_ text: some StringProtocol) {
    guard let slash = text.firstIndex(of: "/") else {
      guard let address = IPAddress(text) else { return nil }
      self.init(host: address)
      return
    }
    guard let address = IPAddress(text[..<slash]), let length = Int(strictDecimal: text[text.index(after: slash)...])
    else { return nil }
    self.init(address, length: length)
  }

  /// Bits of the 128-bit form: 96 more than `length` for IPv4.
  package var mappedLength: Int { self.isV4 ? 96 + self.length : self.length }

  package func contains(_ address: IPAddress) -> Bool {
    address.isV4 == self.isV4 && Self.mask(address, bits: self.mappedLength) == self.address
  }

  package func contains(_ other: IPPrefix) -> Bool {
    other.isV4 == self.isV4 && other.length >= self.length && self.contains(other.address)
  }

  package var description: String { "\(self.address)/\(self.length)" }

  package static func < (a: IPPrefix, b: IPPrefix) -> Bool {
    a.address == b.address ? a.length < b.length : a.address < b.address
  }

  private static func mask(_ address: IPAddress, bits: Int) -> IPAddress {
    IPAddress(
      high: bits >= 64 ? address.high : bits == 0 ? 0 : address.high & (~0 << UInt64(64 - bits)),
      low: bits >= 128 ? address.low : bits <= 64 ? 0 : address.low & (~0 << UInt64(128 - bits)))
  }
}
