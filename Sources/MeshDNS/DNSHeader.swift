/// The second word of a message (RFC 1035 section 4.1.1, RFC 4035 section 3).
package struct DNSFlags: OptionSet, Hashable, Sendable {
  package var rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let response = DNSFlags(rawValue: 0x8000)
  package static let authoritative = DNSFlags(rawValue: 0x0400)
  package static let truncated = DNSFlags(rawValue: 0x0200)
  package static let recursionDesired = DNSFlags(rawValue: 0x0100)
  package static let recursionAvailable = DNSFlags(rawValue: 0x0080)
  package static let checkingDisabled = DNSFlags(rawValue: 0x0010)

  private static let operationMask: UInt16 = 0x7800
  private static let codeMask: UInt16 = 0x000f

  /// 0 is QUERY.
  package var operation: UInt8 { UInt8(truncatingIfNeeded: (self.rawValue & Self.operationMask) >> 11) }

  /// The lower four bits of the response code.
  package var code: UInt16 {
    get { self.rawValue & Self.codeMask }
    set { self.rawValue = self.rawValue & ~Self.codeMask | newValue & Self.codeMask }
  }

  /// What an answer of ours repeats: operation, recursion desired, checking disabled.
  package var answering: DNSFlags {
    DNSFlags(rawValue: self.rawValue & Self.operationMask)
      .union(self.intersection([.recursionDesired, .checkingDisabled]))
      .union([.response, .recursionAvailable])
  }
}

package struct DNSHeader: Hashable, Sendable {
  package static let length = 12

  package var id: UInt16
  package var flags: DNSFlags
  package var questions: UInt16 = 0
  package var answers: UInt16 = 0
  package var authorities: UInt16 = 0
  package var additionals: UInt16 = 0
}
