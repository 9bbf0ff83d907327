package import MeshBase

/// What an upstream answered. It is passed on as its bytes, so only what decides is read.
package struct DNSReply: Hashable, Sendable {
  package let bytes: [UInt8]
  private let message: DNSMessage

  package init(_ bytes: [UInt8]) throws(DNSMalformed) {
    self.message = try DNSMessage(parsing: bytes, allowsTrailingBytes: true)
    self.bytes = bytes
  }

  package var isTruncated: Bool { self.message.flags.contains(.truncated) }

  /// The lower four bits: enough for what is decided.
  package var code: DNSResponseCode { DNSResponseCode(rawValue: self.message.flags.code) }

  /// Another upstream may know better.
  package var isFailure: Bool { [.serverFailure, .notImplemented, .refused].contains(self.code) }

  /// How far bytes are an answer to what was sent.
  package enum Match: Hashable, Sendable {
    case exact
    /// Right but for upper and lower case.
    case otherCase
    case none
  }

  /// Looks at the header and the question only. By TCP a failure without a question counts: some servers do not repeat
  /// what they refuse, and nobody off the path can write into a connection.
  package static func match(
    _ bytes: [UInt8], id: UInt16, question: DNSQuestion, transport: DNSTransport
  ) -> Match {
    var reader = DNSReader(bytes)
    guard let header = try? reader.header(), header.id == id, header.flags.contains(.response),
      header.flags.operation == 0
    else { return .none }
    if header.questions == 0 {
      return transport == .tcp && header.flags.code != DNSResponseCode.noError.rawValue ? .exact : .none
    }
    guard header.questions == 1, let answered = try? reader.question() else { return .none }
    if answered == question { return .exact }
    return answered.isSame(as: question) ? .otherCase : .none
  }

  /// Whether an answer holds an address of one of the ranges.
  package func hasAddress(in ranges: [IPPrefix]) -> Bool {
    guard !ranges.isEmpty else { return false }
    for record in self.message.answers + self.message.additionals {
      guard let address = record.address else { continue }
      if ranges.contains(where: { $0.contains(address) }) { return true }
    }
    return false
  }

  /// The bytes for a client: its id, and no more than it takes. What is too long becomes an answer without records but OPT
  /// that says so (RFC 2181 section 9: a part of a set of records is worth nothing).
  package func bytes(id: UInt16, limit: Int) -> [UInt8] {
    if self.bytes.count <= limit { return self.bytes.withID(id) }
    return DNSMessage(
      id: id, flags: self.message.flags.union(.truncated), questions: self.message.questions,
      additionals: self.message.additionals.filter { $0.type == .opt && $0.data.count <= 64 }
    ).bytes
  }
}

extension DNSRecord {
  /// The address of an A or AAAA record (RFC 1035, RFC 3596).
  package var address: IPAddress? {
    guard self.recordClass == DNSClass.internet else { return nil }
    switch (self.type, self.data.count) {
    case (.a, 4): return IPAddress(v4: self.data.reduce(0) { $0 << 8 | UInt32($1) })
    case (.aaaa, 16):
      return IPAddress(
        high: self.data[..<8].reduce(0) { $0 << 8 | UInt64($1) },
        low: self.data[8...].reduce(0) { $0 << 8 | UInt64($1) })
    default: return nil
    }
  }

  package init(name: SpelledName, timeToLive: UInt32, address: IPAddress) {
    let words = address.v4.map { [UInt64($0) << 32] } ?? [address.high, address.low]
    let bytes = words.flatMap { word in
      stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
    }
    self.init(
      name: name, type: address.isV4 ? .a : .aaaa, timeToLive: timeToLive,
      data: address.isV4 ? Array(bytes.prefix(4)) : bytes)
  }
}

extension [UInt8] {
  /// The message under another id. What is too short to have one stays.
  func withID(_ id: UInt16) -> [UInt8] {
    guard self.count >= 2 else { return self }
    var result = self
    result[0] = UInt8(truncatingIfNeeded: id >> 8)
    result[1] = UInt8(truncatingIfNeeded: id)
    return result
  }
}
