import Glibc
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Two hosts, each with its agent and proxy, one control plane: what is between them is encrypted, and both ends are known.
@Suite("Between hosts", .serialized)
struct TunnelRootTests {
  static let vip = "240.0.0.10"

  /// `client` and `impostor` on host `a`, where the control plane is too; `server` on host `b`, which admits the client.
  struct Pair {
    let wire: WorldWire
    let first: Mesh
    let second: Mesh
    let client: WorldPod
    let impostor: WorldPod
    let server: WorldPod
    let network: String?

    init(_ world: World, _ routing: WorldRouting, parsesHTTP: Bool) throws {
      let a = try world.node("a", v4: "10.77.1.1/24", v6: "fd77:1::1/64")
      let b: WorldNode
      switch routing {
      case .flat: b = try world.node("b", v4: "10.77.2.1/24", v6: "fd77:2::1/64")
      case .separate: b = try world.node("b", v4: "10.77.1.1/24", v6: "fd77:1::1/64")
      }
      self.wire = try world.wire(a, b, routing)
      self.client = try a.pod("client", v4: "10.77.1.2")
      self.impostor = try a.pod("impostor", v4: "10.77.1.4")
      switch routing {
      case .flat:
        self.server = try b.pod("server", v4: "10.77.2.3")
        self.network = "flat"
      case .separate:
        // The impostor's address, on the other host.
        self.server = try b.pod("server", v4: "10.77.1.4")
        self.network = nil
      }
      try self.server.startEcho(port: 9000)
      self.first = try Mesh(world, node: a)
      self.second = try Mesh(world, node: b, part: "b")
      for mesh in [self.first, self.second] { mesh.parsesHTTP = parsesHTTP }
      try self.apply()
      let place = "\(self.wire.first.address):15012"
      self.first.controlOptions = ["--listen", place]
      try self.first.startControl()
      for mesh in [self.first, self.second] {
        let file = world.directory + "/token-\(mesh.node.name)"
        var token = ""
        let isMade = try eventually {
          token = try self.control(["token", "create", "--node", mesh.node.name]).stdout
          return !token.isEmpty
        }
        #expect(isMade)
        try DiskFile.write(Array(token.utf8), to: file, mode: 0o600)
        mesh.agentOptions = ["--control-plane", place, "--join-token-file", file]
      }
      // Its way to the control plane is its own address, which is none of the wire for the host that has it.
      self.first.agentOptions += ["--node-address", "\(self.wire.first.address)"]
      for mesh in [self.first, self.second] { try mesh.startAgent() }
      for mesh in [self.first, self.second] { try mesh.waitUntilReady() }
      for (mesh, count) in [(self.first, 2), (self.second, 1)] {
        let hasAll = try eventually(within: .seconds(20)) {
          try mesh.martlet(["show", "certificates", "-o", "json"]).stdout.split(separator: "\"serial\"").count == count
            + 1
        }
        #expect(hasAll, "certificates of host \(mesh.node.name)")
      }
    }

    func control(_ arguments: [String]) throws -> Finished {
      try self.first.node.run(
        [Mesh.binaries + "/martlet"] + arguments + ["--api-socket", self.first.runDirectory + "/api.sock"])
    }

    func apply(_ more: String = "", allowing caller: String = "client") throws {
      try self.first.apply(
        Manifest.workload("client", self.client, network: self.network)
          + Manifest.workload("impostor", self.impostor, network: self.network)
          + Manifest.workload("server", self.server, network: self.network)
          + Manifest.service("server", ip: TunnelRootTests.vip) + Manifest.allow(caller, to: "server") + more)
    }
  }

  private func withPair(
    _ name: String, _ routing: WorldRouting = .flat, parsesHTTP: Bool = false, _ body: (Pair) throws -> Void
  ) throws {
    let world = try World(name)
    defer { try? world.close() }
    let pair = try Pair(world, routing, parsesHTTP: parsesHTTP)
    do {
      try body(pair)
    } catch {
      Issue.record("agents: \(pair.first.agent?.stderr ?? "")\n\(pair.second.agent?.stderr ?? "")")
      throw error
    }
  }

