import MeshBPF
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Proof of effect: from inside each namespace the agent sees whether calls are steered, and acts when they are not.
@Suite("Proof of effect", .serialized)
struct CanaryRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func enrolled(_ trio: Trio) throws -> Int {
    try trio.mesh.martlet(["show", "workloads", "-o", "json"]).stdout
      .split(separator: "\n").count { $0.contains("\"enrolled\" : true") }
  }

  /// The value of a metric without labels, or the sum over them.
  private func metric(_ name: String, _ trio: Trio) throws -> Int {
    try trio.mesh.metrics().split(separator: "\n").filter { $0.hasPrefix(name + " ") || $0.hasPrefix(name + "{") }
      .compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
  }

  private func detach(_ link: String, _ trio: Trio) throws {
    let path = trio.mesh.world.pinDirectory + "/v1/links/" + link
    let done = try trio.mesh.node.run(["bpftool", "link", "detach", "pinned", path])
    #expect(done.isSuccess, "\(link): \(done)")
  }

  private func lines(_ text: String, _ trio: Trio) -> Int {
    (trio.mesh.agent?.stderr ?? "").split(separator: "\n").count { $0.contains(text) }
  }

  @Test("a workload is enrolled when its own proxy answered its canary; a silent proxy takes that away, and no traffic")
  func proof() throws {
    try Trio.with("canary") { trio in
      #expect(try self.enrolled(trio) == 3)
      #expect(try self.metric("martlet_canary_answers_total", trio) >= 3)
      #expect(try trio.mesh.martlet(["status"]).stdout.contains("canaries of 3 workloads were answered"))
      // Nobody is told of a canary: neither flows nor open connections nor counters.
      #expect(try eventually { try self.metric("martlet_canary_answers_total", trio) >= 9 })
      #expect(try !trio.mesh.martlet(["observe", "--last", "1000", "-o", "json"]).stdout.contains("192.0.0.8"))
      #expect(try self.metric("istio_tcp_connections_opened_total", trio) == 0)
      // Nothing of it stays in the workload's namespace.
      let sockets = try trio.client.namespace.sockets()
      #expect(sockets.count { !$0.isListening } <= 2, "\(sockets)")

      let proxies = try trio.mesh.proxies()
      for pid in proxies { try ProcessHandle.open(pid: pid).signal(19) }
      #expect(try eventually(within: .seconds(20)) { try self.enrolled(trio) == 0 })
      #expect(try !trio.mesh.health("/readyz"))
      #expect(
        try trio.mesh.martlet(["show", "workloads", "-o", "json"]).stdout.contains("node proxy does not answer"))
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try self.metric("martlet_workloads_quarantined", trio) == 0)
      for pid in proxies { try ProcessHandle.open(pid: pid).signal(18) }
      #expect(try eventually(within: .seconds(10)) { try self.enrolled(trio) == 3 })
      #expect(try eventually { try trio.mesh.health("/readyz") })
    }
  }

  @Test(
    "F-21, BP-15: a connect hook that cannot be put back is found within 5 seconds, and its workloads let nothing pass within 10"
  )
  func quarantine() throws {
    try Trio.with("quarantine") { trio in
      let node = trio.mesh.node
      let held = try trio.client.start(["python3", "-c", Programs.heldConnection, "10.77.0.3", "9000"])
      #expect(eventually { held.stdout.contains("open") })
      let foreign = try node.start(["python3", "-c", Programs.foreignHook, "exclusive", node.cgroup.path, "10"])
      try self.detach("connect4", trio)
      #expect(eventually(within: .seconds(3)) { foreign.stdout.contains("attached") }, "\(foreign.stderr)")
      let clock = ContinuousClock()
      let start = clock.now
      #expect(
        try eventually(within: .seconds(5)) { try self.metric("martlet_redirections_lost_total", trio) == 3 })
      #expect(try self.enrolled(trio) == 0)
      #expect(try eventually(within: .seconds(6)) { try self.metric("martlet_workloads_quarantined", trio) == 3 })
      #expect(clock.now - start < .seconds(10))
      // Unsteered calls arrive as plaintext, and steered ones (connect6 is in its place) do not begin.
      for pod in [trio.client, trio.intruder] {
        #expect(try pod.call("10.77.0.3:9000", timeout: .seconds(1)) != .answer("hello"))
        #expect(try pod.call("[fd77::3]:9000", timeout: .seconds(1)) != .answer("hello"))
      }
      #expect(eventually { held.stdout.contains("ended") })
      #expect(try self.metric("martlet_quarantines_total", trio) == 3)
      #expect(self.lines("it cannot be repaired: the workload is in quarantine", trio) == 3)
      let explain = try trio.mesh.martlet(["explain", "demo/client", "10.77.0.3:9000"])
      #expect(explain.status == .code(1) && explain.stdout.contains("quarantine"), "\(explain)")
      #expect(try trio.mesh.metrics().contains("reason=\"quarantined\""))
      #expect(try !trio.mesh.health("/readyz"))

      try foreign.stop()
      #expect(try eventually(within: .seconds(10)) { try self.enrolled(trio) == 3 })
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("[fd77::3]:9000") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try self.metric("martlet_workloads_quarantined", trio) == 0)
      #expect(self.lines("quarantine ends", trio) == 3)
    }
  }
}
