import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshDNS

/// A machine with two upstreams for namespace 1, a clock and a seed.
struct Resolver {
  static let first = endpoint("192.0.2.1:53")
  static let second = endpoint("192.0.2.2:53")

  var machine: ResolverMachine
  var now: UInt64 = 1_000
  var random = SplitMix64(seed: 53)

  init(limits: ResolverLimits = ResolverLimits(), upstreams: [SocketEndpoint] = [Self.first, Self.second]) {
    self.machine = ResolverMachine(limits: limits)
    self.use(upstreams, for: 1)
  }

  @discardableResult
  mutating func use(_ upstreams: [SocketEndpoint], for namespace: UInt64) -> [ResolverAction] {
    self.machine.use(upstreams, for: namespace, now: self.now, using: &self.random)
  }

  static func client(
    _ port: UInt16 = 4000, _ transport: DNSTransport = .udp, namespace: UInt64 = 1
  ) -> DNSClient {
    DNSClient(
      namespace: namespace, transport: transport, peer: SocketEndpoint(.loopbackV4, port),
      connection: transport == .tcp ? UInt64(port) : 0)
  }

  mutating func received(
    _ bytes: [UInt8], from client: DNSClient = Self.client(), zone: MeshZone = sampleZone
  ) -> [ResolverAction] {
    self.machine.received(bytes, from: client, zone: zone, now: self.now, using: &self.random)
  }

  mutating func replied(
    _ bytes: [UInt8], from source: SocketEndpoint = Self.first, to attempt: DNSAttempt
  ) -> [ResolverAction] {
    self.machine.replied(bytes, from: source, to: attempt, zone: sampleZone, now: self.now, using: &self.random)
  }

  mutating func failed(_ attempt: DNSAttempt) -> [ResolverAction] {
    self.machine.failed(attempt, now: self.now, using: &self.random)
  }

  mutating func expire(at now: UInt64) -> [ResolverAction] {
    self.now = now
    return self.machine.expire(now: now, using: &self.random)
  }
}

struct Asked {
  var attempt: DNSAttempt
  var namespace: UInt64
  var upstream: SocketEndpoint
  var transport: DNSTransport
  var bytes: [UInt8]
}

func firstAsk(_ actions: [ResolverAction]) -> Asked? {
  for case .ask(let attempt, let namespace, let upstream, let transport, let bytes) in actions {
    return Asked(attempt: attempt, namespace: namespace, upstream: upstream, transport: transport, bytes: bytes)
  }
  return nil
}

