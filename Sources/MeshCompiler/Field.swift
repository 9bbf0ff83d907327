import MeshBase
import Yams

/// Gathers the problems of one document. A class, because every field of the document adds to the same list.
final class ProblemSink {
  let file: String
  /// What is being read: `Service shop/web`.
  var object = "document"
  private(set) var problems: [Problem] = []
  private(set) var errors = 0

  init(file: String) { self.file = file }

  func add(_ severity: Problem.Severity, _ position: FieldPosition, _ message: String, next: String?) {
    if severity == .error { self.errors += 1 }
    self.problems.append(
      Problem(severity, file: self.file, position: position, object: self.object, message: message, next: next))
  }
}

/// A value in a document with its path: reads it as one type exactly, or says why not. Nothing is converted: a number is
/// no text, `yes` is no boolean.
struct Field {
  let node: Node
  let path: String
  let sink: ProblemSink
  /// Where the value stands if its node does not know.
  var fallback: FieldPosition?

  var position: FieldPosition {
    guard let mark = self.node.mark else {
      return FieldPosition(line: self.fallback?.line ?? 1, column: self.fallback?.column ?? 1, path: self.path)
    }
    return FieldPosition(line: max(mark.line, 1), column: max(mark.column, 1), path: self.path)
  }

  func fail(_ message: String, next: String? = nil) {
    self.sink.add(.error, self.position, message, next: next)
  }

  func warn(_ message: String, next: String? = nil) {
    self.sink.add(.warning, self.position, message, next: next)
  }

  /// What stands here, for messages.
  private var found: String {
    switch self.node {
    case .mapping: "a map"
    case .sequence: "a list"
    case .alias: "an alias"
    case .scalar(let scalar):
      switch PlainScalar(scalar) {
      case .null: "nothing"
      case .boolean: "the boolean \(scalar.string)"
      case .number: "the number \(scalar.string)"
      case .text: "the text \(quotedForMessage(scalar.string))"
      }
    }
  }

  func wrongType(_ wanted: String, next: String? = nil) {
    self.fail("\(self.found) stands where \(wanted) belongs", next: next ?? "write \(wanted)")
  }

  /// `null`, `~`, or nothing at all.
  var isNull: Bool {
    if case .scalar(let scalar) = self.node, case .null = PlainScalar(scalar) { return true }
    return false
  }

  func text() -> String? {
    guard case .scalar(let scalar) = self.node else {
      self.wrongType("a text")
      return nil
    }
    switch PlainScalar(scalar) {
    case .text: return scalar.string
    case .null: self.wrongType("a text", next: "remove the field or write \"\" for an empty text")
    case .boolean, .number: self.wrongType("a text", next: "write \"\(scalar.string)\"")
    }
    return nil
  }

  /// A text, a whole number, or nil with a problem.
  enum TextOrNumber {
    case text(String)
    case number(Int64)
  }

  func textOrNumber(_ wanted: String) -> TextOrNumber? {
    guard case .scalar(let scalar) = self.node else {
      self.wrongType(wanted)
      return nil
    }
    switch PlainScalar(scalar) {
    case .text: return .text(scalar.string)
    case .number:
      if let value = PlainScalar.whole(scalar.string) { return .number(value) }
      self.wrongType(wanted)
    case .null, .boolean: self.wrongType(wanted)
    }
    return nil
  }

  func number(_ range: ClosedRange<Int64>) -> Int64? {
    let wanted = "a number from \(range.lowerBound) to \(range.upperBound)"
    guard case .scalar(let scalar) = self.node, case .number = PlainScalar(scalar) else {
      self.wrongType(wanted)
      return nil
    }
    guard let value = PlainScalar.whole(scalar.string), range.contains(value) else {
      self.wrongType(wanted, next: "write it in decimal digits")
      return nil
    }
    return value
  }

  func count<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number? {
    self.number(Int64(range.lowerBound)...Int64(range.upperBound)).flatMap { Number(exactly: $0) }
  }

