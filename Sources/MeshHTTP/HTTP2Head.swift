/// What the rules of fields depend on.
package struct HTTP2HeadRules: Hashable, Sendable {
  package var mostFields = 128
  /// As `FieldBlock.listSize` counts.
  package var largestList = 32_768
  /// CONNECT as HBONE uses it.
  package var allowsConnect = false
  /// Names with an underscore: many applications take them for the same name with a hyphen.
  package var allowsUnderscores = false

  package init() {}
}

/// A field block that is a lawful head (RFC 9113 section 8). Pseudo fields are taken out, `host` is folded into the authority.
package struct HTTP2Head: Hashable, Sendable {
  package enum Start: Hashable, Sendable {
    case request(method: Range<Int>, scheme: Range<Int>, authority: Range<Int>, path: Range<Int>)
    case connect(authority: Range<Int>)
    case response(status: UInt16)
    case trailers
  }

  package var start: Start
  package var block: FieldBlock
  /// Of the fields of `block`, those that are neither pseudo nor `host`.
  package var fields: [FieldBlock.Field]
  package var contentLength: UInt64?

  package func text(_ range: Range<Int>) -> ArraySlice<UInt8> {
    self.block.bytes[range]
  }

  package static func request(_ block: FieldBlock, _ rules: HTTP2HeadRules) throws(HTTP2Failure) -> HTTP2Head {
    var parts = try Parts(block, rules, .request)
    guard let method = parts.pseudo[.method], FieldText.isToken(block.bytes[method]) else { throw .malformed(.method) }
    if let authority = parts.pseudo[.authority] {
      guard HTTPAuthority.isValid(block.bytes.span, authority) else { throw .malformed(.authority) }
    }
    if block.bytes[method].elementsEqual("CONNECT".utf8) {
      guard rules.allowsConnect else { throw .malformed(.connectRefused) }
      guard parts.pseudo[.scheme] == nil, parts.pseudo[.path] == nil else { throw .malformed(.pseudoField) }
      guard let authority = parts.pseudo[.authority] else { throw .malformed(.authority) }
      guard parts.contentLength == nil else { throw .malformed(.contentLength) }
      return parts.head(.connect(authority: authority), block)
    }
    guard let scheme = parts.pseudo[.scheme], FieldText.isScheme(block.bytes[scheme]) else { throw .malformed(.scheme) }
    guard let path = parts.pseudo[.path],
      FieldText.isPath(block.bytes[path], isOptions: block.bytes[method].elementsEqual("OPTIONS".utf8))
    else { throw .malformed(.path) }
    guard let authority = parts.pseudo[.authority] ?? parts.host, HTTPAuthority.isValid(block.bytes.span, authority)
    else { throw .malformed(.authority) }
    return parts.head(.request(method: method, scheme: scheme, authority: authority, path: path), block)
  }

  package static func response(_ block: FieldBlock, _ rules: HTTP2HeadRules) throws(HTTP2Failure) -> HTTP2Head {
    var parts = try Parts(block, rules, .response)
    guard let digits = parts.pseudo[.status], digits.count == 3,
      let status = FieldText.decimal(block.bytes[digits]), (100..<600).contains(status), status != 101
    else { throw .malformed(.status) }
    return parts.head(.response(status: UInt16(status)), block)
  }

  package static func trailers(_ block: FieldBlock, _ rules: HTTP2HeadRules) throws(HTTP2Failure) -> HTTP2Head {
    var parts = try Parts(block, rules, .trailers)
    guard parts.contentLength == nil, parts.host == nil else { throw .malformed(.trailers) }
    return parts.head(.trailers, block)
  }
}

private enum Pseudo: String, CaseIterable {
  case method = ":method"
  case scheme = ":scheme"
  case authority = ":authority"
  case path = ":path"
  case status = ":status"
}

private enum Sort {
  case request
  case response
  case trailers
}

private struct Parts {
  var pseudo: [Pseudo: Range<Int>] = [:]
  var host: Range<Int>?
  var fields: [FieldBlock.Field] = []
  var contentLength: UInt64?

  init(_ block: FieldBlock, _ rules: HTTP2HeadRules, _ sort: Sort) throws(HTTP2Failure) {
    guard block.fields.count <= rules.mostFields, block.listSize <= rules.largestList else {
      throw .malformed(.fieldsTooLarge)
    }
    self.fields.reserveCapacity(block.fields.count)
    for field in block.fields {
      let name = block.name(field)
      guard FieldText.isValue(block.value(field)) else { throw .malformed(.fieldValue) }
      if name.first == UInt8(ascii: ":") {
        try self.take(pseudo: name, field, sort)
      } else {
        try self.take(name, field, block, rules, sort)
      }
    }
  }

