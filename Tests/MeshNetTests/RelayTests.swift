import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import Synchronization
import Testing

/// A relay on loopback whose flows come from a closure, with blocking sockets at both ends.
final class RelayBench {
  let relay: Relay
  let stock: StockRoom?
  let listen: SocketEndpoint
  let server: CInt
  let serverEndpoint: SocketEndpoint

  init(
    loops: Int = 1, stock: StockRoom? = nil, timeout: UInt32 = 2000, idleTimeout: Duration? = nil,
    upstream: SocketEndpoint? = nil,
    flow: (@Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>)? = nil
  ) async throws {
    let any = SocketEndpoint(.loopbackV4, 0)
    self.server = try LocalListener.open(any)
    _ = fcntl(self.server, F_SETFL, 0)
    self.serverEndpoint = Self.endpoint(of: self.server)
    let listener = try LocalListener.open(any)
    self.listen = Self.endpoint(of: listener)
    self.stock = stock
    self.relay = try Relay(
      loops: loops, stock: stock, idleTimeout: idleTimeout, sweepInterval: 200, logger: Logger(label: "test"))
    let original = self.listen
    let table = try Self.table(from: original, to: upstream ?? self.serverEndpoint, timeout: timeout)
    await self.relay.use(table)
    let fixed = AcceptedFlow(original: original, sourceWorkload: 7, namespaceCookie: 1)
    _ = try self.relay.listen(listener, .init(flow: flow ?? { _ in .success(fixed) }))
  }

  func end() async throws {
    close(self.server)
    await self.relay.stop()
  }

  static func table(
    from: SocketEndpoint, to: SocketEndpoint, timeout: UInt32, traffic: TrafficSettings? = nil
  ) throws -> RoutingTable {
    let name = try #require(ResourceName("a/web"))
    let version = ContentVersion(value: 1)
    let port = ServicePort(
      port: from.port, backends: [Backend(service: name, port: from.port)], traffic: traffic)
    let endpoint = Endpoint(
      addresses: [to.address], ports: [PortMapping(servicePort: from.port, targetPort: to.port)])
    return RoutingTable(
      Snapshot([
        VersionedEntry(.config(ConfigEntry(trustDomain: "m", connectTimeoutMilliseconds: timeout)), version: version),
        VersionedEntry(.service(ServiceEntry(name: name, addresses: [from.address], ports: [port])), version: version),
        VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version),
      ]))
  }

  static func endpoint(of fd: CInt) -> SocketEndpoint {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &size) }
    }
    return SocketEndpoint(.loopbackV4, UInt16(bigEndian: address.sin_port))
  }

  private func connected() -> (fd: CInt, failure: CInt) { Self.connected(self.listen) }

  /// True if close(2) sends RST.
  static func lingers(_ fd: CInt) -> Bool {
    var value = linger()
    var size = socklen_t(MemoryLayout<linger>.size)
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0 && value.l_onoff == 1 && value.l_linger == 0
  }

  static func hasNoDelay(_ fd: CInt) -> Bool {
    var value: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    return getsockopt(fd, CInt(IPPROTO_TCP), TCP_NODELAY, &value, &size) == 0 && value == 1
  }

  private static func connected(_ endpoint: SocketEndpoint) -> (fd: CInt, failure: CInt) {
    let fd = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = endpoint.port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    let failure = result == 0 ? 0 : errno
    Self.limit(fd)
    return (fd, failure)
  }

  func dial() -> CInt { Self.dial(self.listen) }

  static func dial(_ endpoint: SocketEndpoint) -> CInt {
    let (fd, failure) = Self.connected(endpoint)
    #expect(failure == 0)
    return fd
  }

  /// What a client that is reset at once sees: of connect() when the reset was faster than the client's own wake-up, else
  /// of its first read. Minus the error's number.
  func outcomeOfDial() -> Int {
    let (fd, failure) = self.connected()
    defer { close(fd) }
    return failure == 0 ? Self.receive(fd) : -Int(failure)
  }

  func accept() -> CInt {
    Self.limit(self.server)
    let fd = Glibc.accept(self.server, nil, nil)
    #expect(fd >= 0)
    Self.limit(fd)
    return fd
  }

  /// No read of a test waits longer than ten seconds.
  static func limit(_ fd: CInt) {
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  static func send(_ fd: CInt, _ bytes: [UInt8]) -> Int { Glibc.send(fd, bytes, bytes.count, CInt(MSG_NOSIGNAL)) }

  /// Bytes read, 0 at FIN, -errno on failure.
  static func receive(_ fd: CInt, _ count: Int = 65536) -> Int {
    var bytes = [UInt8](repeating: 0, count: count)
    let read = recv(fd, &bytes, count, 0)
    return read < 0 ? -Int(errno) : read
  }

  static func reset(_ fd: CInt) {
    var value = linger(l_onoff: 1, l_linger: 0)
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    close(fd)
  }

  func counters(until done: (RelayCounters) -> Bool) async throws -> RelayCounters {
    for _ in 0..<3000 {
      let counters = await self.relay.counters()
      if done(counters) { return counters }
      try await Task.sleep(for: .milliseconds(10))
    }
    return await self.relay.counters()
  }
}

