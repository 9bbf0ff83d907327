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

  @Test("BP-15: a veth that is moved away takes its workload into quarantine, and out of it when it comes back")
  func movedInterface() throws {
    try Trio.with("moved") { trio in
      let interface = trio.server.hostInterface
      let other = String(trio.intruder.namespacePath.dropFirst("/run/netns/".count))
      let home = String(trio.mesh.node.namespacePath.dropFirst("/run/netns/".count))
      try trio.mesh.node.ip(["link set \(interface) netns \(other)"])
      #expect(try eventually(within: .seconds(10)) { try self.metric("martlet_workloads_quarantined", trio) == 1 })
      #expect(try trio.mesh.martlet(["show", "workloads", "-o", "json"]).stdout.contains("no veth leads to it"))
      #expect(try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .refused)
      #expect(try self.enrolled(trio) == 2)
      try trio.intruder.ip(["link set \(interface) netns \(home)"])
      try trio.mesh.node.ip(["link set \(interface) master br0 up"])
      #expect(try eventually(within: .seconds(10)) { try self.enrolled(trio) == 3 })
      #expect(try eventually { try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .answer("hello") })
    }
  }

  @Test(
    "BP-14: nobody can share the relay's port, and whoever takes another port of the mesh is named within 5 seconds")
  func meshPorts() throws {
    try Trio.with("meshports") { trio in
      let share = try trio.server.run([
        "python3", "-c",
        """
        import socket
        for host in ("127.0.0.1", "0.0.0.0"):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, 15001))
                s.listen()
                print("listens")
            except OSError as e:
                print(e.errno)
        """,
      ])
      #expect(share.stdout == "98\n98\n", "\(share)")
      let thief = try trio.server.startEcho(port: 15008)
      #expect(
        // One a family.
        try eventually(within: .seconds(5)) { try self.metric("martlet_foreign_listeners", trio) == 2 })
      #expect(try trio.mesh.martlet(["status"]).stdout.contains("a port of the mesh"))
      #expect(self.lines("somebody else listens on a port of the mesh", trio) == 2)
      #expect(try trio.client.call("10.77.0.3:15008", timeout: .seconds(1)) == .refused)
      #expect(try self.enrolled(trio) == 3)
      try thief.kill()
      #expect(
        try eventually(within: .seconds(5)) { try self.metric("martlet_foreign_listeners", trio) == 0 })
    }
  }

  private func relayListeners(_ trio: Trio) throws -> [SocketRecord] {
    try trio.client.namespace.sockets().filter { $0.isListening && $0.local.port == MeshPort.outbound }
  }

  @Test("BP-14: a relay listener that somebody ends is opened again within 5 seconds, each time and of either family")
  func endedListener() throws {
    try Trio.with("ended") { trio in
      let first = try self.relayListeners(trio)
      #expect(first.count == 2)
      // Asked for as ss(8) does, sk_lookup hides it: only who claims to come over loopback finds it.
      _ = try trio.client.run(["ss", "-K", "-ltn", "sport = :\(MeshPort.outbound)"])
      for listener in first { #expect(try !trio.client.namespace.destroy(listener)) }
      #expect(try Set(self.relayListeners(trio).map(\.cookie)) == Set(first.map(\.cookie)))

      for (round, families) in [[true, false], [false], [true]].enumerated() {
        let before = try self.relayListeners(trio)
        let ended = before.filter { families.contains($0.local.address.isV4) }
        #expect(ended.count == families.count)
        for listener in ended {
          var named = listener
          named.interface = 1
          #expect(try trio.client.namespace.destroy(named))
        }
        #expect(
          try eventually(within: .seconds(5)) {
            let cookies = try Set(self.relayListeners(trio).map(\.cookie))
            return cookies.count == 2 && cookies.isDisjoint(with: ended.map(\.cookie))
          }, "round \(round)")
        #expect(self.lines("relay listener is open again", trio) == round + 1)
        // What was not ended is as it was.
        let kept = Set(before.map(\.cookie)).subtracting(ended.map(\.cookie))
        #expect(try kept.isSubset(of: self.relayListeners(trio).map(\.cookie)))
        #expect(
          try eventually(within: .seconds(5)) {
            try trio.client.call("\(Self.vip):8080", timeout: .seconds(1)) == .answer("hello")
          })
      }
      #expect(try self.enrolled(trio) == 3)
    }
  }

  @Test("BP-16: another tool's connect hook runs before ours, wherever and whenever it was attached")
  func otherTool() throws {
    try Trio.with("othertool") { trio in
      let node = trio.mesh.node
      func order() throws -> [String] {
        try HookOwners.ofCgroup(trio.intruder.cgroup.path).filter { $0.hook == "connect4" }.map(\.program)
      }
      // At the pod's own cgroup, sharing and not.
      for mode in ["beside", "exclusive"] {
        let tool = try node.start(["python3", "-c", Programs.foreignHook, mode, trio.intruder.cgroup.path, "10"])
        #expect(eventually { tool.stdout.contains("attached") }, "\(tool.stderr)")
        #expect(try order() == ["stranger", "mesh_connect4"])
        #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
        try tool.stop()
      }
      // At the root, after ours.
      let tool = try node.start(["python3", "-c", Programs.foreignHook, "beside", node.cgroup.path, "10"])
      #expect(eventually { tool.stdout.contains("attached") }, "\(tool.stderr)")
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(try eventually(within: .seconds(5)) { try order() == ["stranger", "mesh_connect4"] })
      #expect(eventually { self.lines("ours is the last again", trio) == 1 })
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      let done = try loop.stop()
      #expect(done.stdout.contains("ok") && !done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
      #expect(try self.enrolled(trio) == 3)
      #expect(try self.metric("martlet_quarantines_total", trio) == 0)
    }
  }

  /// A program in another cgroup than the pod's, but in its namespace.
  private func outside(_ cgroup: String, _ pod: WorldPod, _ command: [String], _ trio: Trio) throws -> WorldProcess {
    try trio.mesh.node.start(
      [
        "sh", "-c", "echo 0 > \"$0/cgroup.procs\" && net=$1 && shift && exec nsenter --net=\"$net\" \"$@\"", cgroup,
        pod.namespacePath,
      ] + command)
  }

  @Test("BP-16: processes in a cgroup for which the programs do not run take their workload into quarantine")
  func ineffective() throws {
    try Trio.with("ineffective") { trio in
      let above = String(trio.mesh.node.cgroup.path.dropLast(trio.mesh.node.name.utf8.count + 1))
      let stray = try self.outside(above, trio.server, ["python3", "-m", "http.server", "9444"], trio)
      try trio.server.waitForListener(port: 9444, process: stray)
      #expect(try eventually(within: .seconds(10)) { try self.metric("martlet_workloads_quarantined", trio) == 1 })
      #expect(
        try trio.mesh.martlet(["show", "workloads", "-o", "json"]).stdout.contains("programs do not run for the cgroup")
      )
      #expect(try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .refused)
      #expect(try trio.mesh.metrics().contains("martlet_redirections_lost_total{reason=\"ineffective\"} 1"))
      try stray.kill()
      #expect(try eventually(within: .seconds(10)) { try self.enrolled(trio) == 3 })
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  @Test("BP-17: a pod's cgroup that is removed and made anew is governed as before")
  func newCgroup() throws {
    try Trio.with("newcgroup") { trio in
      for pod in [trio.client, trio.intruder] {
        let path = pod.cgroup.path
        try pod.cgroup.kill()
        try pod.cgroup.remove()
        #expect(try trio.mesh.node.run(["mkdir", path]).isSuccess)
        let call = try self.outside(
          path, pod, ["python3", "-c", Programs.variantCall, "plain", Self.vip, "80"], trio
        ).finish(within: .seconds(20))
        #expect(call.stdout.contains(pod === trio.client ? "hello" : "ECONNREFUSED"), "\(call)")
      }
      #expect(try self.enrolled(trio) == 3)
      #expect(try self.metric("martlet_redirections_lost_total", trio) == 0)
    }
  }

  @Test("F-14: another namespace under the same path is enrolled and proven within 5 seconds")
  func replaced() throws {
    try Trio.with("replaced") { trio in
      try trio.server.remove()
      let fresh = try trio.mesh.node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
      #expect(
        try eventually(within: .seconds(5)) {
          let proven = try self.enrolled(trio)
          return proven == 3 && self.lines("reason=replaced", trio) + self.lines("reason=vanished", trio) == 1
        }, "\(trio.mesh.agent?.stderr.suffix(2000) ?? "")")
      try fresh.startEcho(port: 9000)
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
    }
  }
}
