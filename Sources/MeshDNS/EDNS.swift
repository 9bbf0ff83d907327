/// The OPT record (RFC 6891): what a sender can take, and more bits for the code.
package struct EDNS: Hashable, Sendable {
  /// What we say of ourselves: fits an IPv6 path of 1,280 bytes.
  package static let ownPayloadSize: UInt16 = 1232
  /// The least that counts; less is taken as this (RFC 6891 section 6.2.3).
  package static let leastPayloadSize = 512
  /// The most that an IPv4 datagram carries.
  package static let mostPayloadSize = 65_507

  package var payloadSize: UInt16
  /// The upper eight bits of the response code.
  package var extendedCode: UInt8
  package var version: UInt8
  package var isDNSSECWanted: Bool

  package init(
    payloadSize: UInt16 = EDNS.ownPayloadSize, extendedCode: UInt8 = 0, version: UInt8 = 0,
    isDNSSECWanted: Bool = false
  ) {
    self.payloadSize = payloadSize
    self.extendedCode = extendedCode
    self.version = version
    self.isDNSSECWanted = isDNSSECWanted
  }

  /// Bytes of an answer by UDP that the sender takes.
  package var limit: Int { min(max(Int(self.payloadSize), Self.leastPayloadSize), Self.mostPayloadSize) }

  /// Without options.
  package var record: DNSRecord {
    DNSRecord(
      name: DNSName.root.spelled, type: .opt, recordClass: self.payloadSize,
      timeToLive: UInt32(self.extendedCode) << 24 | UInt32(self.version) << 16 | (self.isDNSSECWanted ? 0x8000 : 0),
      data: [])
  }

  /// The one OPT record of a message, nil if there is none. Two, or one that is elsewhere or not of the root, are malformed
  /// (RFC 6891 section 6.1.1); so are options that end beyond it.
  package static func of(_ message: DNSMessage) throws(DNSMalformed) -> EDNS? {
    guard !message.answers.contains(where: { $0.type == .opt }),
      !message.authorities.contains(where: { $0.type == .opt })
    else { throw .option }
    let records = message.additionals.filter { $0.type == .opt }
    guard let record = records.first else { return nil }
    guard records.count == 1, record.name.name == .root else { throw .option }
    var reader = DNSReader(record.data)
    while !reader.isAtEnd {
      _ = try reader.number16()
      _ = try reader.range(Int(try reader.number16()))
    }
    return EDNS(
      payloadSize: record.recordClass, extendedCode: UInt8(truncatingIfNeeded: record.timeToLive >> 24),
      version: UInt8(truncatingIfNeeded: record.timeToLive >> 16), isDNSSECWanted: record.timeToLive & 0x8000 != 0)
  }
}
