import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The same for calls of gRPC, and for a client of HTTP/2 whose server speaks HTTP/1.1.
extension HTTPRootTests {
  private static func canary(calls first: Int, _ second: Int) -> String {
    """
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: GRPCRoute
    metadata: {name: canary, namespace: demo}
    spec:
      parentRefs: [{group: "", kind: Service, name: web, port: 80}]
      rules:
        - matches: [{method: {service: demo.Shop}}]
          backendRefs: [{name: one, port: 80, weight: \(first)}, {name: two, port: 80, weight: \(second)}]

    """
  }

  /// By curl and HTTP/2's prior knowledge. Body, and what `format` asks for.
  private static func ask(_ shop: Shop, _ path: String, _ format: String) throws -> String {
    try shop.client.run(
      ["curl", "-s", "-m", "5", "--http2-prior-knowledge", "-w", format, "http://\(Self.vip)\(path)"]
    ).stdout
  }

  @Test("calls on one connection follow a canary from 90/10 to 0/100, and an endpoint that goes: none is lost")
  func callCanary() throws {
    let servers = ["/usr/bin/python3", "-c", Programs.callServer]
    try self.with("callcanary", servers: ["one", "two", "more"], program: servers) { shop in
      func apply(_ first: Int, _ second: Int, more: String) throws {
        let services = [("web", Self.vip, "one"), ("one", nil, "one"), ("two", nil, "two")]
          .map { Self.service($0, ip: $1, app: $2, appProtocol: "grpc") }
        try shop.apply({ $0 == "more" ? more : $0 }, services.joined() + Self.canary(calls: first, second))
      }
      try apply(90, 10, more: "two")
      try shop.mesh.start()
      #expect(
        try eventually { try Self.ask(shop, "/demo.Shop/Ask", "%{http_code}").hasSuffix("200") },
        "\(shop.mesh.agent?.stderr ?? "")")
      let load = try shop.load(["/usr/bin/python3", "-c", Programs.callLoad])
      #expect(eventually(within: .seconds(20)) { load.count("one") > 500 }, "\(load.lines.suffix(10))")
      let (first, second) = (load.count("one"), load.count("two") + load.count("more"))
      let share = Double(second) / Double(first + second)
      #expect(share > 0.04 && share < 0.2, "\(first) \(second)")
      #expect(load.count("two") > 0 && load.count("more") > 0)

      try apply(0, 100, more: "two")
      #expect(eventually(within: .seconds(20)) { load.isServed(by: ["two", "more"]) }, "\(load.lines.suffix(10))")
      try apply(0, 100, more: "nothing")
      #expect(eventually(within: .seconds(20)) { load.isServed(by: ["two"]) }, "\(load.lines.suffix(10))")
      let gone = load.lines.count
      try shop.servers[2].kill()
      #expect(eventually { load.lines.count > gone + 5 })
      #expect(load.count("more", from: gone) == 0 && load.count("one", from: gone) == 0)
      #expect(load.failures.isEmpty, "\(load.failures.count) of \(load.lines): \(load.failures.prefix(5))")
      try load.process.stop()
    }
  }

  @Test("curl by HTTP/2's prior knowledge is answered in HTTP/2 by a server of HTTP/1.1")
  func bridge() throws {
    try self.with("bridge", servers: ["one"]) { shop in
      try shop.apply({ $0 }, Self.service("web", ip: Self.vip, app: "one"))
      try shop.mesh.start()
      #expect(try eventually { try shop.get("http://\(Self.vip)/") == "200 one" })
      #expect(try Self.ask(shop, "/", " %{http_code} %{http_version}") == "one 200 2")
    }
  }
}
