import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// A TrafficPolicy from its file to who is called.
extension ReadinessRootTests {
  @Test(
    "a TrafficPolicy has the workloads of its Service asked by HTTP and gRPC: who answers wrongly, or not at all, is out within the thresholds, told why, and comes back"
  )
  func healthChecks() throws {
    let world = try World("probes")
    defer { try? world.close() }
    let node = try world.node("a")
    let client = try node.pod("client", v4: "10.77.0.2")
    let web = try node.pod("web", v4: "10.77.0.3")
    let calls = try node.pod("calls", v4: "10.77.0.5")
    let mesh = try Mesh(world, node: node)
    let states = ["web", "calls"].map { mesh.stateDirectory + "/" + $0 }
    func set(_ index: Int, _ word: String) throws {
      try word.write(toFile: states[index], atomically: true, encoding: .utf8)
    }
    try set(0, "200")
    try set(1, "1")
    let servers = [
      try web.start(["python3", "-c", Self.httpServer, "9000", states[0]]),
      try calls.start(["python3", "-c", Self.grpcServer, "9000", states[1]]),
    ]
    for (pod, server) in zip([web, calls], servers) { try pod.waitForListener(port: 9000, process: server) }
    func policy(_ name: String, _ check: String) -> String {
      """
      ---
      apiVersion: martlet.dev/v1alpha1
      kind: TrafficPolicy
      metadata: {name: \(name), namespace: demo}
      spec:
        targetRefs: [{group: "", kind: Service, name: \(name)}]
        healthCheck: {\(check), interval: 500ms, timeout: 400ms, unhealthyThreshold: 2, healthyThreshold: 2}

      """
    }
    let plain =
      Manifest.workload("client", client) + Manifest.workload("web", web) + Manifest.workload("calls", calls)
      + Manifest.service("web", ip: Self.vip) + Manifest.service("calls", ip: "240.0.0.8")
    try mesh.apply(plain)
    mesh.agentOptions = ["--locality", "eu/eu-a"]
    try mesh.start()
    // Where the host is, its proxy is told.
    let proxy = try #require(try mesh.proxies().first)
    let words = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(proxy)/cmdline")).split(separator: 0)
    #expect(words.map { String(decoding: $0, as: UTF8.self) }.suffix(2) == ["--locality", "eu/eu-a"])
    for name in ["web", "calls"] { try self.said(mesh, name, "yes Ready") }
    // Who serves already goes on while checks begin.
    let loop = try client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80"])
    #expect(eventually { loop.stdout.contains("ok") })
    try mesh.apply(
      plain + policy("web", "http: {path: \"/healthz?deep=1\", host: web.example}")
        + policy("calls", "grpc: {service: shop.Cart}")
        + policy("younger", "tcp: {}").replacingOccurrences(of: "Service, name: younger", with: "Service, name: web"))
    #expect(eventually { servers[0].stdout.contains("GET") && servers[1].stdout.contains("shop.Cart") })
    for name in ["web", "calls"] { try self.said(mesh, name, "yes Ready") }
    let done = try loop.stop()
    #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    // Two checks in a row have to fail: two periods and a timeout, and what the tables take.
    for (index, word, reason) in [
      (0, "503", "HTTP 503"), (0, "204", ""), (0, "hang", "timeout"), (0, "200", ""),
      (0, "garbage", "no answer of HTTP/1.1"),
      (0, "200", ""), (0, "close", "closed without an answer"), (0, "200", ""), (1, "2", "NOT_SERVING"), (1, "1", ""),
      (1, "unimplemented", "grpc-status 12 (unimplemented)"), (1, "1", ""), (1, "hang", "timeout"), (1, "1", ""),
    ] {
      try set(index, word)
      let name = ["web", "calls"][index]
      try self.said(mesh, name, reason.isEmpty ? "yes Ready" : "no CheckFailed(\(reason)", within: Self.bound)
      if index == 0 {
        #expect(
          try eventually { try client.call("\(Self.vip):80") == (reason.isEmpty ? .answer("hello") : .refused) },
          "\(word): \(reason)")
      }
    }
    let seen = servers[0].stdout
    #expect(seen.contains("GET /healthz?deep=1 HTTP/1.1 web.example"), "\(seen.suffix(300))")
    #expect(servers[1].stdout.contains("shop.Cart"), "\(servers[1].stdout.suffix(300))")

