import MeshBase
import MeshTestSupport
import Testing

@testable import MeshDNS

@Suite struct DNSQueryTests {
  func query(_ bytes: [UInt8]) throws -> DNSQuery {
    guard case .query(let query) = DNSQuery.arrival(bytes) else {
      Issue.record("\(DNSQuery.arrival(bytes))")
      throw DNSMalformed.short
    }
    return query
  }

  func refusal(_ bytes: [UInt8]) -> DNSResponseCode? {
    guard case .refused(_, let code) = DNSQuery.arrival(bytes) else { return nil }
    return code
  }

  @Test("A question is kept as it came, unknown types and options too")
  func untouched() throws {
    var odd = try message(queryBytes("ExAmple.org", DNSType(rawValue: 65_280), recordClass: 4))
    var opt = EDNS(payloadSize: 4096).record
    opt.data = [0xfd, 0xe9, 0, 3, 1, 2, 3]
    odd.additionals = [opt]
    let query = try self.query(odd.bytes)
    #expect(query.bytes == odd.bytes)
    #expect(query.question.name == spelled("ExAmple.org"))
    #expect(query.limit(.udp) == 4096)
  }

  @Test(
    "DN-02: the client's size counts, within what a datagram can be",
    arguments: [(nil, 512), (0, 512), (511, 512), (513, 513), (1232, 1232), (65_535, 65_507)])
  func sizes(_ size: UInt16?, _ limit: Int) throws {
    let query = try self.query(queryBytes("a", edns: size.map { EDNS(payloadSize: $0) }))
    #expect(query.limit(.udp) == limit)
    #expect(query.limit(.tcp) == 65_535)
  }

  @Test("DN-03: no question, two, counts that lie, bytes after the end: FORMERR")
  func malformed() throws {
    var none = queryBytes("a")
    none[5] = 0
    #expect(self.refusal(none) == .formatError)
    var two = queryBytes("a")
    two[5] = 2
    #expect(self.refusal(two) == .formatError)
    for count in [6, 7, 8, 9, 10, 11] {
      var lie = queryBytes("a")
      lie[count] = 1
      #expect(self.refusal(lie) == .formatError)
    }
    #expect(self.refusal(queryBytes("a") + [0]) == .formatError)
    // The id is repeated, with nothing else of what was not understood.
    guard case .refused(let answer, _) = DNSQuery.arrival(two) else { return }
    #expect(answer == [0, 7, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test("OPT twice, elsewhere, of another name, with an option that is too long: FORMERR")
  func options() throws {
    var twice = try message(queryBytes("a", edns: EDNS()))
    twice.additionals += twice.additionals
    #expect(self.refusal(twice.bytes) == .formatError)
    var elsewhere = try message(queryBytes("a", edns: EDNS()))
    swap(&elsewhere.answers, &elsewhere.additionals)
    #expect(self.refusal(elsewhere.bytes) == .formatError)
    var named = try message(queryBytes("a", edns: EDNS()))
    named.additionals[0].name = spelled("a")
    #expect(self.refusal(named.bytes) == .formatError)
    var long = try message(queryBytes("a", edns: EDNS()))
    long.additionals[0].data = [0, 1, 0, 9, 1]
    #expect(self.refusal(long.bytes) == .formatError)
  }

  @Test("Answers and fragments get no answer")
  func ignored() {
    #expect(DNSQuery.arrival([]) == .ignored)
    #expect(DNSQuery.arrival([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0]) == .ignored)
    #expect(DNSQuery.arrival(queryBytes("a", flags: .response)) == .ignored)
  }

  @Test("Other operations are not done, transfers refused")
  func operations() {
    #expect(self.refusal(queryBytes("a", flags: DNSFlags(rawValue: 5 << 11))) == .notImplemented)
    #expect(self.refusal(queryBytes("a", .axfr)) == .refused)
    #expect(self.refusal(queryBytes("a", .ixfr)) == .refused)
  }

  @Test("An answer of our own repeats id, spelling, RD and DO, and has an OPT only if the question had")
  func ownAnswer() throws {
    let plain = try message(try self.query(queryBytes("wEB", id: 9)).answer(.serverFailure))
    #expect(plain.id == 9)
    #expect(plain.flags == [.response, .recursionDesired, .recursionAvailable, DNSFlags(rawValue: 2)])
    #expect(plain.questions == [DNSQuestion(name: spelled("wEB"), type: .a)])
    #expect(plain.additionals.isEmpty)
    let edns = EDNS(payloadSize: 4096, isDNSSECWanted: true)
    let extended = try message(try self.query(queryBytes("a", edns: edns, flags: [])).answer(.badVersion))
    #expect(extended.flags == [.response, .recursionAvailable])
    #expect(
      try EDNS.of(extended) == EDNS(payloadSize: 1232, extendedCode: 1, version: 0, isDNSSECWanted: true))
  }
}

