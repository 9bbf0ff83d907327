import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Who listens on the ports that workloads of the host declared.
@Suite("Listeners of the host's workloads", .serialized)
struct HostListenerRootTests {
  private typealias Host = HostRootTests.Host

  private func report(_ host: Host) throws -> String {
    try host.mesh.martlet(["show", "workloads", "-o", "json"]).stdout
  }

  @Test("somebody else on a declared port is an alarm, and calls to the port are refused until the unit has it")
  func impostor() throws {
    try Host.with("impostor") { host in
      let target = "10.77.0.1:9200"
      let own = try host.caller.startEcho(port: 9200)
      #expect(try host.client.call(target) == .answer("hello"))
      try own.kill()

      let stranger = try host.mesh.node.unit("stranger.service")
      let thief = try stranger.startEcho(port: 9200)
      #expect(
        try eventually(within: .seconds(5)) {
          try host.mesh.metrics().contains("martlet_foreign_listeners{place=\"unit_port\"}")
            && self.report(host).contains("somebody else than its unit listens on")
        }, "\((try? self.report(host)) ?? "")")
      #expect(try host.client.call(target, timeout: .seconds(1)) == .refused)
      #expect(try host.mesh.node.call("127.0.0.1:9200", timeout: .seconds(1)) == .refused)
      #expect(try host.mesh.martlet(["explain", "demo/client", target]).stdout.contains("quarantined"))
      #expect(try host.mesh.martlet(["status"]).stdout.contains("somebody else than its unit listens on"))
      let log = host.mesh.agent?.stderr ?? ""
      #expect(log.split(separator: "\n").count { $0.contains("somebody else listens on a declared port") } >= 1)
      // The unit itself is not in quarantine: it calls, and its other ports are called.
      #expect(try host.caller.call("240.0.0.21:80") == .answer("hello"))
      #expect(try host.client.call("10.77.0.1:9100") == .answer("hello"))

      try thief.kill()
      #expect(try eventually(within: .seconds(6)) { try !self.report(host).contains("somebody else") })
      try host.caller.startEcho(port: 9200)
      #expect(try host.client.call(target) == .answer("hello"))
      #expect(try host.mesh.metrics().contains("martlet_foreign_listeners{place=\"unit_port\"} 0"))
    }
  }

  /// Makes the listener where it stands, then moves into the cgroup that the first argument names and serves there.
  private static let activated = """
    import os, socket, sys
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", 9200))
    s.listen()
    with open(sys.argv[1] + "/cgroup.procs", "w") as f: f.write("0")
    while True:
        c, _ = s.accept()
        c.sendall(c.recv(100))
        c.close()
    """

  @Test("a listener that the service manager made and handed to the unit is the unit's")
  func socketActivation() throws {
    try Host.with("activation") { host in
      let manager = try host.mesh.node.unit("manager.service")
      let server = try manager.start(["python3", "-c", Self.activated, host.caller.cgroup.path])
      try host.caller.waitForListener(port: 9200, process: server)
      #expect(try eventually { try host.client.call("10.77.0.1:9200") == .answer("hello") })
      // Longer than it takes to find one that is not.
      let clock = ContinuousClock()
      let end = clock.now + .seconds(6)
      while clock.now < end {
        #expect(try host.client.call("10.77.0.1:9200") == .answer("hello"))
        #expect(try !self.report(host).contains("somebody else"))
      }
    }
  }
}
