import Glibc
import Logging
import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import Synchronization
import Testing

/// The proxy's HTTP on loopback, with blocking sockets as its client and its backends.
final class HTTPBench {
  let relay: Relay
  let listen: SocketEndpoint
  let backends: [CInt]
  private let endpoints: [SocketEndpoint]
  private var shape: Shape
  /// That holds now.
  private(set) var table: RoutingTable

  /// Of what is served.
  private struct Shape {
    var appProtocol: AppProtocol
    var traffic: TrafficSettings?
    /// All backends are endpoints of the first service.
    var isOne: Bool
    /// Of the table: what did not change is not compiled again.
    var number: UInt64 = 1
  }

  /// - rules: nil: the service itself, whose endpoint is the first backend. Else a rule's backend `a/web-N` is the Nth.
  /// - traffic: what a TrafficPolicy says of all services.
  /// - isOne: all backends are endpoints of the first service.
  init(
    backends count: Int = 1, _ configuration: HTTPConfiguration = .defaults, rules: [HTTPRule]? = nil,
    appProtocol: AppProtocol = .http, traffic: TrafficSettings? = nil, isOne: Bool = false,
    connectTimeout: UInt32 = 2000, loops: Int = 1, accessLog: AccessLog? = nil,
    strain: SharedStrain = SharedStrain()
  ) async throws {
    let any = SocketEndpoint(.loopbackV4, 0)
    self.shape = Shape(appProtocol: appProtocol, traffic: traffic, isOne: isOne)
    self.backends = try (0..<count).map { _ in
      let descriptor = try LocalListener.open(any)
      _ = fcntl(descriptor, F_SETFL, 0)
      RelayBench.limit(descriptor)
      return descriptor
    }
    self.endpoints = self.backends.map { RelayBench.endpoint(of: $0) }
    let listener = try LocalListener.open(any)
    self.listen = RelayBench.endpoint(of: listener)
    self.relay = try Relay(
      loops: loops, stock: nil, sweepInterval: 100, http: configuration, accessLog: accessLog, strain: strain,
      logger: Logger(label: "test") { _ in Silent() })
    self.table = try Self.table(self.listen, self.endpoints, rules, self.shape, connectTimeout)
    await self.relay.use(self.table)
    let flow = AcceptedFlow(original: self.listen, sourceWorkload: 7, namespaceCookie: 1)
    _ = try self.relay.listen(listener, .init { _ in .success(flow) })
  }

