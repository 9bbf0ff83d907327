/// What a document may be, checked on its bytes before a node exists, so that a bomb costs one pass over at most 1 MiB:
/// no anchors, aliases, tags, directives or complex keys, no NUL or control character, no tab where YAML counts columns,
/// nesting at most `maximumDepth`.
///
/// The scan follows libyaml's tokenizer (`yaml_parser_fetch_next_token`, `_scan_plain_scalar`, `_scan_block_scalar`):
/// what that takes for the inside of a scalar is skipped here, so that `"*"` and text blocks pass. Where the two could
/// differ (keys over several lines, a `:` without key), the document is refused.
struct YAMLGuard {
  /// Levels of maps and lists. An AuthorizationPolicy needs 9.
  static let maximumDepth = 32

  struct Finding: Error, Equatable {
    var line: Int
    var column: Int
    var message: String
    var next: String
  }

  private let bytes: [UInt8]
  private var at = 0
  private var line = 1
  private var lineStart = 0
  /// Columns of the open block maps and lists, and whether each is a list.
  private var indents: [(column: Int, isList: Bool)] = []
  private var flow = 0
  /// Where a token began that a `:` on the same line makes a key.
  private var key: (line: Int, column: Int)?

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Nil if the document may be composed.
  static func check(_ bytes: [UInt8]) -> Finding? {
    var scan = YAMLGuard(bytes)
    do throws(Finding) {
      try scan.checkCharacters()
      while try scan.nextToken() {}
      return nil
    } catch {
      return error
    }
  }

  private var column: Int { self.at - self.lineStart }
  private var indent: Int { self.indents.last?.column ?? -1 }

  private func peek(_ offset: Int = 0) -> UInt8 {
    self.at + offset < self.bytes.count ? self.bytes[self.at + offset] : 0
  }

