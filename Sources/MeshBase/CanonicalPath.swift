/// The one form of a request's path that policy and routes match, and that is sent upstream. What was matched is what is
/// forwarded, so a server behind cannot read another path out of it.
///
/// Canonical: begins with `/`; no empty, `.` or `..` element (a trailing slash stays); unreserved bytes stand for themselves and
/// everything else that RFC 3986 does not allow in a path is an escape with upper-case digits; escapes are undone once. Reserved
/// bytes and their escapes stay what they were (`;` is not `%3B`). Case counts. Escaped bytes beyond ASCII have to be UTF-8.
package enum CanonicalPath {
  /// Why a path is answered with 400.
  package enum Refusal: String, Sendable, CaseIterable {
    case notAbsolute = "path_not_absolute"
    /// A control byte, a space, `#`, `?` or a byte beyond ASCII that is not escaped.
    case byte = "path_byte"
    case escape = "path_escape"
    case escapedControl = "path_escaped_control"
    case escapedSlash = "path_escaped_slash"
    case backslash = "path_backslash"
    case notUTF8 = "path_not_utf8"
  }

  /// What becomes of `%2F`.
  package enum EscapedSlash: Sendable {
    case refused
    /// Stays an escape; rules on elements do not see it.
    case kept
    /// Separates elements.
    case decoded
  }

  package enum Form: Equatable, Sendable {
    /// The path is canonical as it stands.
    case same
    /// The canonical path was written out.
    case rewritten
    case refused(Refusal)
  }

  /// `output` is overwritten if the path is not canonical already.
  package static func form(
    of path: Span<UInt8>, escapedSlash: EscapedSlash = .refused, into output: inout [UInt8]
  ) -> Form {
    if self.isCanonical(path) { return .same }
    guard path.count > 0, path[0] == 0x2f else { return .refused(.notAbsolute) }
    output.removeAll(keepingCapacity: true)
    if let refusal = self.unescape(path, escapedSlash, into: &output) { return .refused(refusal) }
    self.removeDotElements(&output)
    return .rewritten
  }

  /// The path as a server sees it that cuts parameters (`;v=1`) off its elements; nil: there are none. A rule that denies has to
  /// be asked with both. The path is canonical.
  package static func withoutParameters(_ path: Span<UInt8>) -> [UInt8]? {
    var output: [UInt8] = []
    var isParameter = false
    var found = false
    for i in path.indices {
      let byte = path[i]
      if byte == 0x2f { isParameter = false } else if byte == 0x3b { isParameter = true }
      if isParameter { found = true } else { output.append(byte) }
    }
    guard found else { return nil }
    self.removeDotElements(&output)
    return output
  }

  /// Most paths: only bytes that stand for themselves, nothing that looks like an empty or dot element.
  private static func isCanonical(_ path: Span<UInt8>) -> Bool {
    guard path.count > 0, path[0] == 0x2f else { return false }
    var isAfterSlash = false
    for i in path.indices {
      let byte = path[i]
      if byte == 0x2f {
        if isAfterSlash { return false }
        isAfterSlash = true
        continue
      }
      if isAfterSlash && byte == 0x2e { return false }
      isAfterSlash = false
      guard self.isPathByte(byte) else { return false }
    }
    return true
  }

  private static func unescape(
    _ path: Span<UInt8>, _ escapedSlash: EscapedSlash, into output: inout [UInt8]
  ) -> Refusal? {
    var utf8 = UTF8Sequence()
    var i = 0
    while i < path.count {
      let byte = path[i]
      guard byte == 0x25 else {
        guard utf8.isComplete else { return .notUTF8 }
        guard byte != 0x5c else { return .backslash }
        if byte == 0x2f || self.isPathByte(byte) {
          output.append(byte)
        } else if byte > 0x20, byte < 0x7f, byte != 0x23, byte != 0x3f {
          self.appendEscape(byte, to: &output)
        } else {
          return .byte
        }
        i += 1
        continue
      }
      guard i + 2 < path.count, let high = self.digit(path[i + 1]), let low = self.digit(path[i + 2]) else {
        return .escape
      }
      i += 3
      let value = high << 4 | low
      guard utf8.take(value) else { return .notUTF8 }
      switch value {
      case 0..<0x20, 0x7f: return .escapedControl
      case 0x5c: return .backslash
      case 0x2f:
        switch escapedSlash {
        case .refused: return .escapedSlash
        case .kept: self.appendEscape(value, to: &output)
        case .decoded: output.append(value)
        }
      case _ where self.isUnreserved(value): output.append(value)
      default: self.appendEscape(value, to: &output)
      }
    }
    return utf8.isComplete ? nil : .notUTF8
  }

  /// Takes away empty, `.` and `..` elements, in place: the result is never longer. `..` at the top stays there.
  private static func removeDotElements(_ path: inout [UInt8]) {
    var write = 0
    var read = 0
    while read < path.count {
      while read < path.count, path[read] == 0x2f { read += 1 }
      var end = read
      while end < path.count, path[end] != 0x2f { end += 1 }
      let isLast = end == path.count
      let isDot = end - read == 1 && path[read] == 0x2e
      let isDotDot = end - read == 2 && path[read] == 0x2e && path[read + 1] == 0x2e
      if isDotDot {
        while write > 0 {
          write -= 1
          if path[write] == 0x2f { break }
        }
      }
      if isDot || isDotDot || read == end {
        if isLast {
          path[write] = 0x2f
          write += 1
        }
      } else {
        path[write] = 0x2f
        write += 1
        for i in read..<end {
          path[write] = path[i]
          write += 1
        }
      }
      read = end
    }
    path.removeSubrange(write...)
  }

  private static func appendEscape(_ byte: UInt8, to output: inout [UInt8]) {
    output.append(0x25)
    output.append(self.hexadecimal(byte >> 4))
    output.append(self.hexadecimal(byte & 15))
  }

  private static func hexadecimal(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x37 + digit }

  package static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  private static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: true
    default: false
    }
  }

  /// Unreserved, sub-delims, `:` and `@`.
  private static func isPathByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x61...0x7a, 0x41...0x5a, 0x30...0x39, 0x2d, 0x2e, 0x5f, 0x7e: true
    case 0x21, 0x24, 0x26...0x2c, 0x3a, 0x3b, 0x3d, 0x40: true
    default: false
    }
  }
}

/// The shortest form only, no surrogates (RFC 3629).
private struct UTF8Sequence {
  private var left = 0
  private var range: ClosedRange<UInt8> = 0x80...0xbf

  var isComplete: Bool { self.left == 0 }

  mutating func take(_ byte: UInt8) -> Bool {
    if self.left > 0 {
      guard self.range.contains(byte) else { return false }
      self.left -= 1
      self.range = 0x80...0xbf
      return true
    }
    switch byte {
    case 0..<0x80: return true
    case 0xc2...0xdf: self.left = 1
    case 0xe0: (self.left, self.range) = (2, 0xa0...0xbf)
    case 0xed: (self.left, self.range) = (2, 0x80...0x9f)
    case 0xe1...0xef: self.left = 2
    case 0xf0: (self.left, self.range) = (3, 0x90...0xbf)
    case 0xf1...0xf3: self.left = 3
    case 0xf4: (self.left, self.range) = (3, 0x80...0x8f)
    default: return false
    }
    return true
  }
}