  /// A number with decimals, in the unit of the last of them: `1.25` with two is 125. The range is in that unit.
  func decimal<Number: FixedWidthInteger>(places: Int, _ range: ClosedRange<Number>) -> Number? {
    let unit = (0..<places).reduce(Int64(1)) { unit, _ in unit * 10 }
    func text(_ value: Number) -> String {
      let (whole, rest) = Int64(value).quotientAndRemainder(dividingBy: unit)
      guard rest > 0 else { return "\(whole)" }
      var digits = Array("\(unit + rest)".dropFirst())
      while digits.last == "0" { digits.removeLast() }
      return "\(whole).\(String(digits))"
    }
    let wanted = "a number from \(text(range.lowerBound)) to \(text(range.upperBound)) with at most \(places) decimals"
    guard case .scalar(let scalar) = self.node, case .number = PlainScalar(scalar) else {
      self.wrongType(wanted)
      return nil
    }
    let parts = scalar.string.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count > 1 ? parts[1] : ""
    if let whole = parts.first.flatMap({ Int64(strictDecimal: $0) }), whole <= Int64(range.upperBound) / unit,
      fraction.utf8.count <= places, parts.count == 1 || !fraction.isEmpty,
      fraction.utf8.allSatisfy({ (0x30...0x39).contains($0) })
    {
      let digits = fraction.utf8.reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
      let missing = (fraction.utf8.count..<places).reduce(Int64(1)) { unit, _ in unit * 10 }
      if let value = Number(exactly: whole * unit + digits * missing), range.contains(value) { return value }
    }
    self.wrongType(wanted, next: "write it in decimal digits")
    return nil
  }

  func port() -> UInt16? {
    self.number(1...65_535).flatMap { UInt16(exactly: $0) }
  }

  func flag() -> Bool? {
    guard case .scalar(let scalar) = self.node, scalar.style == .plain, ["true", "false"].contains(scalar.string) else {
      self.wrongType("true or false", next: "only these two words are booleans here")
      return nil
    }
    return scalar.string == "true"
  }

  /// A list; an empty one is a problem unless `allowEmpty`.
  func list(allowEmpty: Bool = false) -> [Field]? {
    guard case .sequence(let sequence) = self.node else {
      self.wrongType("a list")
      return nil
    }
    if sequence.isEmpty, !allowEmpty {
      self.fail("an empty list", next: "remove the field or give it a value")
      return nil
    }
    return sequence.enumerated().map { index, node in
      Field(node: node, path: "\(self.path)[\(index)]", sink: self.sink, fallback: self.position)
    }
  }

  func texts(allowEmpty: Bool = false) -> [(Field, String)]? {
    guard let list = self.list(allowEmpty: allowEmpty) else { return nil }
    let values = list.compactMap { field in field.text().map { (field, $0) } }
    return values.count == list.count ? values : nil
  }

  /// A map of fields with fixed names.
  func fields() -> Fields? {
    guard case .mapping(let mapping) = self.node else {
      self.wrongType("a map")
      return nil
    }
    return Fields(mapping, of: self)
  }

  /// A field of a map that was read already. Nil if it is not there.
  func child(_ name: String) -> Field? {
    guard case .mapping(let mapping) = self.node, let node = mapping[name] else { return nil }
    return Field(node: node, path: "\(self.path).\(name)", sink: self.sink, fallback: self.position)
  }

  /// A map of any keys, which may look like numbers.
  func entries() -> [(String, Field)]? {
    guard case .mapping(let mapping) = self.node else {
      self.wrongType("a map")
      return nil
    }
    var result: [(String, Field)] = []
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        self.fail("a key that is no text", next: "use a plain text key")
        continue
      }
      result.append(
        (
          scalar.string,
          Field(
            node: value, path: "\(self.path)[\(scalar.string)]", sink: self.sink, fallback: self.position)
        ))
    }
    return result
  }

  /// A map of any keys to texts.
  func textMap() -> [String: String]? {
    guard case .mapping(let mapping) = self.node else {
      self.wrongType("a map of texts")
      return nil
    }
    var result: [String: String] = [:]
    var isWhole = true
    for (key, value) in mapping {
      let keyField = Field(node: key, path: self.path, sink: self.sink, fallback: self.position)
      guard let name = keyField.text() else {
        isWhole = false
        continue
      }
      let field = Field(node: value, path: "\(self.path)[\(name)]", sink: self.sink, fallback: keyField.position)
      if let text = field.text() { result[name] = text } else { isWhole = false }
    }
    return isWhole ? result : nil
  }
}

