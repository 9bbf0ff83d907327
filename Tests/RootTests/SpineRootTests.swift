import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// From YAML to a connection, through every floor, with the real binaries in real namespaces.
@Suite("The spine", .serialized)
struct SpineRootTests {
  static let vip = "240.0.0.10"

  /// client, server and intruder on node `a`; the server's policy admits the client.
  struct Trio {
    let mesh: Mesh
    let client: WorldPod
    let server: WorldPod
    let intruder: WorldPod

    /// `prepare`: before anything of the mesh runs.
    init(_ world: World, prepare: (Mesh) throws -> Void = { _ in }) throws {
      let node = try world.node("a")
      self.client = try node.pod("client", v4: "10.77.0.2", v6: "fd77::2")
      self.server = try node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
      self.intruder = try node.pod("intruder", v4: "10.77.0.4", v6: "fd77::4")
      try self.server.startEcho(port: 9000)
      self.mesh = try Mesh(world, node: node)
      try self.mesh.apply(self.resources(Manifest.allow("client", to: "server")))
      try prepare(self.mesh)
      try self.mesh.start()
    }

    /// A trio in a World of its own, which goes with it.
    static func with(
      _ name: String, prepare: (Mesh) throws -> Void = { _ in }, _ body: (Trio) throws -> Void
    ) throws {
      let world = try World(name)
      defer { try? world.close() }
      let trio = try Trio(world, prepare: prepare)
      do {
        try body(trio)
      } catch {
        Issue.record("agent: \(trio.mesh.agent?.stderr ?? "")")
        throw error
      }
    }

    func resources(_ policy: String) -> String {
      Manifest.workload("client", self.client) + Manifest.workload("server", self.server)
        + Manifest.workload("intruder", self.intruder) + Manifest.service("server", ip: SpineRootTests.vip) + policy
    }
  }

  private func withTrio(_ name: String, _ body: (Trio) throws -> Void) throws {
    try Trio.with(name, body)
  }

