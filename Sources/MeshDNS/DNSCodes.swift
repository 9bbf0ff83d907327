/// A type of resource record: a number, because unknown ones pass through (RFC 3597).
package struct DNSType: RawRepresentable, Hashable, Sendable {
  package var rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let a = DNSType(rawValue: 1)
  package static let cname = DNSType(rawValue: 5)
  package static let soa = DNSType(rawValue: 6)
  package static let hinfo = DNSType(rawValue: 13)
  package static let txt = DNSType(rawValue: 16)
  package static let aaaa = DNSType(rawValue: 28)
  package static let srv = DNSType(rawValue: 33)
  package static let opt = DNSType(rawValue: 41)
  /// Incremental and whole zone transfers: answers of many messages.
  package static let ixfr = DNSType(rawValue: 251)
  package static let axfr = DNSType(rawValue: 252)
  package static let any = DNSType(rawValue: 255)
}

package enum DNSClass {
  package static let internet: UInt16 = 1
}

/// RFC 1035 section 4.1.1; 16 and above need an OPT record (RFC 6891).
package struct DNSResponseCode: RawRepresentable, Hashable, Sendable {
  package var rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let noError = DNSResponseCode(rawValue: 0)
  package static let formatError = DNSResponseCode(rawValue: 1)
  package static let serverFailure = DNSResponseCode(rawValue: 2)
  package static let nameError = DNSResponseCode(rawValue: 3)
  package static let notImplemented = DNSResponseCode(rawValue: 4)
  package static let refused = DNSResponseCode(rawValue: 5)
  package static let badVersion = DNSResponseCode(rawValue: 16)
}

/// Why bytes are no DNS message.
package enum DNSMalformed: String, Error, Hashable, Sendable {
  case short = "the message ends too early"
  case label = "a label is of no known kind"
  case nameTooLong = "a name is longer than 255 bytes"
  case pointer = "a compression pointer does not lead backwards"
  case trailingBytes = "bytes follow the last record"
  case option = "the OPT record is not valid"
}

package enum DNSTransport: Hashable, Sendable {
  case udp
  case tcp
}
