import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshRouting
import MeshSnapshot
import Synchronization
import Testing

@testable import MeshNet

/// Two relays on loopback, one for each node, and a tunnel between them: a client dials `listen`, which leads to `server` through
/// the entrance of the other.
final class TunnelBench {
  let near: Relay
  let far: Relay
  let nearShelf: CertificateShelf
  let farShelf: CertificateShelf
  let listen: SocketEndpoint
  let address: IPAddress
  let server: CInt
  let serverEndpoint: SocketEndpoint
  let tls: TLSBench
  let policy = Policy()

  final class Policy: Sendable {
    let denies = Mutex<String?>(nil)
    let questions = Mutex<[TunnelEntrance.Question]>([])

    func judge(_ question: TunnelEntrance.Question) -> TunnelEntrance.Verdict {
      self.questions.withLock { $0.append(question) }
      return self.denies.withLock { $0 }.map { .deny(reason: $0) } ?? .allow
    }
  }

  /// - server: who the entrance proves to be.
  /// - residents: by server name; nil: it is the endpoint's own address.
  /// - port: that nobody listens on.
  init(
    server: String = "server", residents: [String: String]? = nil, addresses: Set<IPAddress>? = nil,
    port: UInt16? = nil, loops: Int = 1
  ) async throws {
    // An address of its own, because the port is always the same.
    let bits = UInt64.random(in: 0x1_0000...0xfe_ffff)
    self.address = IPAddress(high: 0, low: 0xffff_7f00_0000 | bits)
    self.tls = try TLSBench()
    self.server = try LocalListener.open(SocketEndpoint(self.address, 0))
    _ = fcntl(self.server, F_SETFL, 0)
    self.serverEndpoint = SocketEndpoint(self.address, RelayBench.endpoint(of: self.server).port)
    let entrance = try LocalListener.open(SocketEndpoint(self.address, MeshPort.hbone))
    let listener = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    self.listen = RelayBench.endpoint(of: listener)
    self.nearShelf = CertificateShelf(time: { TLSBench.time })
    self.farShelf = CertificateShelf(time: { TLSBench.time })
    self.near = try Relay(
      loops: loops, stock: nil, sweepInterval: 200, certificates: self.nearShelf, logger: Logger(label: "near"))
    self.far = try Relay(
      loops: loops, stock: nil, sweepInterval: 200, certificates: self.farShelf, logger: Logger(label: "far"))
    self.nearShelf.put(try .init(identity: TLSBench.id("client"), self.tls.material("client")))
    self.near.name(workload: 7, try #require(ResourceName("a/caller")))
    let target = SocketEndpoint(self.address, port ?? self.serverEndpoint.port)
    await self.near.use(try Self.table(from: self.listen, to: target, isShared: residents != nil))
    await self.far.use(try RelayBench.table(from: self.listen, to: self.serverEndpoint, timeout: 2000))
    let fixed = AcceptedFlow(original: self.listen, sourceWorkload: 7, namespaceCookie: 1)
    _ = try self.near.listen(listener, .init(flow: { _ in .success(fixed) }))
    let one = try self.resident(server, addresses)
    let several = try residents.map { try $0.mapValues { try self.resident($0, addresses) } }
    _ = try self.far.listen(
      entrance,
      .init(
        entrance: TunnelEntrance(
          trustDomain: { "mesh.test" }, residents: { several.map { .several($0) } ?? .one(one) },
          judge: { [policy] in policy.judge($0) })))
  }

  private func resident(_ name: String, _ addresses: Set<IPAddress>?) throws -> TunnelEntrance.Resident {
    .init(
      workload: 9, namespaceCookie: 2,
      context: try TLSContext(.server, self.tls.material(name), object: name), addresses: addresses ?? [self.address])
  }

  static let workload = ResourceName("a/web-1")

  static func table(from: SocketEndpoint, to: SocketEndpoint, isShared: Bool) throws -> RoutingTable {
    let name = try #require(ResourceName("a/web"))
    let caller = try #require(ResourceName("a/caller"))
    let workload = try #require(Self.workload)
    let version = ContentVersion(value: 1)
    let port = ServicePort(port: from.port, backends: [.init(service: name, port: from.port)])
    let endpoint = Endpoint(
      workload: workload, addresses: [to.address],
      ports: [PortMapping(servicePort: from.port, targetPort: to.port)], needsTunnel: true)
    let served = WorkloadEntry(
      name: workload, node: "far", identity: TLSBench.id("server"), addresses: [to.address],
      location: isShared ? .systemdUnit(name: "web.service") : .networkNamespace(path: "/run/netns/web"),
      network: "one")
    return RoutingTable(
      Snapshot([
        VersionedEntry(.config(ConfigEntry(trustDomain: "m", connectTimeoutMilliseconds: 2000)), version: version),
        VersionedEntry(
          .workload(WorkloadEntry(name: caller, node: "near", identity: TLSBench.id("client"), network: "one")),
          version: version),
        VersionedEntry(.workload(served), version: version),
        VersionedEntry(.service(ServiceEntry(name: name, addresses: [from.address], ports: [port])), version: version),
        VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version),
      ]))
  }

