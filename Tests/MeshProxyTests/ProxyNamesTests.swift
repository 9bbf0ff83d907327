import Glibc
import MeshBase
import MeshDNS
import MeshLink
import MeshNet
import Testing

/// The proxy's name server behind the real link: an application's sockets at one end, a name server of the test at the
/// other.
@Suite struct ProxyNamesTests {
  private let port: UInt16
  private let datagrams: CInt
  private let listener: CInt
  private let upstream: CInt

  init() throws {
    self.listener = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    self.port = ProxyBench.port(of: self.listener)
    self.datagrams = ProxyBench.datagramSocket(self.port)
    let free = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    self.upstream = ProxyBench.datagramSocket(ProxyBench.port(of: free))
    close(free)
  }

  private func handOver(_ bench: ProxyBench) throws {
    try bench.sendNames(datagrams: self.datagrams, listener: self.listener)
    self.useNameServer(bench)
  }

  private func useNameServer(_ bench: ProxyBench) {
    bench.useNameServer(SocketEndpoint(.loopbackV4, ProxyBench.port(of: self.upstream)))
  }

  private func end(_ bench: ProxyBench) async throws {
    try await bench.end()
    for descriptor in [self.datagrams, self.listener, self.upstream] { close(descriptor) }
  }

  private func query(_ name: String, id: UInt16) throws -> [UInt8] {
    DNSMessage(
      id: id, flags: .recursionDesired, questions: [DNSQuestion(name: try #require(SpelledName(name)), type: .a)]
    ).bytes
  }

  private func receive(_ descriptor: CInt) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &bytes, bytes.count, 0)
    return Array(bytes[..<(try #require(count >= 0 ? count : nil))])
  }

  /// Sends a question to the proxy by UDP, from a socket of its own.
  private func ask(_ bytes: [UInt8]) -> CInt {
    let client = ProxyBench.datagramSocket(0)
    #expect(ProxyBench.with(ProxyBench.address(0x7f00_0001, self.port)) { connect(client, $0, $1) } == 0)
    #expect(send(client, bytes, bytes.count, 0) == bytes.count)
    return client
  }

  private func expectMeshName(id: UInt16) throws {
    let client = self.ask(try self.query("web.a", id: id))
    defer { close(client) }
    let answer = try DNSMessage(parsing: try self.receive(client))
    #expect(answer.id == id)
    #expect(answer.answers.compactMap(\.address) == [ProxyBench.original.address])
  }

  /// Within a moment.
  private func isAsked() -> Bool {
    var event = pollfd(fd: self.upstream, events: Int16(POLLIN), revents: 0)
    return poll(&event, 1, 300) == 1
  }

  private func expectForwarding(id: UInt16) throws {
    let question = try self.query("example.org", id: id)
    let client = self.ask(question)
    defer { close(client) }
    try self.expectForwarding(of: question, answering: client)
  }

  private func expectForwarding(of question: [UInt8], answering client: CInt) throws {
    var from = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = withUnsafeMutablePointer(to: &from) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        recvfrom(self.upstream, &bytes, bytes.count, 0, $0, &size)
      }
    }
    try #require(count > 2)
    #expect(bytes[2..<count].elementsEqual(question.dropFirst(2)))
    var reply = try DNSMessage(parsing: Array(bytes[..<count]))
    reply.flags.insert(.response)
    let sent = reply.bytes
    #expect(ProxyBench.with(from) { sendto(self.upstream, sent, sent.count, 0, $0, $1) } == sent.count)
    #expect(try self.receive(client) == Array(question[..<2]) + Array(sent[2...]))
  }

  @Test("A question that comes before it is said who is asked waits for that, by UDP and by TCP")
  func firstMoment() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0001)
    try bench.sendNames(datagrams: self.datagrams, listener: self.listener)
    try self.expectMeshName(id: 1)
    let question = try self.query("example.org", id: 2)
    let client = self.ask(question)
    let stream = ProxyBench.dial(port: self.port)
    let framed = try #require(DNSStreamFraming.framed(try self.query("example.net", id: 3)))
    #expect(send(stream, framed, framed.count, 0) == framed.count)
    #expect(!self.isAsked())
    self.useNameServer(bench)
    try self.expectForwarding(of: question, answering: client)
    // Nobody listens for TCP where the other question went.
    var framing = DNSStreamFraming()
    #expect(try framing.feed(try self.receive(stream)).first.map { try DNSMessage(parsing: $0).flags.code } == 2)
    close(client)
    close(stream)
    try await self.end(bench)
  }

  @Test("DN-06: names are answered as handed over, without the agent, and after the next one came")
  func acrossAgents() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0001)
    try self.handOver(bench)
    try self.expectMeshName(id: 1)
    try self.expectForwarding(id: 2)
    await bench.stopAgent()
    // More than any stock: the sockets serve again.
    for id in UInt16(3)..<300 { try self.expectForwarding(id: id) }
    try self.expectMeshName(id: 300)
    try await bench.startAgent(stockAddress: 0x7f00_0001)
    try self.handOver(bench)
    try self.expectMeshName(id: 301)
    try self.expectForwarding(id: 302)
    try await self.end(bench)
  }

  @Test("A workload that wants names no more is answered no more, and can be again; what was done is told")
  func endedAndBegunAgain() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0001)
    try self.handOver(bench)
    try self.expectMeshName(id: 1)
    bench.retainNames([ProxyBench.cookie])
    try self.expectMeshName(id: 2)
    let client = ProxyBench.dial(port: self.port)
    let framed = try #require(DNSStreamFraming.framed(try self.query("web.a", id: 9)))
    #expect(send(client, framed, framed.count, 0) == framed.count)
    _ = try self.receive(client)
    bench.retainNames([])
    #expect(try self.receive(client) == [], "closed")
    close(client)
    try self.handOver(bench)
    try self.expectMeshName(id: 3)
    try self.expectForwarding(id: 4)
    let counts = try await bench.event { event -> [NamedCount]? in
      guard case .nameStats(let counts) = event, counts.contains(NamedCount("answered", 1)) else { return nil }
      return counts
    }
    #expect(counts.contains(NamedCount("questions", 5)) && counts.contains(NamedCount("mesh", 4)))
    try await self.end(bench)
  }

  @Test("Names of a workload that goes are answered no more")
  func withdrawn() async throws {
    let bench = try ProxyBench()
    _ = bench.startProxy()
    try await bench.startAgent(stockAddress: 0x7f00_0001)
    try self.handOver(bench)
    try self.expectMeshName(id: 1)
    let client = ProxyBench.dial(port: self.port)
    let framed = try #require(DNSStreamFraming.framed(try self.query("web.a", id: 9)))
    #expect(send(client, framed, framed.count, 0) == framed.count)
    var framing = DNSStreamFraming()
    #expect(try framing.feed(try self.receive(client)).first.map { try DNSMessage(parsing: $0).id } == 9)
    bench.withdraw()
    #expect(try self.receive(client) == [])
    close(client)
    try await self.end(bench)
  }
}
