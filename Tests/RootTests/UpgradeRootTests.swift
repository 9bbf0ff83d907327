import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The proxy is replaced while it works, by the real binaries in real namespaces.
@Suite("Upgrade of the proxy", .serialized)
struct UpgradeRootTests {
  typealias Trio = SpineRootTests.Trio
  static let relay = SpineRootTests.vip + ":8080"

  /// A connection through the proxy that stays open, and answers.
  private func held(_ trio: Trio) throws -> WorldProcess {
    let held = try trio.client.start(["python3", "-c", Programs.heldConnection, SpineRootTests.vip, "8080"])
    #expect(eventually { held.stdout.contains("open") }, "\(held.stderr)")
    return held
  }

  private func isAlive(_ held: WorldProcess) throws -> Bool {
    try held.child.signal(10)
    return eventually { held.stdout.contains("alive") }
  }

  private func status(_ trio: Trio) throws -> String { try trio.mesh.martlet(["status"]).stdout }

  /// For messages.
  private func told(_ trio: Trio) -> String { (try? self.status(trio)) ?? "-" }

  @Test("F-03: a new proxy takes over; what is open goes on in the old one, which ends with its last connection")
  func replaced() throws {
    try Trio.with("upgrade") { trio in
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, SpineRootTests.vip, "80", "8080"])
      let held = try self.held(trio)
      let old = try trio.mesh.proxies()
      let upgrade = try trio.mesh.martlet(["upgrade-proxy", "--force"])
      #expect(upgrade.isSuccess, "\(upgrade.stdout) \(upgrade.stderr)\n\(trio.mesh.agent?.stderr ?? "")")
      #expect(try trio.mesh.proxies().count == 2)
      let draining = try eventually { try self.status(trio).contains("draining       pid \(old[0]), 1 connections") }
      #expect(draining, "\(self.told(trio))")
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      #expect(try self.isAlive(held), "\(held.stdout)")
      #expect(
        try trio.mesh.metrics().contains("martlet_proxy_replacements_total{result=\"replaced\"} 1"))

      // Nothing to do for the program that serves already.
      let again = try trio.mesh.martlet(["upgrade-proxy"])
      #expect(again.isSuccess && again.stdout.contains("serves already"), "\(again.stdout)")

      _ = try held.stop()
      #expect(try eventually { try Set(trio.mesh.proxies()).isDisjoint(with: old) }, "\(self.told(trio))")
      #expect(try trio.mesh.proxies().count == 1)
      #expect(try eventually { try trio.mesh.health("/readyz") })
      #expect(try !self.status(trio).contains("draining"))
      let done = try loop.stop()
      #expect(done.stdout.contains("ok") && !done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    }
  }

  @Test("of two requests in one moment each is answered: one is done, the other too or told that one is under way")
  func twice() throws {
    try Trio.with("upgradetwice") { trio in
      let command = [Mesh.binaries + "/martlet", "upgrade-proxy", "--force", "--run-dir", trio.mesh.runDirectory]
      for _ in 0..<3 {
        let both = try (0..<2).map { _ in try trio.mesh.node.start(command) }
        let said = try both.map { try $0.finish(within: .seconds(20)) }
        #expect(said.contains { $0.isSuccess }, "\(said)")
        #expect(said.allSatisfy { $0.isSuccess || $0.stderr.contains("is being replaced already") }, "\(said)")
      }
    }
  }

  @Test("F-04: a new program that ends, hangs or cannot be started is given up, and the old proxy serves on")
  func givenUp() throws {
    try Trio.with("giveup") { trio in
      let held = try self.held(trio)
      let proxies = try trio.mesh.proxies()
      let path = trio.mesh.world.directory + "/next-proxy"
      for (program, cause) in [
        ("#!/bin/sh\nexit 3\n", "exit status 3"), ("no program\n", "cannot be started"),
        ("#!/bin/sh\nexec sleep 1000\n", "not ready within 10 s"),
      ] {
        try DiskFile.write(Array(program.utf8), to: path, mode: 0o755)
        let upgrade = try trio.mesh.martlet(["upgrade-proxy", "--binary", path])
        #expect(upgrade.status == .code(1) && upgrade.stdout.contains(cause), "\(upgrade.stdout) \(upgrade.stderr)")
        #expect(try eventually { try trio.mesh.proxies() == proxies })
        #expect(try trio.client.call(Self.relay) == .answer("hello"))
      }
      #expect(try self.status(trio).contains("GIVEN UP"))
      #expect(try trio.mesh.metrics().contains("martlet_proxy_replacements_total{result=\"given_up\"} 3"))
      #expect(trio.mesh.agent?.stderr.contains("new proxy given up") ?? false)
      #expect(try self.isAlive(held))
      let missing = try trio.mesh.martlet(["upgrade-proxy", "--binary", path + "-not-there"])
      #expect(missing.status == .code(1) && missing.stderr.contains("is not there"), "\(missing.stderr)")
    }
  }

  @Test("an agent that starts replaces a proxy of another program; one that was killed amid a replacement undoes it")
  func agentStarts() throws {
    try Trio.with("agentstarts") { trio in
      let held = try self.held(trio)
      let old = try trio.mesh.proxies()
      // Killed while a new proxy hangs: the next agent ends that one, not the one that serves.
      let hung = trio.mesh.world.directory + "/hung-proxy"
      try DiskFile.write(Array("#!/bin/sh\nexec sleep 1000\n".utf8), to: hung, mode: 0o755)
      let upgrade = try trio.mesh.node.start(
        [Mesh.binaries + "/martlet", "upgrade-proxy", "--binary", hung, "--run-dir", trio.mesh.runDirectory])
      #expect(try eventually { try trio.mesh.proxies().count == 2 })
      try trio.mesh.killAgent()
      _ = try upgrade.finish(within: .seconds(10))
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady()
      #expect(try eventually { try trio.mesh.proxies() == old }, "\(old): \(self.told(trio))")
      #expect(try trio.client.call(Self.relay) == .answer("hello"))

      // The same with a program of another file: what an update of the package leaves.
      try trio.mesh.killAgent()
      let next = trio.mesh.world.directory + "/martlet-proxy"
      #expect(try trio.mesh.node.run(["cp", Mesh.binaries + "/martlet-proxy", next]).isSuccess)
      trio.mesh.agentOptions = ["--proxy", next]
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady()
      let served = try eventually {
        guard try trio.mesh.proxies().count == 2 else { return false }
        return try self.status(trio).contains("draining       pid \(old[0])")
      }
      #expect(served, "\(self.told(trio))\n\(trio.mesh.agent?.stderr ?? "")")
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      #expect(try self.isAlive(held))
      // And once more with one that drains: the next agent knows which is which.
      try trio.mesh.killAgent()
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady()
      #expect(try eventually { try self.status(trio).contains("draining       pid \(old[0])") })
      #expect(try trio.mesh.proxies().count == 2)
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      _ = try held.stop()
      #expect(try eventually { try trio.mesh.proxies().count == 1 })
    }
  }

  @Test(
    "an agent whose proxy speaks another protocol with it serves that one until its own accepts: no call fails",
    arguments: [("protocolup", "6"), ("protocoldown", "65535")])
  func otherProtocol(name: String, spoken: String) throws {
    try Trio.with(name, prepare: { $0.agentOptions = ["--link-protocol", spoken] }) { trio in
      let held = try self.held(trio)
      let old = try trio.mesh.proxies()
      // More at once than a stock holds, so that the old proxy has to ask for sockets in between.
      let loops = try (0..<3).map { _ in
        try trio.client.start(["python3", "-c", Programs.connectLoop, SpineRootTests.vip, "8080"])
      }
      #expect(eventually { loops.allSatisfy { $0.stdout.contains("ok") } })
      try trio.mesh.killAgent()
      trio.mesh.agentOptions = []
      try trio.mesh.startAgent()
      try trio.mesh.waitUntilReady(within: .seconds(8))
      let log = trio.mesh.agent?.stderr ?? ""
      #expect(log.contains("it speaks protocol \(spoken) with its agent"), "\(log)")
      #expect(try eventually { try self.status(trio).contains("draining       pid \(old[0])") }, "\(self.told(trio))")
      let proxies = try trio.mesh.proxies()
      #expect(proxies.count == 2, "\(proxies)")
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      #expect(try self.isAlive(held))
      // Calls that got no socket would be reset after ten seconds; each loop makes one after another.
      _ = eventually(within: .seconds(12)) { loops.contains { $0.stdout.contains("failed") } }
      for loop in loops {
        let done = try loop.stop()
        #expect(done.stdout.contains("ok") && !done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
      }
      _ = try held.stop()
      #expect(try eventually { try Set(trio.mesh.proxies()).isDisjoint(with: old) }, "\(self.told(trio))")
    }
  }

  @Test("what is still open when the time to drain is over gets RST, and the old proxy ends")
  func drainDeadline() throws {
    try Trio.with("draindeadline", prepare: { $0.agentOptions = ["--drain-timeout", "2"] }) { trio in
      let held = try self.held(trio)
      let old = try trio.mesh.proxies()
      #expect(try trio.mesh.martlet(["upgrade-proxy", "--force"]).isSuccess)
      #expect(try self.isAlive(held))
      #expect(eventually { held.stdout.contains("ended: 104") }, "\(held.stdout)")
      #expect(try eventually { try Set(trio.mesh.proxies()).isDisjoint(with: old) })
    }
  }

  @Test("SIGTERM of the proxy: another one serves at once, and the one that was asked finishes what it has")
  func terminated() throws {
    try Trio.with("terminated") { trio in
      let held = try self.held(trio)
      let old = try trio.mesh.proxies()
      for pid in old { try ProcessHandle.open(pid: pid).signal(15) }
      #expect(try eventually { try trio.mesh.proxies().count == 2 })
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      #expect(try self.isAlive(held))
      _ = try held.stop()
      #expect(try eventually { try trio.mesh.proxies().count == 1 })
    }
  }

  @Test("F-02: kill -9 of the proxy ends its connections with RST at both ends: a cut stream never looks complete")
  func killedWithReset() throws {
    try Trio.with("killreset") { trio in
      let held = try self.held(trio)
      let server = try trio.server.start(["python3", "-c", Programs.acceptAndTell, "9001"])
      #expect(eventually { server.stdout.contains("ready") })
      try trio.mesh.apply(
        Manifest.service("other", ip: "240.0.0.11", target: 9001).replacing("app: other", by: "app: server"),
        file: "other.yaml")
      var other: WorldProcess?
      let isServed = try eventually {
        if other?.isRunning != true {
          other = try trio.client.start(["python3", "-c", Programs.heldConnection, "240.0.0.11", "8080"])
        }
        return eventually(within: .seconds(1)) { other?.stdout.contains("open") ?? false }
      }
      #expect(isServed, "\(other?.stderr ?? "")")
      for pid in try trio.mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      #expect(eventually { held.stdout.contains("ended: 104") }, "\(held.stdout)")
      #expect(eventually { server.stdout.contains("ended: 104") }, "\(server.stdout)")
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
    }
  }

  @Test("a proxy that dies when the installed program was given up is started again from the program that served")
  func lastGoodProgram() throws {
    try Trio.with(
      "lastgood",
      prepare: { mesh in
        let path = mesh.world.directory + "/martlet-proxy"
        _ = try mesh.node.run(["cp", Mesh.binaries + "/martlet-proxy", path])
        mesh.agentOptions = ["--proxy", path]
      }
    ) { trio in
      let path = trio.mesh.world.directory + "/martlet-proxy"
      try DiskFile.write(Array("#!/bin/sh\nexit 3\n".utf8), to: path + ".new", mode: 0o755)
      try DiskFile.rename(path + ".new", to: path)
      #expect(try trio.mesh.martlet(["upgrade-proxy"]).status == .code(1))
      let old = try trio.mesh.proxies()
      for pid in old { try ProcessHandle.open(pid: pid).signal(9) }
      #expect(try trio.client.call(Self.relay) == .answer("hello"))
      let proxies = try trio.mesh.proxies()
      #expect(proxies.count == 1 && Set(proxies).isDisjoint(with: old))
      #expect(try trio.mesh.node.run(["ps", "-o", "comm=", "-p", "\(proxies[0])"]).stdout.contains("martlet-proxy"))
    }
  }
}

extension Programs {
  /// Accepts connections, echoes, and prints `ended: ERRNO` or `ended: closed` of each.
  static let acceptAndTell = """
    import socket, sys, threading
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
    print("ready", flush=True)
    def serve(s):
        try:
            while b := s.recv(100):
                s.sendall(b)
            print("ended: closed", flush=True)
        except OSError as e:
            print("ended:", e.errno, flush=True)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve, args=(s,), daemon=True).start()
    """
}

extension String {
  fileprivate func replacing(_ old: String, by new: String) -> String {
    self.split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
  }
}
