package struct DNSQuestion: Hashable, Sendable {
  package var name: SpelledName
  package var type: DNSType
  package var recordClass: UInt16

  package init(name: SpelledName, type: DNSType, recordClass: UInt16 = DNSClass.internet) {
    self.name = name
    self.type = type
    self.recordClass = recordClass
  }

  /// The same question but for upper and lower case.
  package func isSame(as other: DNSQuestion) -> Bool {
    self.type == other.type && self.recordClass == other.recordClass && self.name.name == other.name.name
  }
}

/// A resource record. `data` is what the message held: compressed names in it only mean something there.
package struct DNSRecord: Hashable, Sendable {
  package var name: SpelledName
  package var type: DNSType
  package var recordClass: UInt16
  /// Seconds.
  package var timeToLive: UInt32
  /// At most 65,535 bytes.
  package var data: [UInt8]

  package init(
    name: SpelledName, type: DNSType, recordClass: UInt16 = DNSClass.internet, timeToLive: UInt32, data: [UInt8]
  ) {
    self.name = name
    self.type = type
    self.recordClass = recordClass
    self.timeToLive = timeToLive
    self.data = data
  }
}

/// A whole message (RFC 1035 section 4). Unknown types and options are kept as they are.
package struct DNSMessage: Hashable, Sendable {
  package static let maximumLength = 65_535

  package var id: UInt16
  package var flags: DNSFlags
  package var questions: [DNSQuestion]
  package var answers: [DNSRecord]
  package var authorities: [DNSRecord]
  package var additionals: [DNSRecord]

  package init(
    id: UInt16, flags: DNSFlags, questions: [DNSQuestion] = [], answers: [DNSRecord] = [],
    authorities: [DNSRecord] = [], additionals: [DNSRecord] = []
  ) {
    self.id = id
    self.flags = flags
    self.questions = questions
    self.answers = answers
    self.authorities = authorities
    self.additionals = additionals
  }

  /// Reads as many questions and records as the header counts. `allowsTrailingBytes`: an upstream may pad its answers.
  package init(parsing bytes: [UInt8], allowsTrailingBytes: Bool = false) throws(DNSMalformed) {
    var reader = DNSReader(bytes)
    let header = try reader.header()
    self.init(id: header.id, flags: header.flags)
    for _ in 0..<header.questions { self.questions.append(try reader.question()) }
    for _ in 0..<header.answers { self.answers.append(try reader.record()) }
    for _ in 0..<header.authorities { self.authorities.append(try reader.record()) }
    for _ in 0..<header.additionals { self.additionals.append(try reader.record()) }
    guard reader.isAtEnd || allowsTrailingBytes else { throw .trailingBytes }
  }

  /// Sections hold at most 65,535 entries; what is more is left out and not counted.
  package var bytes: [UInt8] {
    var writer = DNSWriter()
    let most = Int(UInt16.max)
    writer.write(
      DNSHeader(
        id: self.id, flags: self.flags, questions: UInt16(clamping: self.questions.count),
        answers: UInt16(clamping: self.answers.count), authorities: UInt16(clamping: self.authorities.count),
        additionals: UInt16(clamping: self.additionals.count)))
    for question in self.questions.prefix(most) { writer.write(question) }
    for section in [self.answers, self.authorities, self.additionals] {
      for record in section.prefix(most) { writer.write(record) }
    }
    return writer.bytes
  }
}
