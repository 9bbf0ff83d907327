import MeshBase
import MeshLink
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import NIOCore
import Testing

func sampleSnapshot(services: Int = 2) throws -> Snapshot {
  var snapshot = Snapshot()
  snapshot.insert(
    VersionedEntry(
      .config(ConfigEntry(trustDomain: "mesh", connectTimeoutMilliseconds: 500)), version: ContentVersion(value: 1)))
  for number in 0..<services {
    let name = try #require(ResourceName(namespace: "a", name: "web-\(number)"))
    let port = ServicePort(port: 80, appProtocol: .http, backends: [Backend(service: name, port: 80)])
    let address = IPAddress(v4: 0xf000_0000 | UInt32(number))
    snapshot.insert(
      VersionedEntry(
        .service(ServiceEntry(name: name, addresses: [address], ports: [port])),
        version: ContentVersion(value: UInt64(number) + 2)))
  }
  return snapshot
}

@Suite struct LinkFramingTests {
  let codec = LinkCodec(entries: CanonicalEntryCoder())

  private func agentMessages() throws -> [AgentMessage] {
    let entries = try sampleSnapshot().entries
    let name = try #require(ResourceName("shop/front"))
    let identity = try #require(SPIFFEID("spiffe://a.example/ns/shop/sa/front"))
    return [.begin(revision: 7, isFull: true)] + entries.map { .upsert($0) } + [
      .remove(EntryKey(.workload, "a/gone")), .commit(revision: 7), .withdraw(workload: 3),
      .name(workload: UInt32.max, name),
      .retainListeners(cookies: [1, UInt64.max]), .retainListeners(cookies: []), .drain(milliseconds: 300_000),
      .retainNames(cookies: [4, UInt64.max]), .retainNames(cookies: []),
      .identity(IdentityMaterial(identity: identity, chain: [[1, 2], [3]], key: [4, 5, 6], expires: -1)),
      .trust([]),
      .trust([
        TrustMaterial(trustDomain: "a.example", roots: [[7]], revoked: [[8, 9], []]),
        TrustMaterial(trustDomain: "b.example", roots: []),
      ]), .retainIdentities([]), .retainIdentities([identity]),
      .nameServers(
        cookie: 5, servers: [SocketEndpoint(.loopbackV4, 53), SocketEndpoint(.loopbackV6, 5353)]),
      .nameServers(cookie: UInt64.max, servers: []),
    ]
  }

  private let proxyMessages: [ProxyMessage] = [
    .hello(process: 42, version: "0.1.0", isDraining: false),
    .hello(process: 43, version: "0.2.0", isDraining: true), .draining, .applied(revision: UInt64.max),
    .rejected(revision: 1, message: "größer"),
    .stockWanted(StockRequest(workload: 9, isV4: false, count: 64)),
    .stockWanted(StockRequest(workload: 9, isV4: true, count: 8, isForNames: true)),
    .stockWanted(StockRequest(workload: 9, isV4: true, count: 8, destination: IPAddress("10.89.0.2"))),
    .listenerAccepted(ListenerKey(workload: 9, namespaceCookie: 77, isV4: true)),
    .listenerAccepted(ListenerKey(workload: 9, namespaceCookie: 77, isV4: false, isTunnel: true)),
    .stats(
      ProxyStats(
        active: 1, accepted: 2, relayed: 3, sentBytes: 4, receivedBytes: 5,
        refused: [.init(reason: "no_endpoint", count: 6), .init(reason: "no_flow", count: 1)])),
    .costs([]), .costs([WorkloadCost(workload: 7, microseconds: 1, connections: 2, memory: .max)]),
    .nameStats([]), .nameStats([NamedCount("questions", 3), NamedCount("mesh", UInt64.max)]),
    .requests([]), .requests(Self.requests), .upstreams(isFirst: true, []),
    .upstreams(isFirst: false, Self.upstreams),
  ]

  private static let upstreams = {
    guard let name = ResourceName(namespace: "shop", name: "web") else { return [UpstreamState]() }
    var state = UpstreamState(service: name, port: 80)
    state.open = [.requests: 3]
    state.overflows = [.retries: UInt64.max]
    state.retriesOverBudget = 7
    state.ejections = [.successRate: 2]
    state.endpoints = [
      EndpointState(
        endpoint: EndpointIdentity(target: SocketEndpoint(.loopbackV4, 53), workload: name),
        health: .ejected(.consecutiveErrors, until: UInt64.max), openAttempts: 9, latencyMicroseconds: 0,
        ejections: [.consecutiveErrors: 1, .successRate: 2]),
      EndpointState(
        endpoint: EndpointIdentity(target: SocketEndpoint(.loopbackV6, 53), workload: nil), health: .starting(40)),
      EndpointState(endpoint: EndpointIdentity(target: SocketEndpoint(.loopbackV4, 54), workload: nil)),
    ]
    return [state, UpstreamState(service: name, port: 81)]
  }()

