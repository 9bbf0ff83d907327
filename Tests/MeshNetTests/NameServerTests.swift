import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshDNS
import MeshNet
import MeshSnapshot
import MeshTestSupport
import Synchronization
import Testing

/// A name server on loopback and an upstream that the test plays itself, with blocking sockets that give up after a while.
final class NameBench: Sendable {
  static let place = NameServer.Place(namespace: 1, isV4: true)

  let server: NameServer
  let endpoint: SocketEndpoint
  let upstream: SocketEndpoint
  let upstreamDatagrams: CInt
  let upstreamListener: CInt

  /// - supplies: UDP sockets that the supplier gives in all; then it is gone.
  init(limits: ResolverLimits = ResolverLimits(), supplies: Int = 1000, hasStreams: Bool = true) throws {
    let any = SocketEndpoint(.loopbackV4, 0)
    self.upstreamListener = try LocalListener.open(any)
    self.upstream = RelayBench.endpoint(of: self.upstreamListener)
    self.upstreamDatagrams = try Self.datagrams(self.upstream)
    for descriptor in [self.upstreamListener, self.upstreamDatagrams] { Self.block(descriptor) }
    let listener = try LocalListener.open(any)
    self.endpoint = RelayBench.endpoint(of: listener)
    let box = Holder()
    box.left.withLock { $0 = supplies }
    self.server = try NameServer.start(
      limits: limits,
      supply: .init(
        orderDatagrams: { place, count in box.supply(place, count) },
        stream: { _ in
          let socket = hasStreams ? cmesh_relay_socket(1) : -1
          return socket >= 0 ? socket : nil
        }), logger: Logger(label: "test"))
    box.server.withLock { $0 = self.server }
    self.server.use([self.upstream], for: 1)
    try self.server.listen(try Self.datagrams(self.endpoint), .udp, at: Self.place)
    try self.server.listen(listener, .tcp, at: Self.place)
  }

  func end() async {
    await self.server.stop()
    close(self.upstreamDatagrams)
    close(self.upstreamListener)
  }

  /// Gives the server the sockets that it asks for.
  private final class Holder: Sendable {
    let server = Mutex<NameServer?>(nil)
    let left = Mutex(0)

    func supply(_ place: NameServer.Place, _ count: Int) {
      let count = self.left.withLock { left in
        let given = min(left, count)
        left -= given
        return given
      }
      let sockets = (0..<count).map { _ in cmesh_datagram_socket(place.isV4 ? 1 : 0, nil) }
      self.server.withLock { $0 }?.deposit(sockets, at: place)
    }
  }

  static func datagrams(_ endpoint: SocketEndpoint) throws -> CInt {
    var address = Self.address(endpoint)
    let descriptor = cmesh_datagram_socket(CInt(address.is_v4), &address)
    try #require(descriptor >= 0)
    return descriptor
  }

  static func address(_ endpoint: SocketEndpoint) -> cmesh_relay_address {
    cmesh_relay_address(
      high: endpoint.address.high, low: endpoint.address.low, port: endpoint.port,
      is_v4: endpoint.address.isV4 ? 1 : 0)
  }

  static func block(_ descriptor: CInt) {
    _ = fcntl(descriptor, F_SETFL, 0)
    var timeout = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  }

  // MARK: clients

  func client(_ transport: DNSTransport) throws -> CInt {
    let socket = transport == .udp ? cmesh_datagram_socket(1, nil) : cmesh_relay_socket(1)
    try #require(socket >= 0)
    Self.block(socket)
    var address = Self.address(self.endpoint)
    try #require(cmesh_relay_connect(socket, &address) == 0)
    return socket
  }

  static func send(_ bytes: [UInt8], on socket: CInt) {
    #expect(Glibc.send(socket, bytes, bytes.count, 0) == bytes.count)
  }

