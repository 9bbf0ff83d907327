/// One field line. The ranges are places in the bytes that the head was parsed from, from its first byte; the line itself goes
/// from the name's first byte to the next line's, so that lines which stay are copied in one piece.
package struct HTTP1Field: Hashable, Sendable {
  package var name: HTTPFieldName
  var nameStart: UInt32
  var nameEnd: UInt32
  var valueStart: UInt32
  var valueEnd: UInt32
  var lineEnd: UInt32

  package var nameRange: Range<Int> { Int(self.nameStart)..<Int(max(self.nameStart, self.nameEnd)) }
  package var valueRange: Range<Int> { Int(self.valueStart)..<Int(max(self.valueStart, self.valueEnd)) }
  var lineRange: Range<Int> { Int(self.nameStart)..<Int(max(self.nameStart, self.lineEnd)) }
}

/// Reads a start line and its fields, or the fields of a trailer section. It goes over each byte once, wherever the input was cut:
/// it remembers the place in the line, and the caller keeps the bytes from the head's first one until the head is whole.
struct HTTP1HeadParser {
  enum Kind { case request, response, trailers }

  private enum Place: UInt8 {
    case begin, emptyLine, method, target, version, versionEnd, lineFeed
    case status, reason
    case field, name, blank, value, valueFeed, lastFeed, done
  }

  let kind: Kind
  private let limits: HTTP1Limits
  private var place: Place
  private var cursor = 0
  private var emptyLines = 0
  private var mark = 0
  private var tail: UInt64 = 0
  private var nameEnd = 0
  private var name = HTTPFieldName.other

  private(set) var fields: [HTTP1Field] = []
  private(set) var present: HTTPFieldSet = []
  private(set) var methodEnd = 0
  private(set) var target = 0..<0
  private(set) var minorVersion: UInt8 = 1
  private(set) var status: UInt16 = 0
  private(set) var reason = 0..<0

  init(_ kind: Kind, limits: HTTP1Limits) {
    self.kind = kind
    self.limits = limits
    self.place = kind == .trailers ? .field : .begin
  }

  /// For the next head, with the room for fields that this one had.
  mutating func reset() {
    self.place = self.kind == .trailers ? .field : .begin
    self.cursor = 0
    self.emptyLines = 0
    self.status = 0
    self.fields.removeAll(keepingCapacity: true)
    self.present = []
  }

  /// Whether a byte of a head has been seen.
  var hasBegun: Bool { self.cursor > 0 || self.emptyLines > 0 }

  enum Outcome: Equatable {
    case more
    /// Empty lines before the start line: the caller drops so many bytes and asks again.
    case skip(Int)
    /// The head ends before this place.
    case done(Int)
  }

