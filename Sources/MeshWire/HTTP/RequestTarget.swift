package import MeshBase

/// Path and query of a request, percent-decoded. Made from bytes that anybody may have sent: what is not plain is refused.
package struct RequestTarget: Sendable, Hashable {
  package var path: String
  package var query: [String: String]

  /// Origin form only (RFC 9112, section 3.2.1). Nil for anything else, for bad escapes, control characters, names given
  /// twice, more than 16 parameters, or more than 4096 bytes.
  package init?(_ text: String) {
    guard text.utf8.count <= 4096, text.hasPrefix("/") else { return nil }
    let end = text.firstIndex(of: "?") ?? text.endIndex
    guard let path = Self.decoded(text[..<end], plusIsSpace: false) else { return nil }
    self.path = path
    self.query = [:]
    guard end < text.endIndex else { return }
    let pairs = text[text.index(after: end)...].split(separator: "&")
    guard pairs.count <= 16 else { return nil }
    for pair in pairs {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first.flatMap({ Self.decoded($0, plusIsSpace: true) }),
        let value = parts.count == 2 ? Self.decoded(parts[1], plusIsSpace: true) : "",
        self.query.updateValue(value, forKey: name) == nil
      else { return nil }
    }
  }

  private static func decoded(_ text: Substring, plusIsSpace: Bool) -> String? {
    var bytes: [UInt8] = []
    var rest = Substring(text).utf8[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(Self.hex), let low = rest.popFirst().flatMap(Self.hex) else {
          return nil
        }
        bytes.append(high << 4 | low)
      case UInt8(ascii: "+") where plusIsSpace: bytes.append(0x20)
      default: bytes.append(byte)
      }
    }
    guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

extension RequestTarget {
  /// A decimal number; nil if the parameter is absent. Throws `invalid` if it is no number of the range.
  package func number(_ name: String, in range: ClosedRange<Int>) throws(MeshError) -> Int? {
    guard let text = self.query[name] else { return nil }
    guard let value = Int(strictDecimal: text), range.contains(value) else {
      throw MeshError(.invalid, name, "is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// `true` or `false`; absent is false.
  package func flag(_ name: String) throws(MeshError) -> Bool {
    switch self.query[name] {
    case nil, "false": return false
    case "true", "": return true
    default: throw MeshError(.invalid, name, "is neither true nor false")
    }
  }
}