  /// Both hosts' logs, for who has to find out.
  private func logs(_ pair: Pair) -> Comment {
    "a: \(pair.first.agent?.stderr.suffix(4000) ?? "")\nb: \(pair.second.agent?.stderr.suffix(4000) ?? "")"
  }

  @Test(
    "by service and by address a call to the other host is answered, an impostor's is not, and nobody between sees a word"
  )
  func flat() throws {
    try self.withPair("flat") { pair in
      let capture = try pair.wire.second.node.start(
        ["python3", "-u", "-c", Self.capture, pair.wire.second.interface, "hello", "cluster.local"])
      #expect(eventually { capture.stdout.contains("listening") })
      let isAnswered = try eventually(within: .seconds(10)) {
        try pair.client.call("\(Self.vip):80") == .answer("hello")
      }
      #expect(isAnswered, self.logs(pair))
      #expect(try pair.client.call("10.77.2.3:9000") == .answer("hello"), self.logs(pair))
      #expect(try pair.impostor.call("\(Self.vip):80") != .answer("hello"))
      #expect(try pair.impostor.call("10.77.2.3:9000") != .answer("hello"))
      #expect(eventually { pair.second.agent?.stderr.contains("reason=not_allowed") ?? false }, self.logs(pair))
      _ = try capture.stop()
      #expect(capture.stdout.contains("packets to 15008"), "\(capture.stdout)")
      #expect(!capture.stdout.contains("seen"), "\(capture.stdout)")

      // STRICT lets tunnels in; plaintext of the other host it does not.
      try pair.apply(
        """
        ---
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: default, namespace: demo}
        spec: {mtls: {mode: STRICT}}

        """)
      #expect(
        try eventually {
          try pair.wire.first.node.run(["curl", "-m", "1", "http://10.77.2.3:9000"]).isSuccess == false
        })
      #expect(try pair.client.call("\(Self.vip):80") == .answer("hello"))

      // Whom the policy admits now is admitted now, and who was let in by the one before is cut.
      let held = try pair.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "80"])
      #expect(eventually { held.stdout.contains("open") })
      #expect(!eventually(within: .milliseconds(500)) { held.stdout.contains("ended") })
      try pair.apply(allowing: "impostor")
      #expect(try eventually { try pair.impostor.call("\(Self.vip):80") == .answer("hello") }, self.logs(pair))
      #expect(eventually(within: .seconds(3)) { held.stdout.contains("ended") }, "\(held.stdout)")
      #expect(try eventually { try pair.client.call("\(Self.vip):80") != .answer("hello") })
    }
  }

  @Test(
    "where both hosts have the same addresses, a service leads through the host's own address to the one that is meant")
  func separate() throws {
    try self.withPair("separate", .separate) { pair in
      let isAnswered = try eventually(within: .seconds(10)) {
        try pair.client.call("\(Self.vip):80") == .answer("hello")
      }
      #expect(isAnswered, self.logs(pair))
      #expect(try pair.impostor.call("\(Self.vip):80") != .answer("hello"))
    }
  }

  @Test(
    "requests go to the other host by route and weight, bodies whole both ways; one that breaks off is told as broken")
  func requests() throws {
    try self.withPair("requests", parsesHTTP: true) { pair in
      let near = try pair.first.node.pod("near", v4: "10.77.1.5")
      _ = try near.start(["python3", "-u", "-c", Self.web, "9001", "near"])
      _ = try pair.server.start(["python3", "-u", "-c", Self.web, "9001", "far"])
      try pair.apply(
        Manifest.workload("near", near, labels: "app: near", network: pair.network) + Self.routes)
      func get(_ path: String, _ more: [String] = []) throws -> Finished {
        try pair.client.run(["curl", "-s", "-m", "5"] + more + ["http://240.0.0.20\(path)"])
      }
      let isThere = try eventually(within: .seconds(10)) {
        try get("/far").stdout == "far GET /far 0" && get("/near").stdout == "near GET /near 0"
      }
      #expect(isThere, self.logs(pair))
      var seen: [String: Int] = [:]
      for _ in 0..<60 { seen[String(try get("/any").stdout.prefix(4)), default: 0] += 1 }
      #expect(seen["far ", default: 0] > 10 && seen["near", default: 0] > 10 && seen.count == 2, "\(seen)")
      let body = pair.first.world.newPath("body")
      try DiskFile.write(Array(repeating: 0x61, count: 3_000_000), to: body, mode: 0o644)
      #expect(try get("/far", ["--data-binary", "@" + body]).stdout == "far POST /far 3000000")
      #expect(try get("/far/large").stdout.utf8.count == 3_000_000)
      // Without a length only the end of the connection tells where the body ends: one that is cut must not pass for whole.
      let cut = try get("/far/cut")
      #expect(!cut.isSuccess, "\(cut)")
      #expect(try get("/far").stdout == "far GET /far 0")
      #expect(
        try pair.impostor.run(["curl", "-s", "-m", "5", "http://240.0.0.20/far"]).stdout.hasPrefix("far") == false)
    }
  }

  /// Answers who it is and what it got; `/…/large` with 3,000,000 bytes, `/…/cut` with some bytes and RST.
  private static let web = """
    import http.server, socket, struct, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path.endswith("/cut"):
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\n\\r\\nbegin")
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                # Before the server says FIN.
                socket.close(self.connection.detach())
                return
            text = b"a" * 3000000 if self.path.endswith("/large") else (
                "%s %s %s %d" % (sys.argv[2], self.command, self.path, len(body))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        do_GET = do_POST = do
        protocol_version = "HTTP/1.1"
        def log_message(self, *_): pass
    http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
    """

  /// `web` leads to both, `/near` and `/far` to one each.
  private static let routes =
    ["near", "far"].map { name in
      """
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: \(name), namespace: demo}
      spec:
        clusterIP: 240.0.0.\(name == "near" ? 21 : 22)
        selector: {app: \(name == "near" ? "near" : "server")}
        ports: [{port: 80, targetPort: 9001, appProtocol: http}]

      """
    }.joined() + """
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: web, namespace: demo}
      spec: {clusterIP: 240.0.0.20, selector: {app: none}, ports: [{port: 80, appProtocol: http}]}
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: {name: web, namespace: demo}
      spec:
        parentRefs: [{group: "", kind: Service, name: web}]
        rules:
          - matches: [{path: {type: PathPrefix, value: /near}}]
            backendRefs: [{name: near, port: 80}]
          - matches: [{path: {type: PathPrefix, value: /far}}]
            backendRefs: [{name: far, port: 80}]
          - backendRefs: [{name: near, port: 80}, {name: far, port: 80}]

      """

  /// Tells what of the words is in packets on an interface, and of packets to the port of tunnels. Ends with its input.
  private static let capture = """
    import signal, socket, sys
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((sys.argv[1], 0))
    words = [w.encode() for w in sys.argv[2:]]
    tunnels = 0
    def end(*_):
        print("packets to 15008:", tunnels, flush=True) if tunnels else None
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    print("listening", flush=True)
    while True:
        packet = s.recv(65536)
        if packet[12:14] != b"\\x08\\x00" or packet[23] != 6: continue
        head = 14 + (packet[14] & 15) * 4
        ports = (int.from_bytes(packet[head:head + 2], "big"), int.from_bytes(packet[head + 2:head + 4], "big"))
        if 15012 in ports: continue
        if 15008 in ports: tunnels += 1
        for word in words:
            if word in packet: print("seen", word, ports, flush=True)
    """
}