func asked(_ actions: [ResolverAction]) throws -> Asked { try #require(firstAsk(actions)) }

func answers(_ actions: [ResolverAction]) -> [(client: DNSClient, bytes: [UInt8])] {
  actions.compactMap {
    guard case .answer(let client, let bytes) = $0 else { return nil }
    return (client, bytes)
  }
}

func code(_ actions: [ResolverAction]) throws -> UInt16 {
  try message(try #require(answers(actions).first).bytes).flags.code
}

@Suite struct ResolverMachineTests {
  @Test("A mesh name is answered at once, with its spelling, and nothing waits")
  func mesh() throws {
    var resolver = Resolver()
    let actions = resolver.received(queryBytes("Web.DEFAULT", id: 77))
    let answer = try message(try #require(answers(actions).first).bytes)
    #expect(actions.count == 1)
    #expect(answer.id == 77)
    #expect(answer.flags == [.response, .authoritative, .recursionDesired, .recursionAvailable])
    #expect(answer.questions.map(\.name) == [spelled("Web.DEFAULT")])
    #expect(answer.answers == [DNSRecord(name: spelled("Web.DEFAULT"), timeToLive: 5, address: address("240.1.2.3"))])
    #expect(resolver.machine.waiting == 0)
    #expect(resolver.machine.counters.mesh == 1)
  }

  @Test("DN-02: a mesh name under another version of EDNS is BADVERS; others are forwarded as they are")
  func badVersion() throws {
    var resolver = Resolver()
    let edns = EDNS(version: 1)
    let own = try message(try #require(answers(resolver.received(queryBytes("web.default", edns: edns))).first).bytes)
    #expect(own.flags.code == 0)
    #expect(try EDNS.of(own)?.extendedCode == 1)
    #expect(own.answers.isEmpty)
    let foreign = queryBytes("example.org", edns: edns)
    #expect(try asked(resolver.received(foreign)).bytes.dropFirst(2) == foreign.dropFirst(2))
  }

  @Test("DN-02: a mesh answer that a client cannot take loses additional records first, then all, and says so")
  func meshTruncation() throws {
    var resolver = Resolver()
    let wide = MeshZone(
      Snapshot(of: [
        .service("default/wide", (1...40).map { "240.0.0.\($0)" }),
        .service("default/web", ["240.0.1.1"], ports: [80: .tcp]),
      ]))
    func ask(_ client: DNSClient, edns: EDNS?) throws -> DNSMessage {
      let actions = resolver.received(queryBytes("wide.default", edns: edns), from: client, zone: wide)
      return try message(try #require(answers(actions).first).bytes)
    }
    let small = try ask(Resolver.client(), edns: nil)
    #expect(small.flags.contains(.truncated))
    #expect(small.answers.isEmpty)
    #expect(try ask(Resolver.client(), edns: EDNS(payloadSize: 1232)).answers.count == 40)
    #expect(try ask(Resolver.client(4000, .tcp), edns: nil).answers.count == 40)
    #expect(resolver.machine.counters.truncated == 1)
  }

  @Test("All else is forwarded untouched but for the id, and the answer passed on untouched but for the id")
  func forward() throws {
    var resolver = Resolver()
    var question = try message(queryBytes("ExAmple.org", DNSType(rawValue: 65_400), id: 0xaabb))
    var opt = EDNS(payloadSize: 4096).record
    opt.data = [0xfd, 0xe9, 0, 2, 9, 9]
    question.additionals = [opt]
    let ask = try asked(resolver.received(question.bytes))
    #expect(ask.upstream == Resolver.first)
    #expect(ask.transport == .udp)
    #expect(ask.namespace == 1)
    #expect(ask.bytes.dropFirst(2) == question.bytes.dropFirst(2))
    #expect(resolver.machine.waiting == 1)
    let odd = DNSRecord(name: spelled("o"), type: DNSType(rawValue: 65_400), timeToLive: 1, data: [1, 2, 3])
    // An upstream may pad; the bytes go on as they are.
    let reply = try replyBytes(to: ask.bytes, answers: [odd], additionals: [opt]) + [0, 0, 0]
    let actions = resolver.replied(reply, to: ask.attempt)
    #expect(actions == [.end(ask.attempt), .answer(Resolver.client(), reply.withID(0xaabb))])
    #expect(resolver.machine.waiting == 0)
    #expect(resolver.machine.nextDeadline == nil)
  }

  @Test("DN-01: ids are drawn anew for each attempt")
  func ids() throws {
    var resolver = Resolver()
    var ids: Set<UInt16> = []
    for number in 0..<200 {
      let ask = try asked(resolver.received(queryBytes("n\(number).example", id: 1)))
      ids.insert(try message(ask.bytes).id)
    }
    #expect(ids.count > 190)
  }

  @Test("DN-01: a wrong id, question, kind or source is ignored and counted; the right answer still counts")
  func offPath() throws {
    var resolver = Resolver(limits: ResolverLimits(mismatches: 100))
    let ask = try asked(resolver.received(queryBytes("example.org", id: 1)))
    let right = try replyBytes(to: ask.bytes, answers: [record("example.org", "192.0.2.9")])
    let id = try message(ask.bytes).id
    let wrong: [([UInt8], SocketEndpoint)] = [
      (right.withID(id &+ 1), Resolver.first), (right, Resolver.second), (right, endpoint("192.0.2.1:54")),
      (ask.bytes, Resolver.first), (try replyBytes(to: queryBytes("example.com", id: id)), Resolver.first),
      (try replyBytes(to: queryBytes("example.org", .aaaa, id: id)), Resolver.first), ([], Resolver.first),
      ([1, 2, 3], Resolver.first), (DNSMessage(id: id, flags: [.response]).bytes, Resolver.first),
    ]
    for (bytes, source) in wrong {
      #expect(resolver.replied(bytes, from: source, to: ask.attempt).isEmpty)
    }
    #expect(resolver.machine.counters.mismatched == UInt64(wrong.count))
    // On another question's socket, or on one of an earlier attempt: port and attempt do not fit.
    let other = DNSAttempt(question: ask.attempt.question + 1, number: 1)
    #expect(resolver.replied(right, to: other).isEmpty)
    #expect(resolver.replied(right, to: DNSAttempt(question: ask.attempt.question, number: 0)).isEmpty)
    #expect(answers(resolver.replied(right, to: ask.attempt)).map(\.bytes) == [right.withID(1)])
  }

  @Test("DN-01: after some wrong answers, or one of another case, the question is asked by TCP")
  func suspicion() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org")))
    let wrong = try replyBytes(to: queryBytes("example.org", id: try message(ask.bytes).id &+ 1))
    #expect(resolver.replied(wrong, to: ask.attempt).isEmpty)
    #expect(resolver.replied(wrong, to: ask.attempt).isEmpty)
    let stream = try asked(resolver.replied(wrong, to: ask.attempt))
    #expect(stream.transport == .tcp)
    #expect(stream.upstream == Resolver.first)

    let mixed = try asked(resolver.received(queryBytes("eXample.net")))
    var folded = try message(try replyBytes(to: mixed.bytes))
    folded.questions[0].name = spelled("example.net")
    let again = try asked(resolver.replied(folded.bytes, to: mixed.attempt))
    #expect(again.transport == .tcp)
    // By TCP nobody else can answer: the same words count.
    var foldedAgain = folded
    foldedAgain.id = try message(again.bytes).id
    #expect(try code(resolver.replied(foldedAgain.bytes, to: again.attempt)) == 0)
  }

  @Test("DN-02: a truncated answer is fetched by TCP, from the same upstream, and cut to what the client takes")
  func truncated() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("big.example", id: 3, edns: EDNS(payloadSize: 1232))))
    let actions = resolver.replied(try replyBytes(to: ask.bytes, flags: .truncated), to: ask.attempt)
    let stream = try asked(actions)
    #expect(actions.first == .end(ask.attempt))
    #expect(stream.transport == .tcp)
    #expect(stream.upstream == Resolver.first)
    #expect(stream.attempt.number == ask.attempt.number + 1)
    let big = try replyBytes(to: stream.bytes, answers: (0..<100).map { record("big.example", "192.0.2.\($0)") })
    #expect(big.count > 1232)
    let cut = try #require(answers(resolver.replied(big, to: stream.attempt)).first).bytes
    #expect(cut.count <= 1232)
    #expect(try message(cut).flags.contains(.truncated))
    #expect(try message(cut).id == 3)

    // The client comes back by TCP and gets all of it, asked by TCP at once.
    let client = Resolver.client(5000, .tcp)
    let second = try asked(resolver.received(queryBytes("big.example", id: 4), from: client))
    #expect(second.transport == .tcp)
    let whole = try replyBytes(to: second.bytes, answers: (0..<100).map { record("big.example", "192.0.2.\($0)") })
    #expect(answers(resolver.replied(whole, to: second.attempt)).map(\.bytes) == [whole.withID(4)])
  }

  @Test("DN-02: when TCP does not work, the truncated answer is passed on")
  func truncatedWithoutTCP() throws {
    for byTimeout in [false, true] {
      var resolver = Resolver()
      let ask = try asked(resolver.received(queryBytes("big.example", id: 3)))
      let truncated = try replyBytes(to: ask.bytes, flags: .truncated)
      let stream = try asked(resolver.replied(truncated, to: ask.attempt))
      let actions = byTimeout ? resolver.expire(at: resolver.now + 3_000) : resolver.failed(stream.attempt)
      #expect(answers(actions).map(\.bytes) == [truncated.withID(3)])
      #expect(resolver.machine.waiting == 0)
    }
  }

  @Test("An upstream that is silent is left after its time, the next is asked first for a while")
  func timeout() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org", id: 1)))
    #expect(resolver.machine.nextDeadline == 2_500)
    #expect(resolver.expire(at: 2_499).isEmpty)
    let actions = resolver.expire(at: 2_500)
    let second = try asked(actions)
    #expect(actions.first == .end(ask.attempt))
    #expect(second.upstream == Resolver.second)
    #expect(try message(second.bytes).id != message(ask.bytes).id)
    // What the first says now comes too late: nobody listens there.
    #expect(resolver.replied(try replyBytes(to: ask.bytes), to: ask.attempt).isEmpty)
    #expect(
      try code(resolver.replied(try replyBytes(to: second.bytes), from: Resolver.second, to: second.attempt)) == 0)
    #expect(try asked(resolver.received(queryBytes("a.example"))).upstream == Resolver.second)
    resolver.now += 30_000
    #expect(try asked(resolver.received(queryBytes("b.example"))).upstream == Resolver.first)
  }

  @Test("Where nobody is to be asked other names are refused at once")
  func nobody() throws {
    var told = Resolver(upstreams: [])
    #expect(try code(told.received(queryBytes("example.org"))) == 5)
    #expect(told.machine.counters.refused == 1 && told.machine.counters.exhausted == 0)
  }

  @Test("SERVFAIL when all are silent, before the client's own five seconds are over")
  func exhausted() throws {
    for upstreams in [[Resolver.first], [Resolver.first, Resolver.second]] {
      var resolver = Resolver(upstreams: upstreams)
      let begin = resolver.now
      var actions = resolver.received(queryBytes("example.org", id: 1))
      var asks = 0
      while let deadline = resolver.machine.nextDeadline {
        asks += 1
        #expect(try asked(actions).attempt.number == asks)
        actions = resolver.expire(at: deadline)
      }
      #expect(asks == 3)
      #expect(try code(actions) == 2)
      #expect(try message(try #require(answers(actions).first).bytes).id == 1)
      #expect(resolver.now - begin == 4_500)
      #expect(resolver.machine.counters.exhausted == 1)
      #expect(resolver.machine.counters.timeouts == 3)
    }
  }

  @Test("Sockets that fail at once do not make a loop")
  func failing() throws {
    var resolver = Resolver()
    var actions = resolver.received(queryBytes("example.org"))
    var asks = 0
    while let ask = firstAsk(actions), asks < 100 {
      asks += 1
      actions = resolver.failed(ask.attempt)
    }
    #expect(asks == 3)
    #expect(try code(actions) == 2)
    #expect(resolver.machine.waiting == 0)
  }

  @Test(
    "A failure of one upstream is asked of the next, and passed on if all fail",
    arguments: [DNSResponseCode.serverFailure, .refused, .notImplemented])
  func failover(_ failure: DNSResponseCode) throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org", id: 1)))
    let second = try asked(resolver.replied(try replyBytes(to: ask.bytes, code: failure), to: ask.attempt))
    #expect(second.upstream == Resolver.second)
    let actions = resolver.replied(
      try replyBytes(to: second.bytes, code: failure), from: Resolver.second, to: second.attempt)
    #expect(try code(actions) == failure.rawValue)
    #expect(resolver.machine.waiting == 0)
  }

  @Test("NXDOMAIN and FORMERR are answers", arguments: [DNSResponseCode.nameError, .formatError])
  func finalCodes(_ final: DNSResponseCode) throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org", id: 1)))
    #expect(try code(resolver.replied(try replyBytes(to: ask.bytes, code: final), to: ask.attempt)) == final.rawValue)
  }

  @Test("An answer that cannot be read is asked of the next")
  func malformedReply() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org")))
    var reply = try replyBytes(to: ask.bytes)
    reply[7] = 1
    #expect(try asked(resolver.replied(reply, to: ask.attempt)).upstream == Resolver.second)
    #expect(resolver.machine.counters.malformed == 1)
  }

  @Test("The same question joins; each client gets its own id, one that asks twice one answer")
  func coalescing() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("example.org", id: 1), from: Resolver.client(1)))
    #expect(resolver.received(queryBytes("example.org", id: 2), from: Resolver.client(2)).isEmpty)
    #expect(resolver.received(queryBytes("example.org", id: 1), from: Resolver.client(1)).isEmpty)
    // Any other byte is another question: case, type, options, transport, namespace.
    resolver.use([Resolver.first], for: 2)
    for actions in [
      resolver.received(queryBytes("examplE.org", id: 1)), resolver.received(queryBytes("example.org", .aaaa, id: 1)),
      resolver.received(queryBytes("example.org", id: 1, edns: EDNS())),
      resolver.received(queryBytes("example.org", id: 1), from: Resolver.client(3, .tcp)),
      resolver.received(queryBytes("example.org", id: 1), from: Resolver.client(1, namespace: 2)),
    ] { #expect(try asked(actions).attempt != ask.attempt) }
    let reply = try replyBytes(to: ask.bytes)
    let done = answers(resolver.replied(reply, to: ask.attempt))
    #expect(done.map(\.client) == [Resolver.client(1), Resolver.client(2)])
    #expect(done.map(\.bytes) == [reply.withID(1), reply.withID(2)])
    #expect(resolver.machine.counters.joined == 1)
  }

  @Test("DN-04: 100,000 names at once: what waits is bounded, the rest is told so, and another namespace is served")
  func storm() throws {
    var resolver = Resolver()
    resolver.use([Resolver.first], for: 2)
    var asks: [Asked] = []
    for number in 0..<100_000 {
      let actions = resolver.received(queryBytes("n\(number).example", id: UInt16(truncatingIfNeeded: number)))
      #expect(actions.count == 1)
      if let ask = firstAsk(actions) { asks.append(ask) }
    }
    #expect(asks.count == 256)
    #expect(resolver.machine.waiting == 256)
    #expect(resolver.machine.counters.overloaded == 100_000 - 256)
    let client = Resolver.client(1, namespace: 2)
    #expect(firstAsk(resolver.received(queryBytes("example.org"), from: client)) != nil)
    #expect(answers(resolver.received(queryBytes("web.default"))).count == 1)
    for ask in asks { _ = resolver.replied(try replyBytes(to: ask.bytes, code: .nameError), to: ask.attempt) }
    #expect(resolver.machine.waiting == 1)
    #expect(firstAsk(resolver.received(queryBytes("late.example"))) != nil)
  }

  @Test("DN-04: all namespaces together are bounded, and so are clients of one question")
  func bounds() throws {
    var resolver = Resolver(
      limits: ResolverLimits(questions: 3, questionsPerNamespace: 2, clientsPerNamespace: 4))
    for namespace in UInt64(1)...2 {
      resolver.use([Resolver.first], for: namespace)
      for number in 0..<2 {
        _ = resolver.received(queryBytes("n\(number)"), from: Resolver.client(1, namespace: namespace))
      }
    }
    #expect(resolver.machine.waiting == 3)
    #expect(resolver.machine.counters.overloaded == 1)
    for port in UInt16(2)...4 { _ = resolver.received(queryBytes("n0"), from: Resolver.client(port)) }
    #expect(resolver.machine.counters.joined == 2)
    #expect(resolver.machine.counters.overloaded == 2)
  }

  @Test("DN-05: an answer with an address of the mesh is not passed on", arguments: ["240.1.2.3", "fd00:6d61::9"])
  func rebinding(_ text: String) throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("evil.example", id: 1)))
    let reply = try replyBytes(
      to: ask.bytes, answers: [record("evil.example", "192.0.2.1"), record("evil.example", text)])
    let actions = resolver.replied(reply, to: ask.attempt)
    #expect(try code(actions) == 2)
    #expect(try message(try #require(answers(actions).first).bytes).answers.isEmpty)
    #expect(resolver.machine.counters.filtered == 1)
  }

  @Test("Without an upstream mesh names are answered and others refused; the mesh's own port is none")
  func noUpstream() throws {
    var resolver = Resolver(upstreams: [endpoint("127.0.0.1:15053")])
    #expect(try code(resolver.received(queryBytes("web.default"))) == 0)
    #expect(try code(resolver.received(queryBytes("example.org"))) == 5)
  }

  @Test("Nonsense gets FORMERR or nothing")
  func nonsense() throws {
    var resolver = Resolver()
    #expect(resolver.received([]).isEmpty)
    #expect(resolver.received(queryBytes("a", flags: .response)).isEmpty)
    #expect(try code(resolver.received(queryBytes("a") + [1])) == 1)
    #expect(resolver.machine.counters.ignored == 2)
    #expect(resolver.machine.counters.refused == 1)
  }

  @Test("A TCP client that goes takes its question along, unless somebody else waits")
  func disconnected() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("a.example", id: 1), from: Resolver.client(1, .tcp)))
    _ = resolver.received(queryBytes("a.example", id: 2), from: Resolver.client(2, .tcp))
    #expect(resolver.machine.disconnected(Resolver.client(1, .tcp)).isEmpty)
    #expect(resolver.machine.disconnected(Resolver.client(2, .tcp)) == [.end(ask.attempt)])
    #expect(resolver.machine.waiting == 0)
    #expect(resolver.replied(try replyBytes(to: ask.bytes), to: ask.attempt).isEmpty)
  }

  @Test("A namespace that goes takes everything along")
  func withdrawn() throws {
    var resolver = Resolver()
    resolver.use([Resolver.first], for: 2)
    let ask = try asked(resolver.received(queryBytes("a.example")))
    let other = try asked(resolver.received(queryBytes("a.example"), from: Resolver.client(1, namespace: 2)))
    #expect(resolver.machine.withdraw(namespace: 1) == [.end(ask.attempt)])
    #expect(resolver.machine.waiting == 1)
    #expect(resolver.received(queryBytes("b.example")).isEmpty)
    #expect(try code(resolver.replied(try replyBytes(to: other.bytes), to: other.attempt)) == 0)
  }

  @Test("New upstreams are asked from the next question on; a question under way keeps its own")
  func newUpstreams() throws {
    var resolver = Resolver()
    let ask = try asked(resolver.received(queryBytes("a.example")))
    resolver.use([Resolver.second], for: 1)
    #expect(try asked(resolver.received(queryBytes("b.example"))).upstream == Resolver.second)
    #expect(try code(resolver.replied(try replyBytes(to: ask.bytes), to: ask.attempt)) == 0)
  }

  @Test(
    "Whatever happens in whatever order, every question ends, every socket is closed, and the counts return to zero")
  func anyOrder() throws {
    for seed in UInt64(0)..<60 {
      var random = SplitMix64(seed: seed)
      var resolver = Resolver(
        limits: ResolverLimits(questions: 20, questionsPerNamespace: 12, clientsPerNamespace: 16))
      resolver.use([Resolver.first], for: 2)
      var open: [DNSAttempt: Asked] = [:]
      var owed = 0
      func note(_ actions: [ResolverAction]) {
        for action in actions {
          switch action {
          case .answer: owed -= 1
          case .end(let attempt):
            #expect(open.removeValue(forKey: attempt) != nil)
          case .ask(let attempt, let namespace, let upstream, let transport, let bytes):
            #expect(open[attempt] == nil)
            open[attempt] = Asked(
              attempt: attempt, namespace: namespace, upstream: upstream, transport: transport, bytes: bytes)
          }
        }
      }
      var id: UInt16 = 0
      for _ in 0..<400 {
        resolver.now += UInt64.random(in: 0...200, using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0...2:
          id += 1
          owed += 1
          let client = Resolver.client(
            .random(in: 1...5, using: &random), random.oneIn(3) ? .tcp : .udp, namespace: random.oneIn(3) ? 2 : 1)
          note(resolver.received(queryBytes("n\(Int.random(in: 0..<9, using: &random)).example", id: id), from: client))
        case 3, 4:
          guard let ask = open.values.randomElement(using: &random) else { continue }
          var bytes = try replyBytes(
            to: ask.bytes, code: random.pick([.noError, .serverFailure, .nameError]),
            flags: random.oneIn(3) ? .truncated : [])
          if random.oneIn(3) { bytes.mutate(using: &random) }
          note(resolver.replied(bytes, from: random.oneIn(5) ? Resolver.second : ask.upstream, to: ask.attempt))
        case 5:
          guard let ask = open.values.randomElement(using: &random) else { continue }
          note(resolver.failed(ask.attempt))
        default: note(resolver.expire(at: resolver.now))
        }
        #expect(resolver.machine.waiting == open.count)
        #expect(resolver.machine.waiting <= 20)
      }
      while let deadline = resolver.machine.nextDeadline { note(resolver.expire(at: deadline)) }
      #expect(open.isEmpty)
      #expect(owed == 0)
      #expect(resolver.machine.namespaces.values.allSatisfy { $0.questions == 0 && $0.clients == 0 })
      #expect(resolver.machine.numbers.isEmpty)
    }
  }
}
