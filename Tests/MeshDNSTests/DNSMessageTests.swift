import MeshTestSupport
import Testing

@testable import MeshDNS

@Suite struct DNSMessageTests {
  @Test("A known question has these bytes")
  func goldenQuestion() {
    #expect(
      queryBytes("a.bc", .aaaa, id: 0x1234) == [
        0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 2, 0x62, 0x63, 0, 0, 28, 0, 1,
      ])
  }

  @Test("Names that were written before become pointers, if they are spelled the same")
  func compression() throws {
    let question = DNSQuestion(name: spelled("wEb.default"), type: .a)
    let same = DNSMessage(
      id: 1, flags: .response, questions: [question], answers: [record("wEb.default", "10.0.0.1")])
    #expect(same.bytes.count == 12 + 17 + 16)
    #expect(Array(same.bytes[29..<31]) == [0xc0, 12])
    let other = DNSMessage(
      id: 1, flags: .response, questions: [question], answers: [record("web.default", "10.0.0.1")])
    #expect(try message(other.bytes) == other)
    #expect(Array(other.bytes[29..<33]) == [3, 0x77, 0x65, 0x62])
    #expect(Array(other.bytes[33..<35]) == [0xc0, 16])
  }

  @Test("What is written is what is read, whatever it holds")
  func roundTrip() throws {
    var random = SplitMix64(seed: 1035)
    for _ in 0..<2_000 {
      let original = DNSMessage.random(using: &random)
      #expect(try DNSMessage(parsing: original.bytes) == original)
    }
  }

  @Test("Every beginning of a message is an error")
  func cut() throws {
    var random = SplitMix64(seed: 2)
    for _ in 0..<50 {
      let bytes = DNSMessage.random(using: &random).bytes
      for count in 0..<bytes.count {
        #expect(throws: DNSMalformed.self) { try DNSMessage(parsing: Array(bytes[..<count])) }
      }
      #expect(throws: DNSMalformed.trailingBytes) { try DNSMessage(parsing: bytes + [0]) }
      #expect(try DNSMessage(parsing: bytes + [0], allowsTrailingBytes: true).bytes == bytes)
    }
  }

  static let header: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]

  @Test(
    "DN-03: names that lie are errors",
    arguments: [
      // A pointer to itself, forward, into the header, to another pointer that comes back.
      (Self.header + [0xc0, 12, 0, 1, 0, 1], DNSMalformed.pointer),
      (Self.header + [0xc0, 14, 0, 1, 0, 1], .pointer), (Self.header + [0xc0, 0, 0, 1, 0, 1], .pointer),
      (Self.header + [1, 0x61, 0xc0, 12, 0, 1, 0, 1], .pointer),
      (Self.header + [0xff, 0xff, 0, 1, 0, 1], .pointer),
      // Labels of 64 bytes and more; the kinds 01 and 10 were never taken up.
      (Self.header + [64] + [UInt8](repeating: 0x61, count: 64) + [0, 0, 1, 0, 1], .label),
      (Self.header + [0x80, 0, 0, 1, 0, 1], .label), (Self.header + [0x41, 0, 0, 1, 0, 1], .label),
      (Self.header + [5, 0x61], .short), (Self.header + [0xc0], .short), (Self.header, .short),
      (
        Self.header + [UInt8](repeatedly: [63] + [UInt8](repeating: 0x61, count: 63), 4) + [0, 0, 1, 0, 1], .nameTooLong
      ),
    ])
  func lies(_ bytes: [UInt8], _ expected: DNSMalformed) {
    #expect(throws: expected) { try DNSMessage(parsing: bytes) }
    guard case .refused(let answer, .formatError) = DNSQuery.arrival(bytes) else {
      Issue.record("not refused")
      return
    }
    #expect(answer == [0, 1, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test("A name of 255 bytes is read, in one piece and through pointers")
  func longestName() throws {
    let label: [UInt8] = [63] + [UInt8](repeating: 0x61, count: 63)
    let last: [UInt8] = [61] + [UInt8](repeating: 0x62, count: 61)
    let whole = Self.header + label + label + label + last + [0, 0, 1, 0, 1]
    #expect(try DNSMessage(parsing: whole).questions[0].name.wire.count == 255)
    var two = whole
    two[5] = 2
    // The second question's name is a pointer to the first's, and a label before such a pointer is one too many.
    #expect(
      try DNSMessage(parsing: two + [0xc0, 12, 0, 1, 0, 1]).questions[1].name.wire.count == 255)
    #expect(throws: DNSMalformed.nameTooLong) {
      try DNSMessage(parsing: two + [1, 0x61, 0xc0, 12, 0, 1, 0, 1])
    }
  }

  @Test("Pointers that lead backwards one by one end after a name's length")
  func longChain() throws {
    // 200 pointers, each to the one before: no loop, but more than any name needs.
    var bytes: [UInt8] = [0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    for index in 0..<200 {
      let target = index == 0 ? 12 : 17 + 2 * (index - 1)
      bytes += [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)]
    }
    #expect(throws: DNSMalformed.self) { try DNSMessage(parsing: bytes) }
  }

  @Test("100,000 mutations of messages are read or refused, in bounded time, and what is read can be written")
  func mutations() throws {
    var random = SplitMix64(seed: 6891)
    let corpus = (0..<64).map { _ in DNSMessage.random(using: &random).bytes }
    var read = 0
    for _ in 0..<100_000 {
      var bytes = random.pick(corpus)
      for _ in 0..<Int.random(in: 1...6, using: &random) { bytes.mutate(using: &random) }
      if let parsed = try? DNSMessage(parsing: bytes, allowsTrailingBytes: true) {
        read += 1
        _ = try? EDNS.of(parsed)
        _ = try? DNSReply(bytes).bytes(id: 1, limit: 512)
      }
      _ = DNSQuery.arrival(bytes)
    }
    #expect(read > 1_000)
  }

  @Test("30,000 strings of random bytes are read or refused")
  func noise() {
    var random = SplitMix64(seed: 3)
    for _ in 0..<30_000 {
      let bytes = (0..<Int.random(in: 0...80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = DNSQuery.arrival(bytes)
      _ = try? DNSReply(bytes)
    }
  }
}

extension [UInt8] {
  init(repeatedly bytes: [UInt8], _ count: Int) { self = (0..<count).flatMap { _ in bytes } }

  /// Changes, removes, adds or repeats some bytes.
  mutating func mutate(using random: inout SplitMix64) {
    guard !self.isEmpty else { return }
    let place = Int.random(in: 0..<self.count, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: self[place] = UInt8.random(in: 0...255, using: &random)
    case 1: self[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2: self.removeSubrange(place..<Swift.min(self.count, place + 3))
    case 3: self.insert(contentsOf: self[place..<Swift.min(self.count, place + 8)], at: place)
    case 4: self[place] = 0xc0 | self[place] & 0x3f
    default: self.removeLast(self.count - place)
    }
  }
}

extension SpelledName {
  static func random(using random: inout SplitMix64) -> SpelledName {
    var wire: [UInt8] = []
    for _ in 0..<Int.random(in: 0...5, using: &random) {
      // Few different labels, so that ends of names repeat.
      let label =
        random.oneIn(4)
        ? (0..<Int.random(in: 1...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        : Array(random.pick(["a", "B", "svc", "Cluster", "local"]).utf8)
      wire += [UInt8(label.count)] + label
    }
    return SpelledName(valid: wire + [0])
  }
}

extension DNSMessage {
  static func random(using random: inout SplitMix64) -> DNSMessage {
    func records(_ random: inout SplitMix64) -> [DNSRecord] {
      (0..<Int.random(in: 0...4, using: &random)).map { _ in
        DNSRecord(
          name: .random(using: &random), type: DNSType(rawValue: .random(in: 0...300, using: &random)),
          recordClass: .random(in: 0...4, using: &random), timeToLive: .random(in: .min ... .max, using: &random),
          data: (0..<Int.random(in: 0...40, using: &random)).map { _ in .random(in: 0...255, using: &random) })
      }
    }
    return DNSMessage(
      id: .random(in: .min ... .max, using: &random),
      flags: DNSFlags(rawValue: random.oneIn(2) ? 0x0100 : .random(in: .min ... .max, using: &random)),
      questions: (0..<(random.oneIn(4) ? Int.random(in: 0...3, using: &random) : 1)).map { _ in
        DNSQuestion(
          name: .random(using: &random), type: DNSType(rawValue: .random(in: 0...300, using: &random)),
          recordClass: .random(in: 0...4, using: &random))
      }, answers: records(&random), authorities: records(&random), additionals: records(&random))
  }
}