@Suite struct DNSReplyTests {
  @Test("An answer matches by id, kind and question; case is told apart")
  func match() throws {
    let asked = queryBytes("wEb.example", id: 5)
    let question = try message(asked).questions[0]
    let right = try replyBytes(to: asked)
    func match(_ bytes: [UInt8], _ transport: DNSTransport = .udp) -> DNSReply.Match {
      DNSReply.match(bytes, id: 5, question: question, transport: transport)
    }
    #expect(match(right) == .exact)
    #expect(match(right.withID(6)) == .none)
    #expect(match(asked) == .none)
    #expect(match(try replyBytes(to: queryBytes("web.example", id: 5))) == .otherCase)
    #expect(match(try replyBytes(to: queryBytes("wEb.example", .aaaa, id: 5))) == .none)
    #expect(match(try replyBytes(to: queryBytes("wEb.example", id: 5, recordClass: 3))) == .none)
    #expect(match(try replyBytes(to: queryBytes("web.examplf", id: 5))) == .none)
    #expect(match([]) == .none)
    let bare = DNSMessage(id: 5, flags: [.response, DNSFlags(rawValue: 5)]).bytes
    #expect(match(bare) == .none)
    #expect(match(bare, .tcp) == .exact)
    #expect(match(DNSMessage(id: 5, flags: .response).bytes, .tcp) == .none)
  }

  @Test("DN-02: what fits is passed byte for byte, what does not is emptied and marked")
  func limits() throws {
    let asked = queryBytes("a.example", edns: EDNS())
    let answers = (0..<100).map { record("a.example", "192.0.2.\($0)") }
    let bytes = try replyBytes(to: asked, answers: answers, additionals: [EDNS(payloadSize: 4096).record])
    let reply = try DNSReply(bytes)
    #expect(reply.bytes(id: 0x0102, limit: bytes.count) == [1, 2] + bytes.dropFirst(2))
    let cut = try message(reply.bytes(id: 3, limit: bytes.count - 1))
    #expect(cut.flags.contains(.truncated))
    #expect(cut.answers.isEmpty)
    #expect(cut.questions == [DNSQuestion(name: spelled("a.example"), type: .a)])
    #expect(cut.additionals == [EDNS(payloadSize: 4096).record])
    #expect(reply.bytes(id: 3, limit: 512).count <= 512)
  }

  @Test("Addresses of the mesh are seen in answers, of both families")
  func addresses() throws {
    let ranges = [prefix("240.0.0.0/8"), prefix("fd00:6d61::/64")]
    func has(_ text: String) throws -> Bool {
      try DNSReply(try replyBytes(to: queryBytes("a"), answers: [record("b", "192.0.2.1"), record("b", text)]))
        .hasAddress(in: ranges)
    }
    #expect(try has("240.1.1.1"))
    #expect(try has("fd00:6d61::1"))
    #expect(try !has("239.1.1.1"))
    #expect(try !has("fd00:6d62::1"))
    #expect(try !has("2001:db8::1"))
  }
}

@Suite struct DNSStreamFramingTests {
  @Test("Messages arrive however the stream is cut")
  func cuts() {
    var random = SplitMix64(seed: 53)
    let messages = (0..<40).map { _ in DNSMessage.random(using: &random).bytes } + [[]]
    let stream = messages.flatMap { DNSStreamFraming.framed($0) ?? [] }
    for most in [1, 2, 3, 700, stream.count] {
      var framing = DNSStreamFraming()
      var received: [[UInt8]] = []
      var position = 0
      while position < stream.count {
        let end = min(stream.count, position + Int.random(in: 1...most, using: &random))
        received += framing.feed(stream[position..<end])
        position = end
      }
      #expect(received == messages)
      #expect(framing.pendingCount == 0)
    }
  }

  @Test("Only one message that is not complete is held")
  func bound() {
    var framing = DNSStreamFraming()
    #expect(framing.feed([0xff, 0xff] + [UInt8](repeating: 0, count: 65_534)).isEmpty)
    #expect(framing.pendingCount == 65_536)
    #expect(framing.feed([0]).map(\.count) == [65_535])
    #expect(framing.pendingCount == 0)
    #expect(DNSStreamFraming.framed([UInt8](repeating: 0, count: 65_536)) == nil)
  }
}

@Suite struct ResolverConfigurationTests {
  @Test("Name servers are read as the C library does")
  func servers() {
    let text = """
      # nameserver 9.9.9.9
      ; comment
      search default.svc.cluster.local example
      nameserver 192.0.2.1 trailing
      nameserver\t2001:db8::1
      nameserver fe80::1%eth0
      nameserver bogus
      nameserver
      options ndots:5
      nameserver 192.0.2.2
      nameserver 192.0.2.3
      """
    #expect(
      ResolverConfiguration(parsing: text).servers
        == [endpoint("192.0.2.1:53"), endpoint("[2001:db8::1]:53"), endpoint("192.0.2.2:53")])
  }

  @Test("No server is the host's own; a stub resolver is known")
  func stub() {
    #expect(ResolverConfiguration(parsing: "").servers == [endpoint("127.0.0.1:53")])
    #expect(ResolverConfiguration(parsing: "nameserver 127.0.0.53\n").isLocalOnly)
    #expect(!ResolverConfiguration(parsing: "nameserver 127.0.0.53\nnameserver 192.0.2.1\n").isLocalOnly)
  }
}