  private mutating func take(
    pseudo name: ArraySlice<UInt8>, _ field: FieldBlock.Field, _ sort: Sort
  ) throws(HTTP2Failure) {
    if sort == .request, name.elementsEqual(":protocol".utf8) { throw .malformed(.extendedConnect) }
    guard self.fields.isEmpty, self.host == nil,
      let kind = Pseudo.allCases.first(where: { name.elementsEqual($0.rawValue.utf8) }),
      sort != .trailers, (kind == .status) == (sort == .response),
      self.pseudo.updateValue(field.value, forKey: kind) == nil
    else { throw .malformed(.pseudoField) }
  }

  private mutating func take(
    _ name: ArraySlice<UInt8>, _ field: FieldBlock.Field, _ block: FieldBlock, _ rules: HTTP2HeadRules, _ sort: Sort
  ) throws(HTTP2Failure) {
    guard FieldText.isFieldName(name), rules.allowsUnderscores || !name.contains(HTTPBytes.underscore) else {
      throw .malformed(.fieldName)
    }
    let value = block.value(field)
    switch name.count {
    case 2 where name.elementsEqual("te".utf8):
      guard value.elementsEqual("trailers".utf8) else { throw .malformed(.forbiddenField) }
    case 4 where sort != .response && name.elementsEqual("host".utf8):
      if let host = self.host, block.bytes[host] != value { throw .malformed(.authority) }
      self.host = field.value
      return
    case 14 where name.elementsEqual("content-length".utf8):
      guard self.contentLength == nil, let length = FieldText.decimal(value) else { throw .malformed(.contentLength) }
      self.contentLength = length
    case 7, 10, 16, 17:
      if FieldText.connectionFields.contains(where: { name.elementsEqual($0.utf8) }) {
        throw .malformed(.forbiddenField)
      }
    default:
      break
    }
    self.fields.append(field)
  }

  mutating func head(_ start: HTTP2Head.Start, _ block: FieldBlock) -> HTTP2Head {
    HTTP2Head(start: start, block: block, fields: self.fields, contentLength: self.contentLength)
  }
}

extension HTTP2Failure {
  /// A malformed message (RFC 9113 section 8.1.1) ends its stream.
  fileprivate static func malformed(_ reason: HTTP2Reason) -> HTTP2Failure {
    .stream(.protocolError, reason)
  }
}

/// What bytes may stand where.
private enum FieldText {
  /// They are about one connection (RFC 9113 section 8.2.2).
  static let connectionFields = ["upgrade", "connection", "keep-alive", "proxy-connection", "transfer-encoding"]

  static func isToken(_ text: ArraySlice<UInt8>) -> Bool {
    !text.isEmpty && text.allSatisfy(Self.isTokenByte)
  }

  static func isFieldName(_ text: ArraySlice<UInt8>) -> Bool {
    !text.isEmpty && text.allSatisfy { Self.isTokenByte($0) && !(0x41...0x5a).contains($0) }
  }

  static func isValue(_ text: ArraySlice<UInt8>) -> Bool {
    if let first = text.first, first == 0x20 || first == 0x09 { return false }
    if let last = text.last, last == 0x20 || last == 0x09 { return false }
    guard text.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else { return false }
    return !Self.holdsReplacement(text)
  }

  static func isScheme(_ text: ArraySlice<UInt8>) -> Bool {
    text.elementsEqual("http".utf8) || text.elementsEqual("https".utf8)
  }

  static func isPath(_ text: ArraySlice<UInt8>, isOptions: Bool) -> Bool {
    if isOptions, text.elementsEqual("*".utf8) { return true }
    return text.first == UInt8(ascii: "/")
      && text.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }
  }

  /// Digits only; nil as well if there are so many that they might not fit.
  static func decimal(_ text: ArraySlice<UInt8>) -> UInt64? {
    guard !text.isEmpty, text.count <= 18 else { return nil }
    var value: UInt64 = 0
    for byte in text {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + UInt64(byte - 0x30)
    }
    return value
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    Self.isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
  }

  /// U+FFFD: the codec lost bytes here.
  private static func holdsReplacement(_ text: ArraySlice<UInt8>) -> Bool {
    var index = text.startIndex
    while index + 2 < text.endIndex {
      if text[index] == 0xef, text[index + 1] == 0xbf, text[index + 2] == 0xbd { return true }
      index += 1
    }
    return false
  }
}