  mutating func parse(_ input: Span<UInt8>) throws(HTTP1Fault) -> Outcome {
    var at = self.cursor
    let end = min(input.count, self.limits.headBytes)
    loop: while at < end {
      switch self.place {
      case .begin:
        if self.kind == .request, input[at] == HTTPBytes.carriageReturn {
          guard self.emptyLines < self.limits.emptyLineCount else { throw .emptyLines }
          self.place = .emptyLine
          at += 1
          continue loop
        }
        self.mark = 0
        self.place = self.kind == .request ? .method : .version

      case .emptyLine:
        guard input[at] == HTTPBytes.lineFeed else { throw .lineEnd }
        self.emptyLines += 1
        self.place = .begin
        self.cursor = 0
        return .skip(at + 1)

      case .method:
        while at < end, HTTPBytes.isMethod(input[at]) { at += 1 }
        guard at <= self.limits.methodBytes else { throw .methodTooLong }
        guard at < end else { break loop }
        guard input[at] == HTTPBytes.space, at > 0 else { throw at == 0 ? .requestLine : .method }
        self.methodEnd = at
        at += 1
        self.mark = at
        self.place = .target

      case .target:
        while at < end, HTTPBytes.isTarget(input[at]) { at += 1 }
        guard at - self.mark <= self.limits.targetBytes else { throw .targetTooLong }
        guard at < end else { break loop }
        guard input[at] == HTTPBytes.space, at > self.mark else { throw .target }
        self.target = self.mark..<at
        at += 1
        self.mark = at
        self.place = .version

      case .version:
        guard try self.version(input, &at, end) else { break loop }

      case .versionEnd:
        if self.kind == .request {
          guard input[at] == HTTPBytes.carriageReturn else { throw .lineEnd }
          self.place = .lineFeed
        } else {
          guard input[at] == HTTPBytes.space else { throw .statusLine }
          self.mark = at + 1
          self.place = .status
        }
        at += 1

      case .status:
        let digit = at - self.mark
        if digit < 3 {
          guard HTTPBytes.isDigit(input[at]) else { throw .statusLine }
          self.status = self.status * 10 + UInt16(input[at] - 0x30)
          at += 1
        } else {
          guard self.status >= 100, self.status < 600 else { throw .statusLine }
          // Servers are seen to leave out the blank before an empty reason.
          if input[at] == HTTPBytes.space {
            at += 1
          } else if input[at] != HTTPBytes.carriageReturn {
            throw .statusLine
          }
          self.mark = at
          self.place = .reason
        }

      case .reason:
        while at < end, HTTPBytes.isValue(input[at]) { at += 1 }
        guard at < end else { break loop }
        guard input[at] == HTTPBytes.carriageReturn else { throw .lineEnd }
        self.reason = self.mark..<at
        at += 1
        self.place = .lineFeed

      case .lineFeed:
        guard input[at] == HTTPBytes.lineFeed else { throw .lineEnd }
        at += 1
        self.place = .field

      case .field:
        let byte = input[at]
        if byte == HTTPBytes.carriageReturn {
          at += 1
          self.place = .lastFeed
          continue loop
        }
        guard !HTTPBytes.isBlank(byte) else { throw .fieldFold }
        guard self.fields.count < self.limits.fieldCount else { throw .tooManyFields }
        self.mark = at
        self.tail = 0
        self.place = .name

      case .name:
        var tail = self.tail
        while at < end {
          let byte = input[at]
          guard HTTPBytes.isToken(byte) else { break }
          if byte == HTTPBytes.underscore, !self.limits.allowsUnderscores { throw .fieldUnderscore }
          tail = tail &<< 8 | UInt64(byte | 0x20)
          at += 1
        }
        self.tail = tail
        guard at < end else { break loop }
        guard input[at] == HTTPBytes.colon, at > self.mark else { throw .fieldName }
        self.nameEnd = at
        self.name = HTTPFieldNames.shared.find(input, self.mark..<at, tail: tail)
        at += 1
        self.place = .blank

      case .blank:
        while at < end, HTTPBytes.isBlank(input[at]) { at += 1 }
        guard at < end else { break loop }
        self.fields.append(
          HTTP1Field(
            name: self.name, nameStart: UInt32(truncatingIfNeeded: self.mark),
            nameEnd: UInt32(truncatingIfNeeded: self.nameEnd), valueStart: UInt32(truncatingIfNeeded: at), valueEnd: 0,
            lineEnd: 0))
        self.present.insert(self.name)
        self.mark = at
        self.place = .value

      case .value:
        at = Self.valueEnd(input, from: at, to: end)
        guard at < end else { break loop }
        guard input[at] == HTTPBytes.carriageReturn else {
          throw input[at] == HTTPBytes.lineFeed ? .lineEnd : .fieldValue
        }
        var last = at
        while last > self.mark, HTTPBytes.isBlank(input[last - 1]) { last -= 1 }
        let index = self.fields.count - 1
        self.fields[index].valueEnd = UInt32(truncatingIfNeeded: last)
        self.fields[index].lineEnd = UInt32(truncatingIfNeeded: at + 2)
        at += 1
        self.place = .valueFeed

      case .valueFeed:
        guard input[at] == HTTPBytes.lineFeed else { throw .lineEnd }
        at += 1
        self.place = .field

      case .lastFeed:
        guard input[at] == HTTPBytes.lineFeed else { throw .lineEnd }
        self.place = .done
        self.cursor = at + 1
        return .done(at + 1)

      case .done: break loop
      }
    }
    self.cursor = at
    if at >= self.limits.headBytes { throw self.place == .target ? .targetTooLong : .headTooLarge }
    return .more
  }

  /// `HTTP/1.0` or `HTTP/1.1`, byte by byte. False: the input ended in it.
  private mutating func version(
    _ input: Span<UInt8>, _ at: inout Int, _ end: Int
  ) throws(HTTP1Fault) -> Bool {
    let malformed: HTTP1Fault = self.kind == .request ? .requestLine : .statusLine
    while at < end {
      let byte = input[at]
      let offset = at - self.mark
      at += 1
      switch offset {
      case 0: if byte != 0x48 { throw malformed }
      case 1, 2: if byte != 0x54 { throw malformed }
      case 3: if byte != 0x50 { throw malformed }
      case 4: if byte != HTTPBytes.slash { throw malformed }
      case 5: if byte != 0x31 { throw HTTPBytes.isDigit(byte) ? .version : malformed }
      case 6: if byte != 0x2e { throw malformed }
      default:
        guard byte == 0x30 || byte == 0x31 else { throw HTTPBytes.isDigit(byte) ? .version : malformed }
        self.minorVersion = byte - 0x30
        self.place = .versionEnd
        return true
      }
    }
    return false
  }

  /// The first byte that a value cannot have, eight at a time where there are only ordinary ones.
  @inline(__always)
  private static func valueEnd(_ input: Span<UInt8>, from start: Int, to end: Int) -> Int {
    var at = start
    let bytes = unsafe input.bytes
    while at + 8 <= end {
      let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self)
      guard HTTPBytes.isPlain(word) else { break }
      at += 8
    }
    while at < end, HTTPBytes.isValue(input[at]) { at += 1 }
    return at
  }
}
