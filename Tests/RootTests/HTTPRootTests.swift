import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Requests through the node proxy, routed by what users write.
@Suite("Routes of requests", .serialized)
struct HTTPRootTests {
  static let vip = "240.0.0.50"
  private static let empty = "240.0.0.51"

  /// A client and servers, each a workload of its own; Service `web` leads to those with label `app: web`.
  struct Shop {
    let mesh: Mesh
    let client: WorldPod
    let pods: [WorldPod]
    private(set) var servers: [WorldProcess] = []

    init(_ world: World, servers names: [String], program: [String]) throws {
      let node = try world.node("a")
      self.client = try node.pod("client", v4: "10.77.0.2")
      self.pods = try names.enumerated().map { try node.pod($1, v4: "10.77.0.\($0 + 3)") }
      self.mesh = try Mesh(world, node: node)
      self.mesh.parsesHTTP = true
      for pod in self.pods {
        let server = try pod.start(program + ["9000", pod.name])
        try pod.waitForListener(port: 9000, process: server)
        self.servers.append(server)
      }
    }

    /// `app`: what each server belongs to.
    func apply(_ app: (String) -> String, _ rest: String) throws {
      try self.mesh.apply(
        Manifest.workload("client", self.client)
          + self.pods.map { Manifest.workload($0.name, $0, labels: "app: \(app($0.name))") }.joined() + rest)
    }

    /// Status and body.
    func get(_ url: String) throws -> String {
      try self.client.run(["curl", "-s", "-m", "5", "-w", "\n%{http_code}", url]).stdout
        .split(separator: "\n").reversed().joined(separator: " ")
    }

    func load(_ program: [String] = ["python3", "-c", Programs.httpLoad]) throws -> Load {
      Load(try self.client.start(program + [HTTPRootTests.vip, "80", "60"]))
    }
  }

  /// What `Programs.httpLoad` has said.
  struct Load {
    let process: WorldProcess

    init(_ process: WorldProcess) { self.process = process }

    var lines: [Substring] { self.process.stdout.split(separator: "\n") }
    var failures: [Substring] { self.lines.filter { $0.hasPrefix("failed") } }

    /// Of one server, from this line on.
    func count(_ name: String, from first: Int = 0) -> Int {
      var sum = 0
      for line in self.lines.dropFirst(first) {
        for (server, count) in Self.counts(line) where server == name { sum += count }
      }
      return sum
    }

    /// Whether the last few lines name these servers and no others.
    func isServed(by names: Set<String>) -> Bool {
      let last = self.lines.suffix(3)
      return last.count == 3 && Set(last.flatMap { Self.counts($0).map(\.server) }) == names
    }

    private static func counts(_ line: Substring) -> [(server: String, count: Int)] {
      line.split(separator: " ").compactMap { word in
        let parts = word.split(separator: "=")
        guard parts.count == 2, let count = Int(parts[1]) else { return nil }
        return (String(parts[0]), count)
      }
    }
  }