/// At most 60 characters of a text that somebody wrote, in quotes, without line breaks.
func quotedForMessage(_ text: String) -> String {
  let flat = text.unicodeScalars.prefix(60).map { $0.value < 32 || $0.value == 127 ? " " : String($0) }.joined()
  return "\"\(flat)\(text.unicodeScalars.count > 60 ? "…" : "")\""
}

/// What a scalar is in YAML 1.1's eyes, which are those of kubectl: unquoted words can be booleans and numbers.
enum PlainScalar: Equatable {
  case null
  case boolean
  case number
  case text

  init(_ scalar: Node.Scalar) {
    self = scalar.style == .plain || scalar.style == .any ? Self(scalar.string) : .text
  }

  /// `text` stands without quotes.
  init(_ text: String) {
    switch text {
    case "", "~", "null", "Null", "NULL": self = .null
    case "true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON",
      "off", "Off", "OFF":
      self = .boolean
    default: self = Self.looksLikeNumber(text) ? .number : .text
    }
  }

  /// Decimal, hexadecimal, octal, binary, with `_`, with fraction and exponent, base 60 (`1:30`), infinity and NaN.
  private static func looksLikeNumber(_ text: String) -> Bool {
    var bytes = Array(text.utf8)[...]
    if let first = bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") { bytes = bytes.dropFirst() }
    guard let first = bytes.first else { return false }
    let isDigit: (UInt8) -> Bool = { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    if first == UInt8(ascii: ".") {
      let rest = String(decoding: bytes.dropFirst(), as: UTF8.self).lowercased()
      return rest == "inf" || rest == "nan" || (rest.utf8.first.map(isDigit) ?? false) && Self.isDecimal(bytes)
    }
    guard isDigit(first) else { return false }
    if first == UInt8(ascii: "0"), bytes.count > 2 {
      let digits = bytes.dropFirst(2)
      switch bytes[bytes.startIndex + 1] | 0x20 {
      case UInt8(ascii: "x"):
        return digits.allSatisfy {
          isDigit($0) || $0 == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0 | 0x20)
        }
      case UInt8(ascii: "o"), UInt8(ascii: "b"):
        return digits.allSatisfy { isDigit($0) || $0 == UInt8(ascii: "_") }
      default: break
      }
    }
    if bytes.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "_") }) { return true }
    return Self.isDecimal(bytes)
  }

  /// Digits and `_`, at most one point, then at most one exponent.
  private static func isDecimal(_ bytes: ArraySlice<UInt8>) -> Bool {
    var points = 0
    var exponents = 0
    var previous: UInt8 = 0
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): break
      case UInt8(ascii: "."):
        points += 1
        if exponents > 0 { return false }
      case UInt8(ascii: "e"), UInt8(ascii: "E"): exponents += 1
      case UInt8(ascii: "+"), UInt8(ascii: "-"):
        if previous | 0x20 != UInt8(ascii: "e") { return false }
      default: return false
      }
      previous = byte
    }
    return points <= 1 && exponents <= 1 && previous | 0x20 != UInt8(ascii: "e")
  }

  /// A whole number in plain decimal digits, with `-` at most: no leading zero, no base, no separators, no overflow.
  static func whole(_ text: String) -> Int64? {
    text.hasPrefix("-") ? Int64(strictDecimal: text.dropFirst()).map { 0 - $0 } : Int64(strictDecimal: text)
  }
}