  @Test("a call by service address is decided in the kernel, and a caller that no policy admits is refused at once")
  func kernelTier() throws {
    try self.withTrio("kernel") { trio in
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("10.77.0.3:9000") == .answer("hello"))
      #expect(try trio.client.call("[fd77::3]:9000") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try trio.intruder.call("10.77.0.3:9000") == .refused)
      #expect(try trio.client.call("\(Self.vip):81") == .refused)
      #expect(try trio.client.call("240.240.0.99:80") == .refused)

      let wanted = ["demo/server-callers", "not_allowed", "no_service_port", "unknown_vip"]
      var flows = ""
      let seen = try eventually {
        flows = try trio.mesh.martlet(["observe", "--last", "50", "-o", "json"]).stdout
        return wanted.allSatisfy(flows.contains)
      }
      #expect(seen, "\(flows)")
      let explain = try trio.mesh.martlet(["explain", "demo/intruder", "\(Self.vip):80"])
      #expect(explain.stdout.contains("demo/server-callers"))
      #expect(explain.status == .code(1))
      let metrics = try trio.mesh.http("http://127.0.0.1:15020/metrics")
      #expect(metrics.contains("istio_tcp_connections_opened_total{"))
      #expect(metrics.contains("source_workload=\"client\""))
    }
  }

  @Test("a port that the proxy has to see is relayed, under the same policy")
  func relayTier() throws {
    try self.withTrio("relay") { trio in
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      let intruder = try trio.intruder.call("\(Self.vip):8080")
      #expect(intruder == .reset || intruder == .refused, "\(intruder)")
      let big = String(repeating: "x", count: 100_000)
      #expect(try trio.client.call("\(Self.vip):8080", big) == .answer(big))
      // BP-12: the relay listener itself, dialled directly, has no flow and closes.
      let direct = try trio.client.call("127.0.0.1:15001")
      #expect(direct == .reset || direct == .answer(""), "\(direct)")
    }
  }

  @Test(
    "F-02: a proxy that is killed is started again; the kernel tier does not notice, new relayed calls wait and work")
  func proxyDies() throws {
    try self.withTrio("proxydies") { trio in
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      let before = try trio.mesh.proxies()
      let held = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "80"])
      let relayed = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "8080"])
      #expect(eventually { held.stdout.contains("open") && relayed.stdout.contains("open") })
      for pid in before { try ProcessHandle.open(pid: pid).signal(9) }
      // Ended, not left hanging.
      #expect(eventually { relayed.stdout.contains("ended") }, "\(relayed.stdout)")
      let intruder = try trio.intruder.call("\(Self.vip):8080")
      #expect(intruder == .reset || intruder == .refused, "\(intruder)")
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      let after = try trio.mesh.proxies()
      #expect(!after.isEmpty && Set(after).isDisjoint(with: before))
      try held.child.signal(10)
      #expect(eventually { held.stdout.contains("alive") }, "\(held.stdout) \(held.stderr)")
    }
  }

  @Test("F-01: with the agent killed everything goes on, and its successor takes over without a gap")
  func agentDies() throws {
    try self.withTrio("agentdies") { trio in
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      let proxies = try trio.mesh.proxies()
      try trio.mesh.killAgent()
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      // The proxy dials with sockets that the agent made. When they are used up, calls wait for it.
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady()
      #expect(try trio.mesh.proxies() == proxies)
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      let done = try loop.stop()
      let refusals = try trio.mesh.martlet(["observe", "--last", "1000", "--verdict", "deny"]).stdout
      #expect(
        !done.stdout.contains("failed"), "\(done.stdout.suffix(500))\n\(refusals)\n\(trio.mesh.agent?.stderr ?? "")")
    }
  }

  @Test("an agent that starts without a control plane serves the last good snapshot from disk")
  func fromDisk() throws {
    try self.withTrio("fromdisk") { trio in
      let snapshot = trio.mesh.stateDirectory + "/agent/snapshot"
      #expect(try eventually { try DiskFile.status(snapshot) != nil })
      try trio.mesh.killControl()
      try trio.mesh.killAgent()
      for pid in try trio.mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady()
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
    }
  }

  @Test("a policy that no longer admits a caller cuts its connections within a second")
  func policyCuts() throws {
    try self.withTrio("cut") { trio in
      let kernel = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "80"])
      let relayed = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "8080"])
      #expect(eventually { kernel.stdout.contains("open") && relayed.stdout.contains("open") })
      try trio.mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually(within: .seconds(3)) { try trio.client.call("\(Self.vip):80") == .refused })
      #expect(eventually(within: .seconds(1)) { !kernel.isRunning && !relayed.isRunning })
      #expect(kernel.stdout.contains("ended"), "\(kernel.stdout)")
      #expect(relayed.stdout.contains("ended"), "\(relayed.stdout)")
      #expect(try trio.intruder.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  @Test("plaintext from outside is admitted or refused by its address")
  func outside() throws {
    try self.withTrio("outside") { trio in
      let stranger = try trio.mesh.node.pod("stranger", v4: "10.77.0.9", v6: "fd77::9")
      #expect(try stranger.call("10.77.0.3:9000", timeout: .seconds(1)) != .answer("hello"))
      try trio.mesh.apply(trio.resources(Manifest.allowBlocks("10.77.0.9/32", to: "server")))
      #expect(try eventually { try stranger.call("10.77.0.3:9000", timeout: .seconds(1)) == .answer("hello") })
      #expect(try stranger.call("[fd77::3]:9000", timeout: .seconds(1)) != .answer("hello"))
    }
  }

  @Test("F-13: a workload whose namespace goes is let go, and its descriptors with it")
  func namespaceGoes() throws {
    try self.withTrio("nsgoes") { trio in
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      let inode = trio.server.namespace.inode
      let held = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "8080"])
      #expect(eventually { held.stdout.contains("open") })
      try trio.server.remove()
      #expect(
        try eventually(within: .seconds(2)) {
          try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .refused
        })
      #expect(eventually(within: .seconds(2)) { trio.mesh.agent?.stderr.contains("workload withdrawn") ?? false })
      #expect(try trio.client.call("\(Self.vip):80") == .refused)
      #expect(eventually { held.stdout.contains("ended") }, "\(held.stdout)")
      #expect(
        try eventually {
          try trio.mesh.martlet(["observe", "--last", "5", "-o", "json"]).stdout.contains("no_endpoint")
        })
      // Nobody holds the namespace any more.
      let kept = try trio.mesh.node.run(["sh", "-c", Programs.holdersOfNamespace, "sh", "\(inode)"]).stdout
      #expect(kept == "", "\(kept)")
    }
  }

}

/// Small clients for the tests above.
enum Programs {
  /// Processes of the mesh that have the namespace open.
  static let holdersOfNamespace = """
    for p in $(pgrep -x 'martletd|martlet-proxy'); do
      ls -l /proc/$p/fd 2>/dev/null | grep -q "net:\\[$1\\]" && echo $p
    done
    true
    """

  /// Opens a connection, prints `open`, on SIGUSR1 sends and reads a word and prints `alive`; prints `ended` when it is cut.
  static let heldConnection = """
    import signal, socket, sys
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.settimeout(None)
    s.sendall(b"hello")
    s.recv(5, socket.MSG_WAITALL)
    def ping(*_):
        s.sendall(b"again")
    signal.signal(signal.SIGUSR1, ping)
    print("open", flush=True)
    while True:
        try:
            b = s.recv(100)
            if not b:
                print("ended: closed", flush=True)
                break
            print("alive", flush=True)
        except OSError as e:
            print("ended:", e.errno, flush=True)
            break
    """

  /// Connects to the ports in turn until it is stopped; prints each failure.
  static let connectLoop = """
    import socket, sys, time
    host, ports = sys.argv[1], [int(p) for p in sys.argv[2:]]
    end = time.time() + 60
    while time.time() < end:
        for port in ports:
            try:
                s = socket.create_connection((host, port), 5)
                s.settimeout(5)
                s.sendall(b"hello")
                got = s.recv(5, socket.MSG_WAITALL)
                s.close()
                print("ok" if got == b"hello" else "failed: short %r" % got, flush=True)
            except OSError as e:
                print("failed:", port, e, flush=True)
        time.sleep(0.01)
    """
}
