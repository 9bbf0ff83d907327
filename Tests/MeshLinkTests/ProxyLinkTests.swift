import Glibc
import Logging
import MeshBase
import MeshLink
import MeshSnapshot
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Events in the order in which they came.
final class Recorder<Event: Sendable>: Sendable {
  private let events = Mutex<[Event]>([])

  func record(_ event: Event) { self.events.withLock { $0.append(event) } }

  var all: [Event] { self.events.withLock { $0 } }

  /// Waits up to thirty seconds for an event.
  func wait<Found>(_ select: (Event) -> Found?) async throws -> Found {
    for _ in 0..<3000 {
      if let found = self.all.lazy.compactMap(select).first { return found }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw MeshError(.unavailable, "test", "an expected event did not come", cause: "\(self.all)")
  }
}

@Suite(.serialized) struct ProxyLinkTests {
  let directory: String
  let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

  init() throws {
    var template = Array("/tmp/mesh-link-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
    self.directory = String(cString: try #require(made))
  }

  private func server(
    _ recorder: Recorder<ProxyLinkEvent>, user: UInt32 = getuid(), allowed: Bool = true,
    role: ProxyRole = .serving
  ) async throws -> ProxyLinkServer {
    let server = ProxyLinkServer(
      configuration: .init(
        runDirectory: self.directory, proxyUser: user, proxyGroup: getgid(), helloTimeout: .milliseconds(500),
        isAllowed: { _ in allowed }, role: { _ in role }),
      group: MultiThreadedEventLoopGroup.singleton, logger: self.logger, onEvent: { recorder.record($0) })
    try await server.start()
    return server
  }

  private func client(
    _ recorder: Recorder<AgentLinkEvent>, spoken: UInt16 = LinkCodec.protocolVersion
  ) -> ProxyLinkClient {
    var configuration = ProxyLinkClient.Configuration(
      runDirectory: self.directory, firstBackoff: .milliseconds(5), lastBackoff: .milliseconds(50))
    configuration.spoken = spoken
    let client = ProxyLinkClient(
      configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, logger: self.logger,
      onEvent: { recorder.record($0) })
    client.start()
    return client
  }

  private func remove() {
    unlink(self.directory + "/proxy.sock")
    unlink(self.directory + "/fds.sock")
    rmdir(self.directory)
  }

  @Test("a revision, descriptors and requests pass; sockets have the owner's mode; a restart of the agent is healed")
  func wholeLife() async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    let proxy = Recorder<AgentLinkEvent>()
    var server = try await self.server(agent)
    for name in ["proxy.sock", "fds.sock"] {
      var status = stat()
      #expect(stat(self.directory + "/" + name, &status) == 0)
      #expect(status.st_mode & 0o777 == 0o600)
    }
    server.publish(try sampleSnapshot(services: 2), revision: 1)
    let client = self.client(proxy)
    #expect(try await agent.wait { if case .connected(let process, _) = $0 { process } else { nil } } == getpid())
    let first = try await proxy.wait { if case .snapshot(let s, 1) = $0 { s } else { nil } }
    #expect(first == (try sampleSnapshot(services: 2)))
    client.send(.applied(revision: 1))
    _ = try await agent.wait { $0 == .applied(revision: 1) ? true : nil }
    server.publish(try sampleSnapshot(services: 1), revision: 2)
    let second = try await proxy.wait { if case .snapshot(let s, 2) = $0 { s } else { nil } }
    #expect(second == (try sampleSnapshot(services: 1)))

    // A listener: the very socket arrives, and ours stays ours.
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var status = stat()
    #expect(fstat(listener, &status) == 0)
    let key = ListenerKey(workload: 5, namespaceCookie: 99, isV4: true)
    try server.sendListener(listener, key)
    let got = try await proxy.wait { event -> (DescriptorHeader, [CInt])? in
      if case .descriptors(let header, let fds) = event, header.kind == .listener { (header, fds) } else { nil }
    }
    #expect(got.0 == DescriptorHeader(kind: .listener, isV4: true, workload: 5, count: 1, namespaceCookie: 99))
    #expect(got.0.after == 0)
    var arrived = stat()
    #expect(fstat(got.1[0], &arrived) == 0)
    #expect(arrived.st_ino == status.st_ino)
    #expect(fcntl(got.1[0], F_GETFD) & FD_CLOEXEC != 0)
    #expect(fcntl(listener, F_GETFD) >= 0)
    close(got.1[0])
    close(listener)

    // A stock of 100: two messages, all alive.
    client.send(.stockWanted(StockRequest(workload: 5, isV4: true, count: 100)))
    _ = try await agent.wait { if case .stockWanted(let request) = $0 { request } else { nil } }
    server.sendStock(
      (0..<100).map { _ in socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0) }, workload: 5, leg: 1, isV4: true)
    var stock: [CInt] = []
    for _ in 0..<3000 where stock.count < 100 {
      stock = proxy.all.flatMap { event -> [CInt] in
        if case .descriptors(let header, let fds) = event, header.kind == .stock { fds } else { [] }
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(stock.count == 100)
    for socket in stock { #expect(close(socket) == 0) }
    server.withdraw(workload: 5)
    server.retainListeners(namespaceCookies: [1])
    _ = try await proxy.wait { if case .withdraw(workload: 5) = $0 { true } else { nil } }
    _ = try await proxy.wait { if case .retainListeners(cookies: [1]) = $0 { true } else { nil } }

    // The agent restarts: the proxy comes back and is sent everything.
    await server.stop()
    _ = try await proxy.wait { if case .disconnected = $0 { true } else { nil } }
    let again = Recorder<ProxyLinkEvent>()
    server = try await self.server(again)
    server.publish(try sampleSnapshot(services: 3), revision: 1)
    _ = try await again.wait { if case .connected = $0 { true } else { nil } }
    _ = try await proxy.wait { if case .snapshot(let s, 1) = $0, s.services.count == 3 { true } else { nil } }
    client.stop()
    await server.stop()
  }

  @Test(
    "a listener comes after the withdrawals and names that were sent before it, and never after an order to close it, though it goes by another socket"
  )
  func order() async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    let proxy = Recorder<AgentLinkEvent>()
    let server = try await self.server(agent)
    let client = self.client(proxy)
    _ = try await agent.wait { if case .connected = $0 { true } else { nil } }
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    let rounds = 400
    let name = try #require(ResourceName("shop/front"))
    for round in 0..<rounds {
      switch round % 4 {
      case 0: server.withdraw(workload: 5)
      case 1: server.retainListeners(namespaceCookies: [1])
      case 2: server.name(workload: 5, name)
      default: server.retainNames(namespaceCookies: [1])
      }
      try server.sendListener(listener, ListenerKey(workload: 5, namespaceCookie: UInt64(round), isV4: true))
    }
    _ = try await proxy.wait { event -> Bool? in
      if case .descriptors(let header, _) = event, header.namespaceCookie == UInt64(rounds - 1) { true } else { nil }
    }
    var orders = 0
    for event in proxy.all {
      switch event {
      case .withdraw, .name, .retainListeners, .retainNames: orders += 1
      case .descriptors(let header, let descriptors):
        let sent = Int(header.namespaceCookie) + 1
        #expect(orders >= sent, "a listener came before the order that was sent before it")
        // The first and the second of four orders close it, unless it is what remains.
        let isClosed = (sent..<max(sent, orders)).contains { $0 % 4 == 0 || ($0 % 4 == 1 && sent != 2) }
        #expect(!isClosed, "a listener came after an order to close it")
        for descriptor in descriptors { close(descriptor) }
      default: break
      }
    }
    client.stop()
    await server.stop()
  }

  @Test(
    "a proxy of another protocol gets sockets and what the core says, and nothing else",
    arguments: [LinkCodec.protocolVersion - 1, LinkCodec.protocolVersion + 1])
  func foreign(spoken: UInt16) async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    let proxy = Recorder<AgentLinkEvent>()
    let server = try await self.server(agent)
    server.publish(try sampleSnapshot(services: 2), revision: 1)
    let client = self.client(proxy, spoken: spoken)
    let process = try await agent.wait { event -> Int32? in
      if case .aside(let process, .foreign(MeshBase.version, spoken)) = event { process } else { nil }
    }
    #expect(process == getpid())
    _ = try await proxy.wait { if case .connected = $0 { true } else { nil } }
    let request = StockRequest(workload: 5, isV4: true, count: 3)
    client.send(.listenerAccepted(ListenerKey(workload: 5, namespaceCookie: 99, isV4: true)))
    client.send(.stockWanted(request))
    _ = try await agent.wait { $0 == .aside(process: process, .stockWanted(request)) ? true : nil }
    let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    try server.sendListener(listener, ListenerKey(workload: 5, namespaceCookie: 99, isV4: true))
    server.promote(process)
    let name = try #require(ResourceName("shop/front"))
    server.name(workload: 5, name)
    server.retainListeners(namespaceCookies: [1])
    server.sendStock(
      (0..<3).map { _ in socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0) }, workload: 5, leg: 1, isV4: true, to: process)
    let stock = try await proxy.wait { if case .descriptors(_, let sockets) = $0 { sockets } else { nil } }
    #expect(stock.count == 3)
    for socket in stock { close(socket) }
    server.withdraw(workload: 5)
    server.drain(process, milliseconds: 1000)
    _ = try await proxy.wait { if case .drain(milliseconds: 1000) = $0 { true } else { nil } }
    client.sayDraining()
    _ = try await agent.wait { $0 == .aside(process: process, .draining) ? true : nil }
    let heard = proxy.all.map { event in
      switch event {
      case .connected: "connected"
      case .withdraw(let workload): "withdraw \(workload)"
      case .descriptors(let header, _): "\(header.kind)"
      case .drain: "drain"
      default: "\(event)"
      }
    }
    #expect(heard.first == "connected" && heard.last == "drain")
    #expect(heard.sorted() == ["connected", "drain", "stock", "withdraw \(LinkCodec.nobody)", "withdraw 5"])
    #expect(!agent.all.contains { if case .connected = $0 { true } else { false } })
    client.stop()
    await server.stop()
  }

