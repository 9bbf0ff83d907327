/// What the fields of a head say about the connection and the message's end. The same for requests and responses.
struct HTTP1FieldRules {
  private(set) var contentLength: UInt64?
  private(set) var isChunked = false
  private(set) var closes = false
  private(set) var keepsAlive = false
  private(set) var asksUpgrade = false
  /// Known names that `Connection` takes away.
  private(set) var nominated: HTTPFieldSet = []
  /// Other names that it takes away: places in the head.
  private(set) var nominatedOthers: [Range<Int>] = []

  private static let relevant: HTTPFieldSet = [.contentLength, .transferEncoding, .connection]

  init(_ head: borrowing HTTP1HeadParser, _ input: Span<UInt8>, limits: HTTP1Limits) throws(HTTP1Fault) {
    guard !head.present.isDisjoint(with: Self.relevant) else { return }
    var sawEncoding = false
    for field in head.fields where Self.relevant.contains(field.name) {
      switch field.name {
      case .contentLength:
        guard self.contentLength == nil else { throw .contentLengthRepeated }
        self.contentLength = try Self.length(input, field)
      case .transferEncoding:
        guard !sawEncoding, !Self.hasTab(input, field), input.matches(field.valueRange, "chunked") else {
          throw .transferEncoding
        }
        sawEncoding = true
      default: try self.options(input, field.valueRange, limits)
      }
    }
    guard sawEncoding else { return }
    guard head.minorVersion == 1 else { throw .transferEncodingInVersion10 }
    guard self.contentLength == nil else { throw .lengthAndEncoding }
    self.isChunked = true
  }

  /// Digits only, no leading zero, below 2^63.
  private static func length(_ input: Span<UInt8>, _ field: HTTP1Field) throws(HTTP1Fault) -> UInt64 {
    let range = field.valueRange
    guard range.count >= 1, range.count <= 19, !Self.hasTab(input, field) else { throw .contentLength }
    var number: UInt64 = 0
    for index in range {
      guard HTTPBytes.isDigit(input[index]) else { throw .contentLength }
      number = number &* 10 &+ UInt64(input[index] &- 0x30)
    }
    guard number <= UInt64(Int64.max), range.count == 1 || input[range.lowerBound] != 0x30 else { throw .contentLength }
    return number
  }

  /// Whether a tab is beside the value. It may be, but readers differ in it, and no honest sender writes one there.
  private static func hasTab(_ input: Span<UInt8>, _ field: HTTP1Field) -> Bool {
    for index in Int(field.nameEnd)..<Int(field.lineEnd) where input[index] == HTTPBytes.tab { return true }
    return false
  }

  private mutating func options(
    _ input: Span<UInt8>, _ value: Range<Int>, _ limits: HTTP1Limits
  ) throws(HTTP1Fault) {
    var at = value.lowerBound
    while at < value.upperBound {
      while at < value.upperBound, HTTPBytes.isBlank(input[at]) || input[at] == HTTPBytes.comma { at += 1 }
      let start = at
      while at < value.upperBound, HTTPBytes.isToken(input[at]) { at += 1 }
      let option = start..<at
      while at < value.upperBound, HTTPBytes.isBlank(input[at]) { at += 1 }
      guard at == value.upperBound || input[at] == HTTPBytes.comma else {
        // What is no token (`:path`) names no field: it is passed over.
        while at < value.upperBound, input[at] != HTTPBytes.comma { at += 1 }
        continue
      }
      guard !option.isEmpty else { continue }
      if input.matches(option, "close") {
        self.closes = true
      } else if input.matches(option, "keep-alive") {
        self.keepsAlive = true
      } else if input.matches(option, "upgrade") {
        self.asksUpgrade = true
      } else {
        let name = HTTPFieldNames.shared.find(input, option)
        if name != .other {
          self.nominated.insert(name)
        } else {
          guard self.nominatedOthers.count < limits.connectionOptionCount else { throw .connectionOptions }
          self.nominatedOthers.append(option)
        }
      }
    }
  }
}