  func accept() -> CInt {
    let fd = Glibc.accept(self.server, nil, nil)
    #expect(fd >= 0)
    RelayBench.limit(fd)
    return fd
  }

  func dial() -> CInt { RelayBench.dial(self.listen) }

  func refused(_ relay: Relay) async throws -> [String: Int] {
    for _ in 0..<500 {
      let refused = await relay.counters().refused
      if !refused.isEmpty { return refused.mapValues { Int($0) } }
      try await Task.sleep(for: .milliseconds(10))
    }
    return [:]
  }

  func end() async {
    close(self.server)
    await self.near.stop()
    await self.far.stop()
  }
}

/// A thread for work that blocks.
enum OwnThread {
  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { done in
      let work = Unmanaged.passRetained(Work { done.resume(returning: body()) })
      var thread = pthread_t()
      pthread_create(
        &thread, nil,
        { argument in
          if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
          return nil
        }, work.toOpaque())
      pthread_detach(thread)
    }
  }
}

@Suite("Tunnels between nodes", .serialized)
struct TunnelTests {
  private func with(
    _ bench: TunnelBench, _ body: (TunnelBench) async throws -> Void
  ) async throws {
    try await body(bench)
    await bench.end()
  }

  @Test("bytes and half-closes go both ways, and policy hears who asks")
  func halfClose() async throws {
    try await self.with(TunnelBench()) { bench in
      for _ in 0..<3 {
        let client = bench.dial()
        #expect(RelayBench.send(client, Array("question".utf8)) == 8)
        let server = bench.accept()
        #expect(RelayBench.receive(server) == 8)
        shutdown(client, CInt(SHUT_WR))
        #expect(RelayBench.receive(server) == 0)
        #expect(RelayBench.send(server, Array("answer".utf8)) == 6)
        #expect(RelayBench.receive(client) == 6)
        close(server)
        #expect(RelayBench.receive(client) == 0)
        close(client)
      }
      let questions = bench.policy.questions.withLock { $0 }
      #expect(questions.count == 3)
      #expect(questions.first?.source == TLSBench.id("client"))
      #expect(questions.first?.destination == bench.serverEndpoint)
      #expect(questions.first?.sourceAddress.isV4 == true)
      // One connection carried them all.
      let accepted = await bench.far.counters().accepted
      #expect(accepted == 1)
    }
  }

  @Test("RST goes through, both ways")
  func resets() async throws {
    try await self.with(TunnelBench()) { bench in
      let client = bench.dial()
      #expect(RelayBench.send(client, [1]) == 1)
      let server = bench.accept()
      #expect(RelayBench.receive(server) == 1)
      RelayBench.reset(client)
      #expect(RelayBench.receive(server) == -Int(ECONNRESET))
      close(server)
      let second = bench.dial()
      #expect(RelayBench.send(second, [1]) == 1)
      let other = bench.accept()
      #expect(RelayBench.receive(other) == 1)
      RelayBench.reset(other)
      #expect(RelayBench.receive(second) == -Int(ECONNRESET))
      close(second)
    }
  }

