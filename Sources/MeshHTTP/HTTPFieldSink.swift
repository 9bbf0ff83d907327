/// A field of a head of either version, in the bytes that the head was read from.
struct HTTPFieldPlace {
  var known: HTTPFieldName
  var name: Range<Int>
  var value: Range<Int>
  var isSecret: Bool

  static func all(_ fields: [HTTP1Field]) -> [HTTPFieldPlace] {
    fields.map {
      HTTPFieldPlace(
        known: $0.name, name: $0.nameRange, value: $0.valueRange, isSecret: $0.name == .authorization)
    }
  }

  static func all(_ head: HTTP2Head) -> [HTTPFieldPlace] {
    let bytes = head.block.bytes
    return head.fields.map {
      let known = HTTPFieldNames.shared.find(bytes.span, $0.name)
      return HTTPFieldPlace(
        known: known, name: $0.name, value: $0.value, isSecret: $0.isSecret || known == .authorization)
    }
  }
}

/// Where fields are written: a block for HTTP/2, or lines for HTTP/1.1.
protocol HTTPFieldSink {
  mutating func add(_ input: Span<UInt8>, name: Range<Int>, value: Range<Int>, isSecret: Bool)
}

extension FieldBlock: HTTPFieldSink {
  mutating func add(_ input: Span<UInt8>, name: Range<Int>, value: Range<Int>, isSecret: Bool) {
    self.append(input, name: name, value: value, isSecret: isSecret)
  }
}

struct HTTP1Lines: HTTPFieldSink {
  var bytes: [UInt8] = []
  /// Crumbs are one field in HTTP/1.1 (RFC 9113 section 8.2.3).
  private var cookie: [UInt8] = []

  mutating func add(_ input: Span<UInt8>, name: Range<Int>, value: Range<Int>, isSecret: Bool) {
    if input.matches(name, "cookie") {
      if !self.cookie.isEmpty { self.cookie.append("; ") }
      return self.cookie.append(input, value)
    }
    self.bytes.append(input, name)
    self.bytes.append(": ")
    self.bytes.append(input, value)
    self.bytes.append("\r\n")
  }

  mutating func end() {
    guard !self.cookie.isEmpty else { return }
    self.bytes.append("cookie: ")
    self.bytes += self.cookie
    self.bytes.append("\r\n")
    self.cookie = []
  }
}

extension HTTPFieldSink {
  mutating func add(_ name: StaticString, _ value: some Sequence<UInt8>) {
    var field: [UInt8] = []
    field.append(name)
    let end = field.count
    field += value
    guard field.count > end else { return }
    self.add(field.span, name: 0..<end, value: end..<field.count, isSecret: false)
  }

  mutating func add(contentLength: UInt64) {
    var digits: [UInt8] = []
    digits.append(decimal: contentLength)
    self.add("content-length", digits)
  }

  /// What a rule adds. Its lines were checked when it was made.
  mutating func add(_ edit: HTTP1FieldEdit) {
    let lines = edit.lines
    var start = 0
    while let colon = lines[start...].firstIndex(of: HTTPBytes.colon),
      let end = lines[colon...].firstIndex(of: HTTPBytes.carriageReturn)
    {
      self.add(lines.span, name: start..<colon, value: min(colon + 2, end)..<end, isSecret: false)
      start = end + 2
    }
  }

  /// Those that are neither removed, nor nominated by `Connection`, nor another proxy's word on who somebody is.
  mutating func add(
    _ places: [HTTPFieldPlace], _ input: Span<UInt8>, removed: HTTPFieldSet, others: [[UInt8]],
    nominated: [Range<Int>]
  ) {
    for place in places where !removed.contains(place.known) {
      if place.known == .other {
        var goes = HTTP1Writer.isReserved(input, place.name)
        for name in others where !goes { goes = input.matches(place.name, name) }
        for name in nominated where !goes { goes = input.matches(place.name, name) }
        if goes { continue }
      }
      self.add(input, name: place.name, value: place.value, isSecret: place.isSecret)
    }
  }
}