  static func receive(_ socket: CInt, atMost count: Int = 65_536, flags: CInt = 0) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    let received = recv(socket, &bytes, count, flags)
    return received >= 0 ? Array(bytes[..<received]) : nil
  }

  /// The next message on a stream.
  static func receiveFramed(_ socket: CInt) -> [UInt8]? {
    guard let head = self.receive(socket, atMost: 2, flags: CInt(MSG_WAITALL)), head.count == 2 else {
      return nil
    }
    let length = Int(head[0]) << 8 | Int(head[1])
    return self.receive(socket, atMost: length, flags: CInt(MSG_WAITALL))
  }

  /// Asks by UDP what the mesh answers.
  func ask(_ bytes: [UInt8]) throws -> DNSMessage {
    let socket = try self.client(.udp)
    defer { close(socket) }
    Self.send(bytes, on: socket)
    return try DNSMessage(parsing: try #require(Self.receive(socket)))
  }

  // MARK: the upstream

  /// The next question at the upstream, and who asked it.
  func asked(at upstream: CInt? = nil) throws -> (bytes: [UInt8], from: cmesh_relay_address) {
    let upstream = upstream ?? self.upstreamDatagrams
    var waiting = pollfd(fd: upstream, events: Int16(POLLIN), revents: 0)
    try #require(poll(&waiting, 1, 20_000) == 1)
    var from = cmesh_relay_address()
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = cmesh_datagram_receive(upstream, &bytes, bytes.count, &from)
    try #require(count > 0)
    return (Array(bytes[..<count]), from)
  }

  func reply(_ bytes: [UInt8], to: cmesh_relay_address, from socket: CInt? = nil) {
    var to = to
    #expect(cmesh_datagram_send(socket ?? self.upstreamDatagrams, bytes, bytes.count, &to) == bytes.count)
  }

  /// Accepts the next connection at the upstream.
  func accepted() throws -> CInt {
    let socket = accept(self.upstreamListener, nil, nil)
    try #require(socket >= 0)
    Self.block(socket)
    return socket
  }
}

@Suite struct NameServerTests {
  static let zone = MeshZone(
    Snapshot(of: [
      .config(vips: "240.0.0.0/8"), .service("default/web", ["240.1.2.3"]),
      .service("default/wide", (1...60).map { "240.0.0.\($0)" }),
    ]))