  @Test("100 MiB each way at once arrive as they were sent, through a reader that rests")
  func bulk() async throws {
    try await self.with(TunnelBench()) { bench in
      let client = bench.dial()
      #expect(RelayBench.send(client, [0]) == 1)
      let server = bench.accept()
      #expect(RelayBench.receive(server, 1) == 1)
      let total = 100 << 20
      @Sendable func transmit(_ fd: CInt, _ seed: UInt8) -> Bool {
        let piece = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 31) &+ seed }
        var sent = 0
        while sent < total {
          let offset = sent % piece.count
          let count = RelayBench.send(fd, Array(piece[offset...]))
          guard count > 0 else { return false }
          sent += count
        }
        shutdown(fd, CInt(SHUT_WR))
        return sent == total
      }
      @Sendable func check(_ fd: CInt, _ seed: UInt8) -> Int {
        let piece = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 31) &+ seed }
        var bytes = [UInt8](repeating: 0, count: 65536)
        var read = 0
        while true {
          let count = recv(fd, &bytes, bytes.count, 0)
          guard count > 0 else { return count < 0 ? -Int(errno) : read }
          let offset = read % piece.count
          let head = min(count, piece.count - offset)
          guard bytes[..<head].elementsEqual(piece[offset..<offset + head]),
            bytes[head..<count].elementsEqual(piece[..<(count - head)])
          else { return -1_000_000 - read }
          read += count
        }
      }
      // Threads of their own: all four wait for each other, and the pool has two.
      async let up = OwnThread.run { transmit(client, 1) }
      async let down = OwnThread.run { transmit(server, 2) }
      async let atServer = OwnThread.run {
        usleep(300_000)
        return check(server, 1)
      }
      async let atClient = OwnThread.run { check(client, 2) }
      let sent = await (up, down)
      let read = await (atServer, atClient)
      #expect(sent == (true, true))
      #expect(read == (total, total))
      close(client)
      close(server)
    }
  }

  @Test("who policy denies is reset, and nothing is dialled")
  func denied() async throws {
    try await self.with(TunnelBench()) { bench in
      bench.policy.denies.withLock { $0 = "policy_denied" }
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused1 = try await bench.refused(bench.far)
      #expect(refused1 == ["policy_denied": 1])
      _ = fcntl(bench.server, F_SETFL, O_NONBLOCK)
      #expect(accept(bench.server, nil, nil) == -1)
    }
  }

  @Test("an impostor is not spoken to")
  func impostor() async throws {
    try await self.with(TunnelBench(server: "other")) { bench in
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused2 = try await bench.refused(bench.near)
      #expect(refused2["tls_wrong_identity"] == 1)
      let refused3 = try await bench.refused(bench.far)
      #expect(refused3 == ["tls_alert": 1])
    }
  }

  @Test("no proxy for others: an address that is not a resident's is refused")
  func elsewhere() async throws {
    try await self.with(TunnelBench(addresses: [.loopbackV4])) { bench in
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused = try await bench.refused(bench.far)
      #expect(refused == ["tunnel_elsewhere": 1])
    }
  }

  @Test(
    "what a CONNECT may name",
    arguments: [
      ("127.0.0.2:80", "tunnel_elsewhere"), ("[::1]:80", "tunnel_elsewhere"),
      ("169.254.169.254:80", "tunnel_elsewhere"), ("0.0.0.0:80", "tunnel_elsewhere"),
      ("10.0.0.1:15008", "tunnel_own_port"), ("10.0.0.1:15001", "tunnel_own_port"), ("10.0.0.1:0", "tunnel_authority"),
    ])
  func targets(text: String, reason: String) throws {
    let own = try #require(IPAddress("10.0.0.1"))
    let refusal = try #require(TunnelEntrance.Refusal(rawValue: reason))
    #expect(TunnelEntrance.target(text.utf8, at: [own]) == .failure(refusal))
    #expect(TunnelEntrance.target("10.0.0.1:80".utf8, at: [own]) == .success(SocketEndpoint(own, 80)))
  }

  @Test(
    "authorities that are none",
    arguments: [
      "a:b:c", "127.0.0.1:99999", ":80", "[::1", "[::1]", "localhost:80", "127.0.0.1", "[::ffff:127.0.0.1]:80", "",
      String(repeating: "1", count: 10_000), "127.0.0.1:080", "127.0.0.1:+80",
    ])
  func authorities(text: String) {
    #expect(TunnelEntrance.target(text.utf8, at: [.loopbackV4]) == .failure(.authority))
  }

  @Test("who shares an address is chosen by name")
  func several() async throws {
    let name = WorkloadEntry.serverName(of: try #require(TunnelBench.workload))
    try await self.with(TunnelBench(residents: [name: "server", "w-0123456789abcde0": "other"])) { bench in
      let client = bench.dial()
      #expect(RelayBench.send(client, [1]) == 1)
      let server = bench.accept()
      #expect(RelayBench.receive(server) == 1)
      close(server)
      close(client)
    }
    try await self.with(TunnelBench(residents: ["w-0123456789abcde0": "other"])) { bench in
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused = try await bench.refused(bench.far)
      #expect(refused == ["tls_unknown_name": 1])
    }
  }

  @Test("a workload without a certificate reaches no other node; a port where nobody listens is a reset")
  func nothing() async throws {
    try await self.with(TunnelBench()) { bench in
      bench.nearShelf.retain([])
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused6 = try await bench.refused(bench.near)
      #expect(refused6 == ["no_tunnel": 1])
    }
    try await self.with(TunnelBench(port: 1)) { bench in
      let client = bench.dial()
      #expect(RelayBench.receive(client) == -Int(ECONNRESET))
      close(client)
      let refused7 = try await bench.refused(bench.far)
      #expect(refused7 == ["upstream_failed": 1])
    }
  }
}