    // How the policies are in force.
    func get(_ words: String...) throws -> String {
      let result = try mesh.node.run(
        [Mesh.binaries + "/martlet", "get", "trafficpolicies"] + words
          + ["--api-socket", mesh.runDirectory + "/api.sock"])
      #expect(result.isSuccess, "\(result)")
      return result.stdout
    }
    let table = try get().split(separator: "\n").map { $0.split(separator: " ", omittingEmptySubsequences: true) }
    #expect(
      table.dropFirst().map { $0.prefix(3).joined(separator: " ") }.sorted() == [
        "demo/calls demo/calls True", "demo/web demo/web True", "demo/younger demo/web Conflicted",
      ], "\(table)")
    let yaml = try get("demo/calls", "-o", "yaml")
    #expect(yaml.contains("ancestorRef") && yaml.contains("reason: Accepted"), "\(yaml)")
  }

  /// Answers every request as the file says: a status, `hang`, `garbage` or `close`; prints what it was asked.
  private static let httpServer = """
    import socket, sys, threading, time
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("0.0.0.0", int(sys.argv[1])))
    l.listen(128)
    def serve(s):
        s.settimeout(5)
        try:
            data = b""
            while b"\\r\\n\\r\\n" not in data:
                piece = s.recv(4096)
                if not piece: return
                data += piece
                if not data.startswith(b"GET"):
                    s.sendall(data); return
            lines = data.decode().split("\\r\\n")
            host = [x[6:] for x in lines if x.lower().startswith("host: ")]
            print(lines[0], *host, flush=True)
            word = open(sys.argv[2]).read().strip()
            if word == "hang": time.sleep(5)
            elif word == "close": pass
            elif word == "garbage": s.sendall(b"SSH-2.0-x\\r\\n" * 3000)
            else: s.sendall(f"HTTP/1.1 {word} X\\r\\ncontent-length: 0\\r\\n\\r\\n".encode())
        except OSError: pass
        finally: s.close()
    while True:
        threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
    """

  /// The same of `grpc.health.v1.Health/Check`: a status, `unimplemented` or `hang`.
  private static let grpcServer = """
    import socket, sys, threading, time
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("0.0.0.0", int(sys.argv[1])))
    l.listen(128)
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    def field(name, value):
        return b"\\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    def serve(s):
        s.settimeout(5)
        try:
            data = b""
            def read(count):
                nonlocal data
                while len(data) < count:
                    piece = s.recv(4096)
                    if not piece: raise OSError("closed")
                    data += piece
                taken, data = data[:count], data[count:]
                return taken
            assert read(24).startswith(b"PRI * HTTP/2.0")
            s.sendall(frame(4, 0, 0))
            while True:
                head = read(9)
                payload = read(int.from_bytes(head[:3], "big"))
                if head[3] == 0 and head[4] & 1: break
            print(payload[7:].decode(), flush=True)
            word = open(sys.argv[2]).read().strip()
            kind = b"\\x88" + field(b"content-type", b"application/grpc")
            if word == "hang": time.sleep(5)
            elif word == "unimplemented": s.sendall(frame(1, 5, 1, kind + field(b"grpc-status", b"12")))
            else:
                message = b"\\x08" + bytes([int(word)])
                s.sendall(frame(1, 4, 1, kind) + frame(0, 0, 1, b"\\0" + len(message).to_bytes(4, "big") + message)
                          + frame(1, 5, 1, field(b"grpc-status", b"0")))
                s.recv(4096)
        except (OSError, AssertionError): pass
        finally: s.close()
    while True:
        threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
    """
}