  static func service(_ name: String, ip: String?, app: String, appProtocol: String = "http") -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: demo}
    spec:
      selector: {app: \(app)}
    \(ip.map { "  clusterIP: \($0)\n" } ?? "")  ports:
        - {name: web, port: 80, targetPort: 9000, appProtocol: \(appProtocol)}
        - {name: bytes, port: 81, targetPort: 9000}

    """
  }

  private static func canary(_ first: Int, _ second: Int) -> String {
    """
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: canary, namespace: demo}
    spec:
      parentRefs: [{group: "", kind: Service, name: web, port: 80}]
      rules:
        - backendRefs: [{name: one, port: 80, weight: \(first)}, {name: two, port: 80, weight: \(second)}]

    """
  }

  func with(
    _ name: String, servers: [String], program: [String] = ["python3", "-c", Programs.httpServer],
    _ body: (Shop) throws -> Void
  ) throws {
    let world = try World(name)
    defer { try? world.close() }
    let shop = try Shop(world, servers: servers, program: program)
    do {
      try body(shop)
    } catch {
      Issue.record("agent: \(shop.mesh.agent?.stderr ?? "")")
      throw error
    }
  }

  @Test("a canary from 90/10 to 0/100 while a load runs, and an endpoint that goes: no request is lost")
  func canary() throws {
    try self.with("canary", servers: ["one", "two", "more"]) { shop in
      func apply(_ first: Int, _ second: Int, more: String) throws {
        try shop.apply(
          { $0 == "more" ? more : $0 },
          Self.service("web", ip: Self.vip, app: "one") + Self.service("one", ip: nil, app: "one")
            + Self.service("two", ip: nil, app: "two") + Self.canary(first, second))
      }
      try apply(90, 10, more: "two")
      try shop.mesh.start()
      #expect(
        try eventually { try shop.get("http://\(Self.vip)/").hasPrefix("200") }, "\(shop.mesh.agent?.stderr ?? "")")
      let load = try shop.load()
      #expect(eventually(within: .seconds(20)) { load.count("one") > 500 }, "\(load.lines.suffix(10))")
      let (first, second) = (load.count("one"), load.count("two") + load.count("more"))
      let share = Double(second) / Double(first + second)
      #expect(share > 0.04 && share < 0.2, "\(first) \(second)")
      #expect(load.count("two") > 0 && load.count("more") > 0)

      try apply(0, 100, more: "two")
      #expect(eventually(within: .seconds(20)) { load.isServed(by: ["two", "more"]) }, "\(load.lines.suffix(10))")
      // Its endpoint goes first, and a moment later its process.
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

  @Test("what cannot be served is answered: 503 nothing ready, 500 no such backend, 404 no match; bytes are refused")
  func unserved() throws {
    try self.with("unserved", servers: ["one"]) { shop in
      let route = """
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: paths, namespace: demo}
        spec:
          parentRefs: [{group: "", kind: Service, name: web, port: 80}]
          rules:
            - matches: [{path: {value: /lost}}]
              backendRefs: [{name: lost, port: 80}]
            - matches: [{path: {value: /empty}}]
              backendRefs: [{name: empty, port: 80}]
            - matches: [{path: {value: /one}}]
              backendRefs: [{name: web, port: 80}]

        """
      try shop.apply(
        { $0 },
        Self.service("web", ip: Self.vip, app: "one") + Self.service("empty", ip: Self.empty, app: "nobody") + route)
      try shop.mesh.start()
      #expect(try eventually { try shop.get("http://\(Self.vip)/one") == "200 one" })
      let cases = [
        ("http://\(Self.empty)/", "503 no_endpoint"), ("http://\(Self.vip)/empty", "503 no_endpoint"),
        ("http://\(Self.vip)/lost", "500 invalid_backend"), ("http://\(Self.vip)/two", "404 no_route"),
      ]
      for (url, answer) in cases { #expect(try shop.get(url) == answer, "\(url)") }
      #expect(try shop.client.call("\(Self.empty):81") == .refused)
      for reason in ["no_endpoint", "invalid_backend", "no_route"] {
        #expect(
          eventually {
            (shop.mesh.agent?.stderr ?? "").split(separator: "\n").contains {
              $0.contains("request answered by the proxy") && $0.contains("reason=\(reason)")
                && $0.contains("source=demo/client")
            }
          }, "\(reason) \(shop.mesh.agent?.stderr.suffix(3000) ?? "")")
      }
      let explain = try shop.mesh.martlet(["explain", "demo/client", "\(Self.empty):80"]).stdout
      #expect(explain.contains("answers requests by itself"), "\(explain)")

      let rules = try shop.mesh.martlet(["show", "routes", "demo/web"]).stdout
      for words in ["/lost/*", "demo/lost:80*1(invalid)", "demo/empty:80*1(0 ready)", "demo/web:80*1(1 ready)"] {
        #expect(rules.contains(words), "\(rules)")
      }
      let questions = [
        ("/one/more?x", Termination.code(0), "HTTPRoute demo/paths, rule 2 (/one/*)\nSHARE"),
        ("/two", .code(1), "request: no rule, answered by the node proxy: 404 no_route"),
        ("/lost", .code(1), "500 invalid_backend"), ("/empty", .code(1), "503 no_endpoint"),
      ]
      for (path, status, words) in questions {
        let asked = try shop.mesh.martlet(["explain", "demo/client", "demo/web:80", "--path", path])
        #expect(asked.status == status && asked.stdout.contains(words), "\(path) \(asked.stdout)")
      }
    }
  }
}