@Suite(.serialized) struct RelayTests {
  @Test("bytes go both ways, each direction ends on its own, and nothing is left open")
  func halfClose() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    #expect(RelayBench.send(client, [1, 2, 3]) == 3)
    #expect(RelayBench.receive(server) == 3)
    shutdown(client, CInt(SHUT_WR))
    #expect(RelayBench.receive(server) == 0)
    #expect(RelayBench.send(server, [4, 5]) == 2)
    #expect(RelayBench.receive(client) == 2)
    close(server)
    #expect(RelayBench.receive(client) == 0)
    close(client)
    let counters = try await bench.counters { $0.active == 0 }
    #expect(counters.active == 0)
    #expect(counters.relayed == 1)
    #expect(counters.sentBytes == 3 && counters.receivedBytes == 2)
    try await bench.end()
  }

  @Test("the upstream may end first, and the client goes on sending")
  func upstreamEndsFirst() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    shutdown(server, CInt(SHUT_WR))
    #expect(RelayBench.receive(client) == 0)
    #expect(RelayBench.send(client, [1, 2, 3]) == 3)
    #expect(RelayBench.receive(server) == 3)
    close(client)
    #expect(RelayBench.receive(server) == 0)
    close(server)
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    try await bench.end()
  }

  @Test("an RST of either side reaches the other as an RST")
  func resets() async throws {
    let bench = try await RelayBench()
    for fromClient in [true, false] {
      let client = bench.dial()
      let server = bench.accept()
      #expect(RelayBench.send(client, [1]) == 1)
      #expect(RelayBench.receive(server) == 1)
      RelayBench.reset(fromClient ? client : server)
      #expect(RelayBench.receive(fromClient ? server : client) == -Int(ECONNRESET))
      close(fromClient ? server : client)
    }
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    try await bench.end()
  }

  @Test("an upstream that refuses is an RST to the client, counted")
  func refused() async throws {
    let bench = try await RelayBench(upstream: SocketEndpoint(.loopbackV4, 1))
    #expect(bench.outcomeOfDial() == -Int(ECONNRESET))
    let counters = try await bench.counters { !$0.refused.isEmpty && $0.active == 0 }
    #expect(counters.refused == ["upstream_failed": 1])
    try await bench.end()
  }

  @Test("what the kernel chose counts too: an endpoint that cannot be reached there is ejected")
  func chosenByTheKernel() async throws {
    let gone = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    let target = RelayBench.endpoint(of: gone)
    close(gone)
    let original = SocketEndpoint(IPAddress(v4: 0xf000_0001), 80)
    let flow = AcceptedFlow(original: original, sourceWorkload: 7, namespaceCookie: 1, chosen: target)
    let bench = try await RelayBench(flow: { _ in .success(flow) })
    var traffic = TrafficSettings(origin: try #require(ResourceName("a/policy")))
    traffic.outliers = OutlierDetection(
      baseEjectionMilliseconds: 60_000, maximumEjectionMilliseconds: 60_000, maximumEjectionPercent: 100)
    traffic.outliers?.consecutiveErrors = 3
    let table = try RelayBench.table(from: original, to: target, timeout: 2000, traffic: traffic)
    await bench.relay.use(table)
    func isEjected() -> Bool {
      table.endpointStates(now: Relay.clock()).flatMap(\.endpoints).contains {
        if case .ejected = $0.health { true } else { false }
      }
    }
    for attempt in 0..<3 {
      #expect(!isEjected(), "\(attempt)")
      #expect(bench.outcomeOfDial() != 0)
    }
    _ = try await bench.counters { $0.active == 0 }
    #expect(isEjected())
    try await bench.end()
  }

  @Test("a connection that stood before the listener was taken has the options of later ones: a kill is an RST")
  func earlyConnections() async throws {
    let listener = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    let endpoint = RelayBench.endpoint(of: listener)
    let relay = try Relay(loops: 2, stock: nil, logger: Logger(label: "test"))
    await relay.use(try RelayBench.table(from: endpoint, to: endpoint, timeout: 2000))
    let early = (0..<8).map { _ in RelayBench.dial(endpoint) }
    let seen = Mutex<[(lingers: Bool, hasNoDelay: Bool)]>([])
    _ = try relay.listen(
      listener,
      .init { accepted in
        seen.withLock { $0.append((RelayBench.lingers(accepted), RelayBench.hasNoDelay(accepted))) }
        return .failure(.noFlow)
      })
    for client in early { #expect(RelayBench.receive(client) == -Int(ECONNRESET)) }
    let late = RelayBench.dial(endpoint)
    #expect(RelayBench.receive(late) == -Int(ECONNRESET))
    for client in early + [late] { close(client) }
    let options = seen.withLock { $0 }
    #expect(options.count == 9 && options.allSatisfy { $0.lingers && $0.hasNoDelay }, "\(options)")
    await relay.stop()
  }

  @Test("a connection without a flow or of another tier is an RST, and nothing is dialled (BP-12)")
  func noFlow() async throws {
    let bench = try await RelayBench(flow: { _ in .failure(.wrongTier) })
    #expect(bench.outcomeOfDial() == -Int(ECONNRESET))
    let counters = try await bench.counters { $0.refused["wrong_tier"] == 1 }
    #expect(counters.refused == ["wrong_tier": 1] && counters.relayed == 0 && counters.active == 0)
    try await bench.end()
    // The kernel's own look-up, on a machine whose kernel knows nothing of the level.
    let other = try await RelayBench(flow: { AcceptedFlow.ofAccepted($0) })
    #expect(other.outcomeOfDial() == -Int(ECONNRESET))
    #expect(try await other.counters { !$0.refused.isEmpty }.refused == ["no_flow": 1])
    try await other.end()
  }

  @Test("a hundred megabytes arrive unchanged, with a reader that is slower at times")
  func hundredMegabytes() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    let total = 100 << 20
    let sender = Task.detached { () -> ContentVersion in
      var pattern = [UInt8](repeating: 0, count: 1 << 20)
      var hash: UInt64 = 1
      for chunk in 0..<(total >> 20) {
        for i in stride(from: 0, to: pattern.count, by: 4096) {
          pattern[i] = UInt8(truncatingIfNeeded: chunk &+ i >> 12)
        }
        for i in stride(from: 0, to: pattern.count, by: 4096) { hash = hash &* 31 &+ UInt64(pattern[i]) }
        var sent = 0
        while sent < pattern.count {
          let n = RelayBench.send(client, Array(pattern[sent...]))
          if n <= 0 { return ContentVersion(value: 0) }
          sent += n
        }
      }
      shutdown(client, CInt(SHUT_WR))
      return ContentVersion(value: hash)
    }
    let receiver = Task.detached { () -> (ContentVersion, Int) in
      var buffer = [UInt8](repeating: 0, count: 1 << 18)
      var hash: UInt64 = 1
      var received = 0
      while true {
        let n = recv(server, &buffer, buffer.count, 0)
        if n <= 0 { break }
        var i = (4096 - received % 4096) % 4096
        while i < n {
          hash = hash &* 31 &+ UInt64(buffer[i])
          i += 4096
        }
        if received / (10 << 20) != (received + n) / (10 << 20) { usleep(20_000) }
        received += n
      }
      return (ContentVersion(value: hash), received)
    }
    let sent = await sender.value
    let received = await receiver.value
    #expect(received.1 == total)
    #expect(sent == received.0)
    close(client)
    close(server)
    #expect(try await bench.counters { $0.active == 0 }.sentBytes == UInt64(total))
    try await bench.end()
  }

  @Test("a reader that never reads stops its writer: what the relay holds stays bounded (RS-03)")
  func backpressure() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    // Fixed kernel buffers, so that what is not accounted for by them is the relay's.
    var size: CInt = 65536
    setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    _ = fcntl(client, F_SETFL, O_NONBLOCK)
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    var taken = 0
    var stuck = 0
    while stuck < 40, taken < 200 << 20 {
      let n = RelayBench.send(client, bytes)
      if n > 0 { taken += n; stuck = 0 } else { stuck += 1; try await Task.sleep(for: .milliseconds(10)) }
    }
    // Read by the relay and not written to the upstream's socket is 64 KiB of watermark and one buffer of 256 KiB.
    let counters = await bench.relay.counters()
    #expect(taken < 64 << 20)
    #expect(counters.active == 1)
    _ = fcntl(client, F_SETFL, 0)
    shutdown(client, CInt(SHUT_WR))
    var received = 0
    while true {
      let n = RelayBench.receive(server, 1 << 20)
      if n <= 0 { #expect(n == 0); break }
      received += n
    }
    #expect(received == taken)
    close(client)
    close(server)
    try await bench.end()
  }

  @Test("a thousand connections leave no descriptor behind")
  func churn() async throws {
    let bench = try await RelayBench(loops: 2)
    for round in 0..<1000 {
      let client = bench.dial()
      let server = bench.accept()
      #expect(RelayBench.send(client, [1]) == 1)
      #expect(RelayBench.receive(server) == 1)
      switch round % 4 {
      case 0: close(client)
      case 1: close(server)
      case 2: RelayBench.reset(client)
      default: RelayBench.reset(server)
      }
      close(round % 4 == 0 || round % 4 == 2 ? server : client)
    }
    let counters = try await bench.counters { $0.active == 0 }
    #expect(counters.active == 0 && counters.relayed == 1000)
    #expect(Self.descriptors(connectedTo: bench) == 0)
    try await bench.end()
  }

  /// Sockets of this process that have the relay's port at either end, but for its listener.
  static func descriptors(connectedTo bench: RelayBench) -> Int {
    var found = 0
    for fd in CInt(3)..<4096 where fd != bench.server {
      var address = sockaddr_in()
      var size = socklen_t(MemoryLayout<sockaddr_in>.size)
      let result = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(fd, $0, &size) }
      }
      guard result == 0, address.sin_family == sa_family_t(AF_INET) else { continue }
      let ports = [UInt16(bigEndian: address.sin_port), RelayBench.endpoint(of: fd).port]
      if ports.contains(bench.listen.port) || ports.contains(bench.serverEndpoint.port) { found += 1 }
    }
    return found
  }

  @Test("with an empty stock a connection waits for a socket, then works; without one it is refused at the timeout")
  func stock() async throws {
    let orders = AsyncStream<(StockRoom.Shelf, Int)>.makeStream()
    let room = StockRoom { orders.continuation.yield(($0, $1)) }
    let bench = try await RelayBench(stock: room, timeout: 500)
    let client = bench.dial()
    var iterator = orders.stream.makeAsyncIterator()
    let order = try #require(await iterator.next())
    #expect(order.0 == StockRoom.Shelf(workload: 7, isV4: true) && order.1 > 0)
    let fresh = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var mark: CInt = 4242
    setsockopt(fresh, SOL_SOCKET, SO_SNDBUF, &mark, socklen_t(MemoryLayout<CInt>.size))
    bench.relay.deposit([fresh], on: order.0)
    let server = bench.accept()
    #expect(RelayBench.send(client, [9]) == 1)
    #expect(RelayBench.receive(server) == 1)
    close(client)
    #expect(RelayBench.receive(server) == 0)
    close(server)
    #expect(bench.outcomeOfDial() == -Int(ECONNRESET))
    let counters = try await bench.counters { !$0.refused.isEmpty && $0.active == 0 }
    #expect(counters.refused == ["connect_timeout": 1])
    try await bench.end()
  }

  @Test("a relay without a byte for the idle timeout is closed with RST, one with bytes is not")
  func idle() async throws {
    let bench = try await RelayBench(idleTimeout: .milliseconds(3000))
    let quiet = (bench.dial(), bench.accept())
    let busy = (bench.dial(), bench.accept())
    // Bytes far more often than the timeout, until the quiet one was found.
    let counters = try await bench.counters { counters in
      #expect(RelayBench.send(busy.0, [1]) == 1)
      #expect(RelayBench.receive(busy.1) == 1)
      return !counters.refused.isEmpty && counters.active == 1
    }
    #expect(RelayBench.receive(quiet.0) == -Int(ECONNRESET))
    #expect(RelayBench.receive(quiet.1) == -Int(ECONNRESET))
    #expect(counters.active == 1 && counters.refused == ["idle": 1])
    for fd in [quiet.0, quiet.1, busy.0, busy.1] { close(fd) }
    try await bench.end()
  }

  @Test("bytes of every size come through unchanged both ways at once, copied or spliced")
  func bothWays() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    let sizes = [1, 100, 300_000, 5, 70_000, 2_000_000, 1, 65_536, 65_535, 131_072, 9, 9, 9, 9, 9, 9, 4_000_000, 3]
    let total = sizes.reduce(0, +)
    @Sendable func transmit(_ fd: CInt, _ seed: Int) -> Bool {
      var position = seed
      for size in sizes {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: ($0 + position) &* 31 >> 3) }
        position += size
        var sent = 0
        while sent < size {
          let n = RelayBench.send(fd, sent == 0 ? bytes : Array(bytes[sent...]))
          if n <= 0 { return false }
          sent += n
        }
        usleep(2000)
      }
      return shutdown(fd, CInt(SHUT_WR)) == 0
    }
    @Sendable func check(_ fd: CInt, _ seed: Int) -> Int {
      var buffer = [UInt8](repeating: 0, count: 1 << 18)
      var position = 0
      while true {
        let n = recv(fd, &buffer, buffer.count, 0)
        if n <= 0 { return n == 0 ? position : -1 }
        for i in 0..<n where buffer[i] != UInt8(truncatingIfNeeded: (position + i + seed) &* 31 >> 3) { return -2 }
        position += n
      }
    }
    async let a = Task.detached { transmit(client, 0) }.value
    async let b = Task.detached { check(server, 0) }.value
    async let c = Task.detached { transmit(server, 77) }.value
    async let d = Task.detached { check(client, 77) }.value
    #expect(await a)
    #expect(await c)
    #expect(await b == total)
    #expect(await d == total)
    close(client)
    close(server)
    let counters = try await bench.counters { $0.active == 0 }
    #expect(counters.active == 0 && counters.sentBytes == UInt64(total) && counters.receivedBytes == UInt64(total))
    try await bench.end()
  }

  @Test("a client that resets while bulk to it is stuck is an RST to the server")
  func resetWhileStuck() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    _ = fcntl(server, F_SETFL, O_NONBLOCK)
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    var stuck = 0
    while stuck < 20 {
      if RelayBench.send(server, bytes) > 0 {
        stuck = 0
      } else {
        stuck += 1; try await Task.sleep(for: .milliseconds(5))
      }
    }
    RelayBench.reset(client)
    let counters = try await bench.counters { $0.active == 0 }
    #expect(counters.active == 0)
    _ = fcntl(server, F_SETFL, 0)
    #expect(RelayBench.receive(server) == -Int(ECONNRESET))
    close(server)
    try await bench.end()
  }

  @Test("withdrawing a workload closes its connections with RST")
  func withdraw() async throws {
    let bench = try await RelayBench()
    let client = bench.dial()
    let server = bench.accept()
    #expect(RelayBench.send(client, [9]) == 1)
    #expect(RelayBench.receive(server) == 1)
    bench.relay.withdraw(workload: 8)
    #expect(await bench.relay.counters().active == 1)
    bench.relay.withdraw(workload: 7)
    #expect(RelayBench.receive(client) == -Int(ECONNRESET))
    #expect(RelayBench.receive(server) == -Int(ECONNRESET))
    close(client)
    close(server)
    try await bench.end()
  }
}