  private struct Silent: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.critical
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { nil }
      set {}
    }
    func log(event: LogEvent) {}
  }

  private static func table(
    _ listen: SocketEndpoint, _ backends: [SocketEndpoint], _ rules: [HTTPRule]?, _ shape: Shape, _ timeout: UInt32,
    without gone: Set<Int> = [], previous: RoutingTable? = nil
  ) throws -> RoutingTable {
    let version = ContentVersion(value: shape.number)
    var entries: [VersionedEntry] = [
      VersionedEntry(.config(ConfigEntry(trustDomain: "m", connectTimeoutMilliseconds: timeout)), version: version)
    ]
    for (number, backend) in backends.enumerated() {
      let name = try #require(ResourceName("a/web-\(number)"))
      var port = ServicePort(
        port: listen.port, appProtocol: shape.appProtocol, backends: [Backend(service: name, port: listen.port)],
        traffic: shape.traffic)
      if number == 0 { port.routing = rules.map { HTTPRouting(rules: $0) } }
      let served = shape.isOne ? (number == 0 ? Array(backends.indices) : []) : [number]
      let endpoints = served.filter { backends[$0].port != 0 && !gone.contains($0) }.map { served in
        Endpoint(
          addresses: [backend.address],
          ports: [PortMapping(servicePort: listen.port, targetPort: backends[served].port)])
      }
      entries.append(
        VersionedEntry(
          .service(ServiceEntry(name: name, addresses: number == 0 ? [listen.address] : [], ports: [port])),
          version: version))
      entries.append(
        VersionedEntry(
          .endpoints(EndpointsEntry(service: name, endpoints: endpoints)), version: version))
    }
    return RoutingTable(Snapshot(entries), previous: previous)
  }

  /// A rule for all requests that a prefix matches, to the backends by number.
  func rule(_ prefix: String, to backends: [Int], filters: [HTTPFilter] = []) throws -> HTTPRule {
    try Self.rule(prefix, to: backends, port: self.listen.port, filters: filters)
  }

  static func rule(
    _ prefix: String, to backends: [Int], port: UInt16, filters: [HTTPFilter] = []
  ) throws -> HTTPRule {
    HTTPRule(
      origin: RouteOrigin(kind: .http, name: try #require(ResourceName("a/r")), rule: 0),
      matches: [HTTPMatch(path: .prefix(prefix))], filters: filters,
      backends: try backends.map { HTTPBackend(service: try #require(ResourceName("a/web-\($0)")), port: port) })
  }

  /// - gone: backends that are no endpoints any more.
  func use(_ rules: [HTTPRule]?, without gone: Set<Int> = []) async throws {
    self.shape.number += 1
    self.table = try Self.table(
      self.listen, self.endpoints, rules, self.shape, 2000, without: gone, previous: self.table)
    await self.relay.use(self.table)
  }

  /// The numbers of the first service.
  var record: UpstreamRecord? { self.table.route(to: self.listen)?.record }

  func end() async {
    for backend in self.backends { close(backend) }
    await self.relay.stop()
  }

  // MARK: both ends

  func dial() -> Peer { Peer(RelayBench.dial(self.listen)) }

  func accept(_ backend: Int = 0) -> Peer {
    let descriptor = Glibc.accept(self.backends[backend], nil, nil)
    #expect(descriptor >= 0)
    RelayBench.limit(descriptor)
    return Peer(descriptor)
  }

  /// Whether nobody has dialled the backend.
  func isUndialled(_ backend: Int = 0) -> Bool {
    var poll = pollfd(fd: self.backends[backend], events: Int16(POLLIN), revents: 0)
    return Glibc.poll(&poll, 1, 50) == 0
  }

  func counters(until done: (RelayCounters) -> Bool) async throws -> RelayCounters {
    for _ in 0..<3000 {
      let counters = await self.relay.counters()
      if done(counters) { return counters }
      try await Task.sleep(for: .milliseconds(10))
    }
    return await self.relay.counters()
  }

  /// One end of a connection, spoken text on. Unchecked: a test that hands one to a task leaves it alone until that is done.
  final class Peer: @unchecked Sendable {
    let descriptor: CInt
    private var held: [UInt8] = []

    init(_ descriptor: CInt) {
      self.descriptor = descriptor
      var one: CInt = 1
      setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
    }

    deinit { close(self.descriptor) }

    func send(_ text: String) { self.send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
      var sent = 0
      while sent < bytes.count {
        let count = RelayBench.send(self.descriptor, Array(bytes[sent...]))
        guard count > 0 else { return }
        sent += count
      }
    }

    /// Everything up to `end` and with it; what came until the stream ended, if that is first.
    func read(through end: String) -> String {
      let end = Array(end.utf8)
      var looked = 0
      while true {
        if let found = Self.find(end, in: self.held, from: looked) {
          let result = self.held[..<(found + end.count)]
          self.held.removeFirst(found + end.count)
          return String(decoding: result, as: UTF8.self)
        }
        looked = max(0, self.held.count - end.count)
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = recv(self.descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return String(decoding: self.held, as: UTF8.self) }
        self.held += bytes[..<count]
      }
    }

    func readHead() -> String { self.read(through: "\r\n\r\n") }

    func read(_ count: Int) -> [UInt8] {
      while self.held.count < count {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let got = recv(self.descriptor, &bytes, bytes.count, 0)
        guard got > 0 else { break }
        self.held += bytes[..<got]
      }
      defer { self.held.removeFirst(min(count, self.held.count)) }
      return Array(self.held.prefix(count))
    }

    /// What is left until the stream ends, and how it does: 0 or -errno.
    func readAll() -> (text: String, end: Int) {
      while true {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = recv(self.descriptor, &bytes, bytes.count, 0)
        guard count > 0 else {
          let end = count < 0 ? -Int(errno) : 0
          defer { self.held = [] }
          return (String(decoding: self.held, as: UTF8.self), end)
        }
        self.held += bytes[..<count]
      }
    }

    func end() { shutdown(self.descriptor, CInt(SHUT_WR)) }

    /// Ends it with RST, now.
    func reset() {
      var none = sockaddr(sa_family: sa_family_t(AF_UNSPEC), sa_data: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
      connect(self.descriptor, &none, socklen_t(MemoryLayout<sockaddr>.size))
    }

    /// Nothing comes within a moment.
    var isSilent: Bool {
      var poll = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
      return self.held.isEmpty && Glibc.poll(&poll, 1, 50) == 0
    }

    private static func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
      guard bytes.count >= needle.count else { return nil }
      for at in start...(bytes.count - needle.count) where bytes[at..<(at + needle.count)].elementsEqual(needle) {
        return at
      }
      return nil
    }
  }
}