  private static let requests = {
    var histogram = RequestHistogram()
    for index in histogram.counts.indices { histogram.counts[index] = UInt64(index) }
    histogram.sum = UInt64.max
    let series = [
      RequestSeries(source: 7, kind: .grpc, status: 200, grpcStatus: 14, flags: [.noRoute, .durationTimeout]),
      RequestSeries(source: 0, status: 503), .overflow,
    ]
    return series.enumerated().map { index, series in
      RequestCount(
        series: series, service: index == 0 ? ResourceName(namespace: "shop", name: "web") : nil,
        destination: index == 1 ? ResourceName(namespace: "shop", name: "web-1") : nil, duration: histogram,
        requestBytes: RequestHistogram(), responseBytes: histogram)
    }
  }()

  @Test("every message survives, fed whole, byte by byte and in pieces of seven", arguments: [1, 7, Int.max])
  func roundTrip(piece: Int) throws {
    let down = try self.agentMessages()
    var bytes = ByteBuffer()
    for message in down { try self.codec.write(message, to: &bytes) }
    #expect(try self.frames(bytes, piece).map { try self.codec.agentMessage($0) } == down)
    var up = ByteBuffer()
    for message in self.proxyMessages { self.codec.write(message, to: &up) }
    #expect(try self.frames(up, piece).map { try self.codec.proxyMessage($0) } == self.proxyMessages)
  }

  private func frames(_ bytes: ByteBuffer, _ piece: Int) throws -> [LinkFraming.Frame] {
    var rest = bytes
    var framing = LinkFraming()
    var frames: [LinkFraming.Frame] = []
    while let slice = rest.readSlice(length: min(piece, rest.readableBytes)), slice.readableBytes > 0 {
      framing.append(slice)
      while let frame = try framing.next() { frames.append(frame) }
    }
    #expect(framing.pendingBytes == 0)
    return frames
  }

  @Test(
    "a frame of length 0 or over the limit is an error before its body comes", arguments: [UInt32(0), 101, UInt32.max])
  func badLength(length: UInt32) {
    var framing = LinkFraming(maximumLength: 100)
    framing.append(ByteBuffer(integer: length))
    #expect(throws: MeshError.self) { try framing.next() }
  }

  @Test("a frame of an unknown kind, or of the other direction, is an error", arguments: UInt8.min...UInt8.max)
  func kinds(kind: UInt8) throws {
    let frame = LinkFraming.Frame(kind: kind, body: ByteBuffer())
    // Those that an empty body is complete for.
    if ![6, 9, 12, 13].contains(kind) { #expect(throws: MeshError.self) { try self.codec.agentMessage(frame) } }
    if ![71, 72, 73, 74].contains(kind) { #expect(throws: MeshError.self) { try self.codec.proxyMessage(frame) } }
  }

  @Test("a body that is cut anywhere or has a byte too many is an error")
  func bodies() throws {
    for message in self.proxyMessages {
      var bytes = ByteBuffer()
      self.codec.write(message, to: &bytes)
      let frame = try #require(try self.frames(bytes, Int.max).first)
      for cut in 0..<frame.body.readableBytes {
        let short = LinkFraming.Frame(
          kind: frame.kind, body: try #require(frame.body.getSlice(at: frame.body.readerIndex, length: cut)))
        // Counters may end after any whole reason: the list is the rest of the frame.
        if case .stats = message, (try? self.codec.proxyMessage(short)) != nil { continue }
        if case .nameStats = message, (try? self.codec.proxyMessage(short)) != nil { continue }
        if case .costs = message, (try? self.codec.proxyMessage(short)) != nil { continue }
        if case .requests = message, (try? self.codec.proxyMessage(short)) != nil { continue }
        #expect(throws: MeshError.self) { try self.codec.proxyMessage(short) }
      }
      var long = frame
      long.body.writeInteger(UInt8(0))
      #expect(throws: MeshError.self) { try self.codec.proxyMessage(long) }
    }
  }

  @Test("random bytes give frames or an error, and never more than was fed")
  func noise() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      var framing = LinkFraming(maximumLength: 64)
      framing.append(
        ByteBuffer(bytes: (0..<Int.random(in: 0..<80)).map { _ in UInt8.random(in: 0...8, using: &random) }))
      while true {
        guard let frame = try? framing.next() else { break }
        _ = try? self.codec.agentMessage(frame)
        _ = try? self.codec.proxyMessage(frame)
      }
    }
  }
}
