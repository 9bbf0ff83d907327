/// What a client asked: one question, whole and valid. The bytes are kept, because they are what is forwarded.
package struct DNSQuery: Hashable, Sendable {
  package let bytes: [UInt8]
  package let id: UInt16
  package let flags: DNSFlags
  package let question: DNSQuestion
  package let edns: EDNS?

  /// What arrived from a client.
  package enum Arrival: Hashable, Sendable {
    case query(DNSQuery)
    /// Answered with these bytes at once: not understood, or not done here.
    case refused([UInt8], DNSResponseCode)
    /// Too short to be answered, or an answer itself: answering it could make two servers talk for ever.
    case ignored
  }

  package static func arrival(_ bytes: [UInt8]) -> Arrival {
    var reader = DNSReader(bytes)
    guard let header = try? reader.header(), !header.flags.contains(.response) else { return .ignored }
    func refused(_ code: DNSResponseCode) -> Arrival {
      var flags = header.flags.answering
      flags.code = code.rawValue
      return .refused(DNSMessage(id: header.id, flags: flags).bytes, code)
    }
    guard header.flags.operation == 0 else { return refused(.notImplemented) }
    guard header.questions == 1 else { return refused(.formatError) }
    do throws(DNSMalformed) {
      let message = try DNSMessage(parsing: bytes)
      let edns = try EDNS.of(message)
      guard let question = message.questions.first else { return refused(.formatError) }
      let query = DNSQuery(bytes: bytes, id: header.id, flags: header.flags, question: question, edns: edns)
      // Transfers answer with many messages, of which we would pass on the first.
      if question.type == .axfr || question.type == .ixfr {
        return .refused(query.answer(.refused), .refused)
      }
      return .query(query)
    } catch {
      return refused(.formatError)
    }
  }

  /// Bytes of an answer that the client takes.
  package func limit(_ transport: DNSTransport) -> Int {
    switch transport {
    case .udp: self.edns?.limit ?? EDNS.leastPayloadSize
    case .tcp: DNSMessage.maximumLength
    }
  }

  /// An answer of our own, with an OPT record if the question had one (RFC 6891 section 6.1.1).
  package func answer(
    _ code: DNSResponseCode, flags: DNSFlags = [], answers: [DNSRecord] = [], authorities: [DNSRecord] = [],
    additionals: [DNSRecord] = []
  ) -> [UInt8] {
    var all = self.flags.answering.union(flags)
    all.code = code.rawValue
    var additionals = additionals
    if let edns = self.edns {
      additionals.append(
        EDNS(
          extendedCode: UInt8(truncatingIfNeeded: code.rawValue >> 4), isDNSSECWanted: edns.isDNSSECWanted
        ).record)
    }
    return DNSMessage(
      id: self.id, flags: all, questions: [self.question], answers: answers, authorities: authorities,
      additionals: additionals
    ).bytes
  }
}