  @Test("one of another protocol that shall drain is told so, and one that drains already hears that an agent is there")
  func foreignDrains() async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    let proxy = Recorder<AgentLinkEvent>()
    let server = try await self.server(agent, role: .draining(milliseconds: 700))
    let client = self.client(proxy, spoken: LinkCodec.protocolVersion + 1)
    _ = try await proxy.wait { if case .drain(milliseconds: 700) = $0 { true } else { nil } }
    client.stop()
    let next = Recorder<AgentLinkEvent>()
    let again = self.client(next, spoken: LinkCodec.protocolVersion + 1)
    again.sayDraining()
    _ = try await agent.wait { $0 == .aside(process: getpid(), .draining) ? true : nil }
    _ = try await next.wait { if case .connected = $0 { true } else { nil } }
    #expect(!agent.all.contains { if case .aside(_, .foreign) = $0 { true } else { false } })
    again.stop()
    await server.stop()
  }

  @Test("an agent that was away for long is found as soon as one that was away for a moment")
  func late() async throws {
    defer { self.remove() }
    let proxy = Recorder<AgentLinkEvent>()
    let client = ProxyLinkClient(
      configuration: .init(runDirectory: self.directory), group: MultiThreadedEventLoopGroup.singleton,
      logger: self.logger, onEvent: { proxy.record($0) })
    client.start()
    let begin = ContinuousClock.now
    // By 50, 100 and then 200 ms: with pauses that go on doubling the eighth try comes after 6 s.
    while proxy.all.count < 8, ContinuousClock.now - begin < .seconds(30) {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(ContinuousClock.now - begin < .seconds(5))
    client.stop()
  }

  @Test("a peer of another user, or one that the check refuses, is closed", arguments: [true, false])
  func stranger(isUser: Bool) async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    // As root, sockets of another user may be dialled; the credentials tell.
    let server = try await self.server(agent, user: isUser ? getuid() : getuid() + 1, allowed: !isUser)
    let proxy = Recorder<AgentLinkEvent>()
    let client = self.client(proxy)
    _ = try await proxy.wait { if case .disconnected = $0 { true } else { nil } }
    #expect(agent.all.isEmpty)
    // What the proxy has of an earlier agent it keeps: nobody spoke who could give it more.
    #expect(!proxy.all.contains { if case .connected = $0 { true } else { false } })
    client.stop()
    await server.stop()
  }

  @Test("frames that make no sense, and a connection that says nothing, are closed; the server lives")
  func badFrames() async throws {
    defer { self.remove() }
    let agent = Recorder<ProxyLinkEvent>()
    let server = try await self.server(agent)
    for bytes: [UInt8] in [[0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 1], [0, 0, 0, 1, 200], [0, 0, 0, 2, 66, 1], []] {
      let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: (self.directory + "/proxy.sock").utf8) }
      let connected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      #expect(connected == 0)
      var limit = timeval(tv_sec: 5, tv_usec: 0)
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      if !bytes.isEmpty { #expect(send(fd, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count) }
      var byte: UInt8 = 0
      let read = recv(fd, &byte, 1, 0)
      #expect(read == 0 || errno == ECONNRESET)
      close(fd)
    }
    #expect(agent.all.isEmpty)
    let proxy = Recorder<AgentLinkEvent>()
    let client = self.client(proxy)
    _ = try await agent.wait { if case .connected = $0 { true } else { nil } }
    client.stop()
    await server.stop()
  }
}
