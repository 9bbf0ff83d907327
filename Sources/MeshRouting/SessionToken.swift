import MeshBase

/// What a client bears so that its requests go to the same endpoint: 48 hexadecimal digits, the endpoint's number, when the session
/// began, when the token was given, and a sum over these and the rule. It is no secret and proves nothing: whoever makes one up
/// chooses among the endpoints that the rule leads to anyway, and policy decides on the connection as on any other.
package struct SessionToken: Equatable, Sendable {
  static let length = 48
  /// Clocks of hosts are not one.
  private static let skew: UInt32 = 60

  package let endpoint: UInt64
  /// Seconds since 1970.
  package let began: UInt32
  package let given: UInt32

  package init(endpoint: UInt64, began: UInt32, given: UInt32) {
    self.endpoint = endpoint
    self.began = began
    self.given = given
  }

  /// Nil: it is none of the rule's.
  init?(_ text: Span<UInt8>, rule: UInt64) {
    guard text.count == Self.length, let endpoint = Self.number(text, 0..<16),
      let began = Self.number(text, 16..<24), let given = Self.number(text, 24..<32),
      let sum = Self.number(text, 32..<48)
    else { return nil }
    self.init(endpoint: endpoint, began: UInt32(truncatingIfNeeded: began), given: UInt32(truncatingIfNeeded: given))
    guard self.sum(rule) == sum else { return nil }
  }

  func text(rule: UInt64) -> String {
    Self.digits(self.endpoint, 16) + Self.digits(UInt64(self.began), 8) + Self.digits(UInt64(self.given), 8)
      + Self.digits(self.sum(rule), 16)
  }

  /// Whether the times hold, in seconds; 0 limits nothing.
  func isCurrent(absolute: UInt32, idle: UInt32, now: UInt32) -> Bool {
    guard self.began <= self.given, self.given <= now.addingReportingOverflow(Self.skew).partialValue else {
      return false
    }
    let (age, rest) = (now > self.began ? now - self.began : 0, now > self.given ? now - self.given : 0)
    return (absolute == 0 || age < absolute) && (idle == 0 || rest < idle)
  }

  private func sum(_ rule: UInt64) -> UInt64 {
    var bytes: [UInt8] = []
    for word in [rule, self.endpoint, UInt64(self.began) << 32 | UInt64(self.given)] {
      for shift in stride(from: 56, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    return ContentVersion(of: bytes).value
  }

  private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
    var value: UInt64 = 0
    for at in range {
      switch text[at] {
      case let digit where digit &- 0x30 < 10: value = value << 4 | UInt64(digit - 0x30)
      case let digit where digit &- 0x61 < 6: value = value << 4 | UInt64(digit - 0x61 + 10)
      default: return nil
      }
    }
    return value
  }

  private static func digits(_ value: UInt64, _ count: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: count - digits.count) + digits
  }
}
