extension HTTPRequestHead {
  private static let cookieField = Array("cookie".utf8)

  /// The value of the first cookie of that name.
  func cookie(_ name: [UInt8], _ bytes: Span<UInt8>) -> Range<Int>? {
    for field in self.fields where bytes.extracting(field.name).equalsFoldingCase(Self.cookieField) {
      if let value = Self.cookie(name, in: field.value, bytes) { return value }
    }
    return nil
  }

  /// `name=value` of a list that semicolons divide (RFC 6265 section 4.2).
  private static func cookie(_ name: [UInt8], in field: Range<Int>, _ bytes: Span<UInt8>) -> Range<Int>? {
    var at = field.lowerBound
    while at < field.upperBound {
      while at < field.upperBound, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x3b { at += 1 }
      var end = at
      while end < field.upperBound, bytes[end] != 0x3b { end += 1 }
      let equals = at + name.count
      if equals < end, bytes[equals] == 0x3d, bytes.extracting(at..<equals).equals(name) {
        var last = end
        while last > equals + 1, bytes[last - 1] == 0x20 || bytes[last - 1] == 0x09 { last -= 1 }
        return equals + 1..<last
      }
      at = end
    }
    return nil
  }
}