  private func finding(_ message: String, _ next: String) -> Finding {
    Finding(line: self.line, column: self.column + 1, message: message, next: next)
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
  private static func isBreak(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") }
  /// Blank, line break, or the end (0: NUL itself was refused before).
  private static func isBlankZ(_ byte: UInt8) -> Bool { byte == 0 || Self.isBlank(byte) || Self.isBreak(byte) }

  private mutating func skipLineBreak() {
    if self.peek() == UInt8(ascii: "\r") { self.at += 1 }
    if self.peek() == UInt8(ascii: "\n") { self.at += 1 }
    self.line += 1
    self.lineStart = self.at
  }

  /// Characters that no place may hold. NEL, LS and PS are line breaks for libyaml and for nobody else.
  private mutating func checkCharacters() throws(Finding) {
    defer {
      self.at = 0
      self.line = 1
      self.lineStart = 0
    }
    while self.at < self.bytes.count {
      let byte = self.bytes[self.at]
      switch byte {
      case UInt8(ascii: "\n"):
        self.line += 1
        self.lineStart = self.at + 1
      case UInt8(ascii: "\r"):
        guard self.peek(1) == UInt8(ascii: "\n") else {
          throw self.finding("a carriage return that ends no line", "end lines with LF or CR LF")
        }
      case UInt8(ascii: "\t"): break
      case 0: throw self.finding("a NUL character", "remove it; the file may be UTF-16 or damaged")
      case 1..<32, 127: throw self.finding("control character \(byte)", "remove it")
      case 0xc2 where self.peek(1) == 0x85, 0xe2 where self.peek(1) == 0x80 && (self.peek(2) & 0xfe) == 0xa8:
        throw self.finding("a Unicode line break", "end lines with LF")
      case 0xef where self.peek(1) == 0xbb && self.peek(2) == 0xbf:
        throw self.finding("a byte order mark", "save the file as UTF-8 without BOM")
      default: break
      }
      self.at += 1
    }
  }

  private mutating func skipToToken() throws(Finding) {
    while true {
      let byte = self.peek()
      if byte == UInt8(ascii: " ") {
        self.at += 1
      } else if byte == UInt8(ascii: "\t") {
        guard self.flow > 0 else { throw self.finding("a tab", "indent and separate with spaces") }
        self.at += 1
      } else if byte == UInt8(ascii: "#") {
        while self.at < self.bytes.count, !Self.isBreak(self.peek()) { self.at += 1 }
      } else if Self.isBreak(byte) {
        self.skipLineBreak()
      } else {
        return
      }
    }
  }

  /// Skips one token. False at the end.
  private mutating func nextToken() throws(Finding) -> Bool {
    try self.skipToToken()
    guard self.at < self.bytes.count else { return false }
    if self.flow == 0 {
      while let last = self.indents.last, last.column > self.column { self.indents.removeLast() }
    }
    if self.isDocumentMarker {
      self.indents = []
      self.key = nil
      self.at += 3
      return true
    }
    let byte = self.peek()
    switch byte {
    case UInt8(ascii: "%") where self.column == 0:
      throw self.finding("a YAML directive", "remove the line")
    case UInt8(ascii: "["), UInt8(ascii: "{"):
      self.beginKey()
      self.flow += 1
      try self.checkDepth()
      self.at += 1
    case UInt8(ascii: "]"), UInt8(ascii: "}"):
      self.flow = max(0, self.flow - 1)
      self.at += 1
    case UInt8(ascii: ","):
      self.at += 1
    case UInt8(ascii: "-") where Self.isBlankZ(self.peek(1)):
      try self.open(column: self.column, isList: true)
      self.key = nil
      self.at += 1
    case UInt8(ascii: "?") where self.flow > 0 || Self.isBlankZ(self.peek(1)):
      throw self.finding("a complex key ('?')", "use a plain text key")
    case UInt8(ascii: ":") where self.flow > 0 || Self.isBlankZ(self.peek(1)):
      try self.value()
    case UInt8(ascii: "*"):
      throw self.finding("a YAML alias", "write the value out, or put quotes around a text that begins with '*'")
    case UInt8(ascii: "&"):
      throw self.finding("a YAML anchor", "write the value out, or put quotes around a text that begins with '&'")
    case UInt8(ascii: "!"):
      throw self.finding("a YAML tag", "remove it, or put quotes around a text that begins with '!'")
    case UInt8(ascii: "|") where self.flow == 0, UInt8(ascii: ">") where self.flow == 0:
      self.key = nil
      self.blockScalar()
    case UInt8(ascii: "\""), UInt8(ascii: "'"):
      self.beginKey()
      self.quoted(byte)
    default:
      self.beginKey()
      try self.plain()
    }
    return true
  }

  private var isDocumentMarker: Bool {
    guard self.column == 0, Self.isBlankZ(self.peek(3)) else { return false }
    let byte = self.peek()
    return (byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")) && self.peek(1) == byte && self.peek(2) == byte
  }

  private mutating func beginKey() {
    if self.flow == 0 { self.key = (self.line, self.column) }
  }

  private mutating func value() throws(Finding) {
    if self.flow == 0 {
      guard let key = self.key, key.line == self.line else {
        throw self.finding("a ':' without a key on the same line", "write 'key: value', or put quotes around the text")
      }
      try self.open(column: key.column, isList: false)
      self.key = nil
    }
    self.at += 1
  }

  private mutating func open(column: Int, isList: Bool) throws(Finding) {
    guard self.flow == 0, column > self.indent else {
      // A list at the column of its key opens a level without indentation; it is counted with its map.
      return
    }
    self.indents.append((column, isList))
    try self.checkDepth()
  }

  private func checkDepth() throws(Finding) {
    guard self.indents.count + self.flow <= Self.maximumDepth else {
      throw self.finding(
        "nested deeper than \(Self.maximumDepth) levels", "no resource is that deep: look for a bracket too many")
    }
  }

  private mutating func quoted(_ quote: UInt8) {
    self.at += 1
    while self.at < self.bytes.count {
      let byte = self.peek()
      if Self.isBreak(byte) {
        self.skipLineBreak()
      } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        self.at += Self.isBreak(self.peek(1)) ? 1 : 2
      } else if byte == quote {
        self.at += 1
        guard quote == UInt8(ascii: "'"), self.peek() == quote else { return }
        self.at += 1
      } else {
        self.at += 1
      }
    }
  }

  /// Goes on over lines that are indented more than the collection it stands in.
  private mutating func plain() throws(Finding) {
    let minimum = self.indent + 1
    while true {
      if self.isDocumentMarker || self.peek() == UInt8(ascii: "#") { return }
      while !Self.isBlankZ(self.peek()) {
        let byte = self.peek()
        if byte == UInt8(ascii: ":"), Self.isBlankZ(self.peek(1)) { return }
        if self.flow > 0 {
          switch byte {
          case UInt8(ascii: ":"):
            switch self.peek(1) {
            case UInt8(ascii: ","), UInt8(ascii: "?"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"),
              UInt8(ascii: "}"):
              return try self.value()
            default: break
            }
          case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "}"): return
          case UInt8(ascii: "?"):
            throw self.finding("a '?' inside of brackets", "put quotes around the text")
          default: break
          }
        }
        self.at += 1
      }
      guard self.at < self.bytes.count else { return }
      while Self.isBlank(self.peek()) || Self.isBreak(self.peek()) {
        if Self.isBreak(self.peek()) {
          self.skipLineBreak()
        } else if self.peek() == UInt8(ascii: "\t"), self.flow == 0 {
          throw self.finding("a tab", "indent and separate with spaces")
        } else {
          self.at += 1
        }
      }
      if self.flow == 0, self.column < minimum { return }
      guard self.at < self.bytes.count else { return }
    }
  }

  /// `|` or `>`: all following lines that are blank or indented enough.
  private mutating func blockScalar() {
    self.at += 1
    var increment = 0
    while !Self.isBlankZ(self.peek()) {
      if (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(self.peek()) {
        increment = Int(self.peek() - UInt8(ascii: "0"))
      }
      self.at += 1
    }
    while self.at < self.bytes.count, !Self.isBreak(self.peek()) { self.at += 1 }
    guard self.at < self.bytes.count else { return }
    self.skipLineBreak()
    var wanted = increment == 0 ? 0 : max(self.indent, 0) + increment
    if wanted == 0 {
      // The deepest of the leading blank lines and the first line with text.
      var look = self
      while true {
        while look.peek() == UInt8(ascii: " ") { look.at += 1 }
        wanted = max(wanted, look.column)
        guard Self.isBreak(look.peek()) else { break }
        look.skipLineBreak()
      }
      wanted = max(wanted, self.indent + 1, 1)
    }
    while self.at < self.bytes.count {
      while self.column < wanted, self.peek() == UInt8(ascii: " ") { self.at += 1 }
      if Self.isBreak(self.peek()) {
        self.skipLineBreak()
        continue
      }
      guard self.column == wanted else { return }
      while self.at < self.bytes.count, !Self.isBreak(self.peek()) { self.at += 1 }
      if self.at < self.bytes.count { self.skipLineBreak() }
    }
  }
}
