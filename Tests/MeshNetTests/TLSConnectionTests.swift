import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTestSupport
import Testing

/// Connections to a port with TLSRoutes, through real sockets. Nobody here speaks TLS beyond the first message: nor does the proxy.
@Suite("TLS connections led by name", .serialized)
struct TLSConnectionTests {
  /// `one.test` goes to the first backend, `*.two.test` to the second, `gone.test` to nobody.
  private func with(
    headTimeout: UInt64 = 5000, _ body: (HTTPBench) async throws -> Void
  ) async throws {
    var configuration = HTTPConfiguration.defaults
    configuration.headTimeout = headTimeout
    let bench = try await HTTPBench(backends: 2, configuration, appProtocol: .tls)
    let names = try ["web-0", "web-1"].map { try #require(ResourceName("a/\($0)")) }
    let version = ContentVersion(value: 2)
    func rule(_ host: String, _ backend: ResourceName, isValid: Bool = true) -> TLSRule {
      TLSRule(
        route: names[0], hostnames: [host],
        backends: [Backend(service: backend, port: bench.listen.port, isValid: isValid)])
    }
    let port = ServicePort(
      port: bench.listen.port, appProtocol: .tls, backends: [Backend(service: names[0], port: bench.listen.port)],
      tlsRules: [rule("one.test", names[0]), rule("*.two.test", names[1]), rule("gone.test", names[0], isValid: false)])
    var entries = [
      VersionedEntry(
        .service(ServiceEntry(name: names[0], addresses: [bench.listen.address], ports: [port])), version: version)
    ]
    for (name, backend) in zip(names, bench.backends) {
      let target = RelayBench.endpoint(of: backend)
      let endpoint = Endpoint(
        addresses: [target.address], ports: [PortMapping(servicePort: bench.listen.port, targetPort: target.port)])
      entries.append(
        VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version))
    }
    await bench.relay.use(RoutingTable(Snapshot(entries)))
    try await body(bench)
    await bench.end()
  }

  @Test("the ClientHello and all that follows arrive unchanged, at the backend that its name says")
  func passes() async throws {
    try await self.with { bench in
      for (name, backend) in [("one.test", 0), ("x.y.TWO.test", 1)] {
        let client = bench.dial()
        let hello = ClientHello(name).records(of: 40)
        client.send(hello + Array("and more".utf8))
        let server = bench.accept(backend)
        #expect(server.read(hello.count + 8) == hello + Array("and more".utf8))
        server.send("answer")
        #expect(client.read(6) == Array("answer".utf8))
        client.end()
        #expect(server.readAll() == ("", 0))
        server.send("late")
        server.end()
        #expect(client.readAll() == ("late", 0))
      }
      #expect(bench.isUndialled(0) && bench.isUndialled(1))
    }
  }

  @Test("a ClientHello that comes byte by byte; nobody is dialled before it is whole")
  func slow() async throws {
    try await self.with { bench in
      let client = bench.dial()
      let hello = ClientHello("one.test").records()
      for byte in hello.dropLast() { client.send([byte]) }
      #expect(bench.isUndialled(0))
      client.send([hello[hello.count - 1]])
      #expect(bench.accept(0).read(hello.count) == hello)
    }
  }

  @Test("what leads nowhere is closed with its reason, and no backend sees a byte; without a route the client is told")
  func refused() async throws {
    try await self.with { bench in
      let alert = String(decoding: [21, 3, 1, 0, 2, 2, 112] as [UInt8], as: UTF8.self)
      var large = ClientHello("one.test")
      large.extensions.append((21, Array(repeating: 0, count: 20_000)))
      let two = ClientHello.vector(2, [0, 0, 1, 97, 0, 0, 1, 98])
      var twice = ClientHello("one.test")
      twice.extensions[1].content = two
      for (bytes, reason, answer) in [
        (ClientHello("two.test").records(), "tls_no_route", alert), (ClientHello(nil).records(), "tls_no_name", alert),
        (ClientHello("gone.test").records(), "invalid_backend", ""),
        (Array("GET / HTTP/1.1\r\n\r\n".utf8), "not_tls", ""),
        (large.records(), "tls_hello_too_large", ""), (twice.records(), "tls_malformed", ""),
        (ClientHello("192.0.2.1").records(), "tls_bad_name", ""),
      ] as [([UInt8], String, String)] {
        let client = bench.dial()
        client.send(bytes)
        #expect(client.readAll().text == answer, "\(reason)")
        let counters = try await bench.counters { $0.refused[reason] != nil }
        #expect(counters.refused[reason] == 1, "\(reason): \(counters.refused)")
      }
      #expect(bench.isUndialled(0) && bench.isUndialled(1))
      #expect(try await bench.counters { $0.active == 0 }.active == 0)
    }
  }

  @Test(
    "H1-33: whoever waits for the server to speak first, or stops in the middle, is closed in time and never let through"
  )
  func silent() async throws {
    try await self.with(headTimeout: 200) { bench in
      let silent = bench.dial()
      let half = bench.dial()
      half.send(Array(ClientHello("one.test").records().prefix(60)))
      #expect(silent.readAll().text == "" && half.readAll().text == "")
      let counters = try await bench.counters { $0.refused["tls_hello_timeout"] == 2 }
      #expect(counters.refused["tls_hello_timeout"] == 2)
      let cut = bench.dial()
      cut.send(Array(ClientHello("one.test").records().prefix(60)))
      cut.end()
      #expect(cut.readAll().text == "")
      #expect(try await bench.counters { $0.refused["tls_hello_cut"] == 1 }.refused["tls_hello_cut"] == 1)
      #expect(bench.isUndialled(0) && bench.isUndialled(1))
    }
  }
}