  func query(_ name: String, _ type: DNSType = .a, id: UInt16 = 7, edns: EDNS? = nil) throws -> [UInt8] {
    DNSMessage(
      id: id, flags: .recursionDesired,
      questions: [DNSQuestion(name: try #require(SpelledName(name)), type: type)],
      additionals: edns.map { [$0.record] } ?? []
    ).bytes
  }

  func reply(to query: [UInt8], flags: DNSFlags = [], addresses: Int = 1) throws -> [UInt8] {
    var reply = try DNSMessage(parsing: query)
    reply.flags = reply.flags.union([.response, .recursionAvailable]).union(flags)
    reply.answers = (0..<addresses).map {
      DNSRecord(name: reply.questions[0].name, timeToLive: 60, address: IPAddress(v4: 0xc000_0200 + UInt32($0)))
    }
    reply.additionals = []
    return reply.bytes
  }

  func withID(of query: [UInt8], _ bytes: [UInt8]) -> [UInt8] { Array(query[..<2] + bytes[2...]) }

  @Test("Mesh names are answered by UDP and TCP, as soon as there is a zone")
  func mesh() async throws {
    let bench = try NameBench()
    let datagram = try bench.client(.udp)
    let stream = try bench.client(.tcp)
    // Both wait in their sockets until there is something to answer from.
    NameBench.send(try self.query("Web.default"), on: datagram)
    NameBench.send(try #require(DNSStreamFraming.framed(try self.query("web.default.svc"))), on: stream)
    bench.server.use(Self.zone)
    for bytes in [NameBench.receive(datagram), NameBench.receiveFramed(stream)] {
      let answer = try DNSMessage(parsing: try #require(bytes))
      #expect(answer.id == 7)
      #expect(answer.answers.compactMap { $0.address?.description } == ["240.1.2.3"])
    }
    close(datagram)
    close(stream)
    #expect(await bench.server.counters().mesh == 2)
    await bench.end()
  }

  @Test("All else goes to the upstream and back untouched but for the id, from a fresh port each time")
  func forward() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    var ports: Set<UInt16> = []
    var ids: Set<UInt16> = []
    for number in 0..<40 {
      var question = try DNSMessage(parsing: try self.query("Host\(number).example", DNSType(rawValue: 65_300)))
      var option = EDNS(payloadSize: 4096).record
      option.data = [0xfd, 0xe9, 0, 1, 5]
      question.additionals = [option]
      NameBench.send(question.bytes, on: client)
      let (asked, from) = try bench.asked()
      #expect(asked.dropFirst(2) == question.bytes.dropFirst(2))
      let reply = try self.reply(to: asked)
      bench.reply(reply, to: from)
      #expect(NameBench.receive(client) == self.withID(of: question.bytes, reply))
      ports.insert(from.port)
      ids.insert(try DNSMessage(parsing: asked).id)
    }
    #expect(ports.count > 20)
    #expect(ids.count > 30)
    close(client)
    await bench.end()
  }

  @Test("DN-01: answers from another port, with another id or question, are ignored")
  func offPath() async throws {
    let bench = try NameBench(limits: ResolverLimits(mismatches: 100))
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    let stranger = cmesh_datagram_socket(1, nil)
    let question = try self.query("example.org")
    NameBench.send(question, on: client)
    let (asked, from) = try bench.asked()
    let right = try self.reply(to: asked)
    bench.reply(right, to: from, from: stranger)
    bench.reply([right[0] ^ 1] + right[1...], to: from)
    var otherName = try DNSMessage(parsing: right)
    otherName.questions[0].name = try #require(SpelledName("example.net"))
    bench.reply(otherName.bytes, to: from)
    bench.reply([], to: from)
    bench.reply(right, to: from)
    #expect(NameBench.receive(client) == self.withID(of: question, right))
    #expect(await bench.server.counters().mismatched == 3)
    close(client)
    close(stranger)
    await bench.end()
  }

  @Test("DN-02: a truncated answer is fetched by TCP; UDP clients get what fits, TCP clients all")
  func truncation() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    for (size, isWhole) in [(UInt16(512), false), (4096, true)] {
      let client = try bench.client(.udp)
      let question = try self.query("big.example", edns: EDNS(payloadSize: size))
      NameBench.send(question, on: client)
      let (asked, from) = try bench.asked()
      bench.reply(try self.reply(to: asked, flags: .truncated, addresses: 0), to: from)
      let whole = try self.answerByTCP(bench, addresses: 100)
      let answer = try #require(NameBench.receive(client))
      if isWhole {
        #expect(answer == self.withID(of: question, whole))
      } else {
        #expect(answer.count <= 512)
        #expect(try DNSMessage(parsing: answer).flags.contains(.truncated))
      }
      close(client)
    }
    let client = try bench.client(.tcp)
    let question = try self.query("big.example")
    // Byte by byte, and half-closed: the answer comes all the same.
    for byte in try #require(DNSStreamFraming.framed(question)) { NameBench.send([byte], on: client) }
    shutdown(client, CInt(SHUT_WR))
    let whole = try self.answerByTCP(bench, addresses: 2000)
    #expect(NameBench.receiveFramed(client) == self.withID(of: question, whole))
    #expect(NameBench.receive(client) == [])
    close(client)
    await bench.end()
  }

  /// Plays the upstream for one question by TCP; what it answered.
  private func answerByTCP(_ bench: NameBench, addresses: Int) throws -> [UInt8] {
    let upstream = try bench.accepted()
    defer { close(upstream) }
    let asked = try #require(NameBench.receiveFramed(upstream))
    let reply = try self.reply(to: asked, addresses: addresses)
    NameBench.send(try #require(DNSStreamFraming.framed(reply)), on: upstream)
    return reply
  }

  @Test("DN-02: without TCP the truncated answer is passed on, and a TCP client is told SERVFAIL")
  func noStreams() async throws {
    let bench = try NameBench(hasStreams: false)
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    let question = try self.query("big.example")
    NameBench.send(question, on: client)
    let (asked, from) = try bench.asked()
    let truncated = try self.reply(to: asked, flags: .truncated, addresses: 0)
    bench.reply(truncated, to: from)
    #expect(NameBench.receive(client) == self.withID(of: question, truncated))
    close(client)
    let stream = try bench.client(.tcp)
    NameBench.send(try #require(DNSStreamFraming.framed(question)), on: stream)
    #expect(try DNSMessage(parsing: try #require(NameBench.receiveFramed(stream))).flags.code == 2)
    close(stream)
    await bench.end()
  }

  @Test("DN-03: nonsense is answered or ignored, and the server goes on")
  func nonsense() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    var random = SplitMix64(seed: 5)
    for _ in 0..<200 {
      let bytes = (0..<Int.random(in: 0..<80, using: &random)).map { _ in UInt8.random(in: 0..<128, using: &random) }
      NameBench.send(bytes, on: client)
    }
    close(client)
    let stream = try bench.client(.tcp)
    NameBench.send([0, 0, 0, 3, 1, 2, 3, 0, 12] + [UInt8](repeating: 0, count: 12), on: stream)
    // Empty and too short: ignored. A header alone asks nothing: FORMERR.
    #expect(try DNSMessage(parsing: try #require(NameBench.receiveFramed(stream))).flags.code == 1)
    close(stream)
    #expect(try bench.ask(try self.query("web.default")).answers.count == 1)
    await bench.end()
  }

  @Test("DN-04: a storm of names is answered, within the bound or with SERVFAIL, and mesh names as ever")
  func storm() async throws {
    let bench = try NameBench(limits: ResolverLimits(questionsPerNamespace: 20))
    bench.server.use(Self.zone)
    let stream = try bench.client(.tcp)
    // By TCP none is lost on the way in: 500 questions, 20 of which may wait at the upstream.
    for number in 0..<500 {
      NameBench.send(
        try #require(DNSStreamFraming.framed(try self.query("n\(number).example", id: UInt16(number)))), on: stream)
    }
    var answered = 0
    for _ in 0..<480 {
      guard let bytes = NameBench.receiveFramed(stream) else { break }
      #expect(try DNSMessage(parsing: bytes).flags.code == 2)
      answered += 1
    }
    #expect(answered == 480)
    #expect(try bench.ask(try self.query("web.default")).answers.count == 1)
    let counters = await bench.server.counters()
    #expect(counters.overloaded == 480)
    #expect(counters.forwarded == 20)
    close(stream)
    await bench.end()
  }

  @Test("DN-06: without its supplier the server goes on with the sockets it has, each from ever new ports")
  func noSupplier() async throws {
    let bench = try NameBench(supplies: 2)
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    var ports: Set<UInt16> = []
    for number in 0..<60 {
      NameBench.send(try self.query("h\(number).example"), on: client)
      let (asked, from) = try bench.asked()
      bench.reply(try self.reply(to: asked), to: from)
      #expect(NameBench.receive(client) != nil)
      ports.insert(from.port)
    }
    #expect(ports.count > 30)
    #expect(try bench.ask(try self.query("web.default")).answers.count == 1)
    close(client)
    await bench.end()
  }

  @Test("Questions wait for a socket, and get one when another is done")
  func scarcity() async throws {
    let bench = try NameBench(supplies: 1)
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    NameBench.send(try self.query("a.example", id: 1), on: client)
    NameBench.send(try self.query("b.example", id: 2), on: client)
    for id in UInt16(1)...2 {
      let (asked, from) = try bench.asked()
      bench.reply(try self.reply(to: asked), to: from)
      #expect(try DNSMessage(parsing: try #require(NameBench.receive(client))).id == id)
    }
    close(client)
    await bench.end()
  }

  @Test("An upstream that refuses, or says nothing, ends in SERVFAIL")
  func deadUpstream() async throws {
    let limits = ResolverLimits(datagramTimeout: 100, questionTimeout: 250)
    let bench = try NameBench(limits: limits)
    bench.server.use(Self.zone)
    #expect(try bench.ask(try self.query("silent.example")).flags.code == 2)
    let counters = await bench.server.counters()
    #expect(counters.timeouts > 0)
    #expect(counters.exhausted == 1)
    let closed = try NameBench.datagrams(SocketEndpoint(.loopbackV4, 0))
    let nobody = RelayBench.endpoint(of: closed)
    close(closed)
    bench.server.use([nobody], for: 1)
    #expect(try bench.ask(try self.query("refused.example")).flags.code == 2)
    #expect(await bench.server.counters().failures > 0)
    await bench.end()
  }

  @Test("DN-05: an upstream's answer with an address of the mesh is not passed on")
  func rebinding() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    let client = try bench.client(.udp)
    NameBench.send(try self.query("evil.example"), on: client)
    let (asked, from) = try bench.asked()
    var evil = try DNSMessage(parsing: try self.reply(to: asked))
    evil.answers.append(
      DNSRecord(name: evil.questions[0].name, timeToLive: 1, address: address("240.1.2.3")))
    bench.reply(evil.bytes, to: from)
    #expect(try DNSMessage(parsing: try #require(NameBench.receive(client))).flags.code == 2)
    #expect(await bench.server.counters().filtered == 1)
    close(client)
    await bench.end()
  }

  @Test("A namespace that goes closes its listeners and its clients; the next listener there serves again")
  func withdrawn() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    let stream = try bench.client(.tcp)
    NameBench.send(try #require(DNSStreamFraming.framed(try self.query("web.default"))), on: stream)
    #expect(NameBench.receiveFramed(stream) != nil)
    bench.server.retain(namespaces: [2])
    #expect(NameBench.receive(stream) == [])
    close(stream)
    _ = await bench.server.counters()
    bench.server.use([bench.upstream], for: 1)
    try bench.server.listen(try NameBench.datagrams(bench.endpoint), .udp, at: NameBench.place)
    #expect(try bench.ask(try self.query("web.default")).answers.count == 1)
    await bench.end()
  }

  @Test("IPv6: clients and name servers of that family, beside those of the other")
  func version6() async throws {
    let bench = try NameBench()
    bench.server.use(Self.zone)
    // A TCP listener holds each port while the UDP socket is bound to it.
    let holders = try (0..<2).map { _ in try LocalListener.open(SocketEndpoint(.loopbackV6, 0)) }
    let ends = holders.map { SocketEndpoint(.loopbackV6, RelayBench.endpoint(of: $0).port) }
    let upstream = try NameBench.datagrams(ends[1])
    try bench.server.listen(
      try NameBench.datagrams(ends[0]), .udp, at: NameServer.Place(namespace: 1, isV4: false))
    bench.server.use([ends[1]], for: 1)
    let client = cmesh_datagram_socket(0, nil)
    NameBench.block(client)
    var address = NameBench.address(ends[0])
    try #require(cmesh_relay_connect(client, &address) == 0)
    NameBench.send(try self.query("web.default"), on: client)
    #expect(try DNSMessage(parsing: try #require(NameBench.receive(client))).answers.count == 1)
    let question = try self.query("example.org")
    NameBench.send(question, on: client)
    let (asked, from) = try bench.asked(at: upstream)
    #expect(from.is_v4 == 0)
    let reply = try self.reply(to: asked)
    bench.reply(reply, to: from, from: upstream)
    #expect(NameBench.receive(client) == self.withID(of: question, reply))
    for descriptor in holders + [upstream, client] { close(descriptor) }
    #expect(try bench.ask(try self.query("web.default")).answers.count == 1)
    await bench.end()
  }

  @Test("What is no socket of its kind is refused and closed")
  func wrongDescriptor() async throws {
    let bench = try NameBench()
    #expect(throws: MeshError.self) {
      try bench.server.listen(cmesh_relay_socket(1), .tcp, at: NameBench.place)
    }
    #expect(throws: MeshError.self) {
      try bench.server.listen(try LocalListener.open(SocketEndpoint(.loopbackV4, 0)), .udp, at: NameBench.place)
    }
    await bench.end()
  }
}
