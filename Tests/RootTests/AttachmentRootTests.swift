import MeshBPF
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// F-21, BP-15, F-29: somebody who is root takes apart what the agent has put together.
@Suite("Attachments that somebody removes", .serialized)
struct AttachmentRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func links(_ trio: Trio) throws -> [String] {
    try trio.mesh.node.run(["ls", trio.mesh.world.pinDirectory + "/v1/links"]).stdout
      .split(separator: "\n").map(String.init)
  }

  private func detach(_ link: String, _ trio: Trio) throws {
    let path = trio.mesh.world.pinDirectory + "/v1/links/" + link
    let done = try trio.mesh.node.run(["bpftool", "link", "detach", "pinned", path])
    #expect(done.isSuccess, "\(link): \(done)")
  }

  @Test("a detached connect hook is back within 5 seconds, and meanwhile the destination refuses")
  func connect() throws {
    try Trio.with("detach") { trio in
      for link in ["connect4", "connect6", "sockops", "getsockopt", "setsockopt"] { try self.detach(link, trio) }
      #expect(try trio.intruder.call("10.77.0.3:9000", timeout: .seconds(1)) != .answer("hello"))
      #expect(
        try eventually(within: .seconds(5)) {
          try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .answer("hello")
        })
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.client.call("[fd77::3]:9000") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      let log = trio.mesh.agent?.stderr ?? ""
      #expect(log.contains("path=connect4 reason=detached"), "\(log.suffix(2000))")
      #expect(log.split(separator: "\n").count { $0.contains("path=connect4") } == 1)
      #expect(try trio.mesh.http("http://127.0.0.1:15020/metrics").contains("martlet_attachments_repaired_total 5"))
      #expect(try eventually { try trio.mesh.health("/readyz") })
    }
  }

  /// Numbers of the sockets that the published flows are of, in both maps.
  private func flowSockets(_ trio: Trio) throws -> Set<String> {
    var found: Set<String> = []
    for (map, label) in [("slots", "\"cookie\": "), ("flows", "\"socket_cookie\": ")] {
      let path = trio.mesh.world.pinDirectory + "/v1/maps/mesh_\(map)_v1"
      let dump = try trio.mesh.node.run(["bpftool", "map", "dump", "pinned", path])
      #expect(dump.isSuccess, "\(map): \(dump.stderr)")
      for line in dump.stdout.split(separator: "\n") {
        let text = line.drop { $0 == " " }
        guard text.hasPrefix(label) else { continue }
        found.insert(String(text.dropFirst(label.count).prefix { $0.isNumber }))
      }
    }
    return found.subtracting(["0"])
  }

  @Test("calls that end while sockops is detached leave no flow behind, and those that stay open keep theirs")
  func leftovers() throws {
    try Trio.with("leftovers", prepare: { $0.agentOptions = ["--map-limit", "slots=16"] }) { trio in
      func flood(_ count: Int) throws -> WorldProcess {
        let flood = try trio.client.start(["python3", "-c", Programs.flood, "\(Self.vip):80", "\(count)"])
        #expect(eventually { flood.stdout.contains("done") }, "\(flood.stderr)")
        #expect(flood.stdout.contains("hello \(count)"), "\(flood.stdout)")
        return flood
      }
      // Canaries have flows too, for a moment.
      let kept = try flood(8)
      let before = try self.flowSockets(trio)
      #expect(before.count >= 8)
      let ended = try flood(64)
      let opened = try self.flowSockets(trio).subtracting(before)
      #expect(opened.count >= 64)
      let path = trio.mesh.world.pinDirectory + "/v1/links/sockops"
      let cut = "bpftool link detach pinned \(path) && kill -9 \(ended.pid)"
      #expect(try trio.mesh.node.run(["sh", "-c", cut]).isSuccess)
      #expect(try self.flowSockets(trio).intersection(opened).count >= 60)
      #expect(
        try eventually(within: .seconds(15)) { try self.flowSockets(trio).isDisjoint(with: opened) },
        "\(trio.mesh.agent?.stderr.suffix(2000) ?? "")")
      #expect(trio.mesh.agent?.stderr.contains("flows whose end nobody saw are removed") ?? false)
      #expect(try self.flowSockets(trio).intersection(before).count >= 8)
      // What stayed is seen to end.
      try kept.kill()
      #expect(try eventually { try self.flowSockets(trio).isDisjoint(with: before) })
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  @Test("detached admission and edge programs are back within 5 seconds")
  func namespaceAndEdge() throws {
    try Trio.with("detachns") { trio in
      let stranger = try trio.mesh.node.pod("stranger", v4: "10.77.0.9", v6: "fd77::9")
      #expect(try stranger.call("10.77.0.3:9000", timeout: .seconds(1)) != .answer("hello"))
      let links = try self.links(trio)
      let edges = links.filter { $0.hasPrefix("edge-") }
      #expect(edges.count == 3 && links.count { $0.hasPrefix("lookup-") } == 3)
      for link in links where link.hasPrefix("lookup-") || link.hasPrefix("edge-") { try self.detach(link, trio) }
      #expect(try stranger.call("10.77.0.3:9000", timeout: .seconds(1)) == .answer("hello"))
      #expect(
        try eventually(within: .seconds(5)) {
          try stranger.call("10.77.0.3:9000", timeout: .milliseconds(300)) != .answer("hello")
        })
      for link in edges {
        let path = trio.mesh.world.pinDirectory + "/v1/links/" + link
        #expect(try eventually { try BPFLink.pinned(link, path: path).info().target != 0 }, "\(link)")
      }
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  @Test("a link whose pin is removed stays attached, and its pin comes back; no call fails")
  func unpinned() throws {
    try Trio.with("unpin") { trio in
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      let before = try self.links(trio)
      for link in before { DiskFile.remove(trio.mesh.world.pinDirectory + "/v1/links/" + link) }
      #expect(try self.links(trio).isEmpty)
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try eventually(within: .seconds(5)) { try self.links(trio) == before })
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    }
  }

  @Test("F-29: sockets come back within seconds when the run directory is removed, and a new proxy finds them")
  func runDirectory() throws {
    try Trio.with("rundir") { trio in
      let mesh = trio.mesh
      let sockets = ["agent.sock", "proxy.sock", "fds.sock"]
      func ids() throws -> [FileID?] { try sockets.map { try DiskFile.status(mesh.runDirectory + "/" + $0)?.id } }
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      let first = try ids()
      #expect(!first.contains(nil))
      _ = try mesh.node.run(["rm", "-rf", mesh.runDirectory])
      #expect(try eventually { try mesh.martlet(["status"]).isSuccess })
      #expect(try eventually { try !ids().contains(nil) })
      #expect(try eventually { try DiskFile.status(mesh.runDirectory + "/cgroups") != nil })
      #expect(eventually { mesh.agent?.stderr.contains("somebody removed it: it is made again") ?? false })
      #expect(try Set(ids()).isDisjoint(with: first))
      // Its mode and owner are those of the first.
      for socket in sockets {
        let status = try DiskFile.status(mesh.runDirectory + "/" + socket)
        #expect(status?.mode == 0o140600, "\(socket)")
        #expect((status?.owner == 0) == (socket == "agent.sock"), "\(socket)")
      }
      // One of them in another's place.
      DiskFile.remove(mesh.runDirectory + "/proxy.sock")
      _ = try mesh.node.run(["touch", mesh.runDirectory + "/proxy.sock"])
      #expect(try eventually { try DiskFile.status(mesh.runDirectory + "/proxy.sock")?.isSocket == true })
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")

      let proxies = try mesh.proxies()
      for pid in proxies { try ProcessHandle.open(pid: pid).signal(9) }
      #expect(try trio.client.call("\(Self.vip):8080", timeout: .seconds(15)) == .answer("hello"))
      #expect(try Set(mesh.proxies()).isDisjoint(with: proxies))
      // Nobody else may have the directory: the lock is in the new one.
      #expect(try !mesh.launchAgent().finish(within: .seconds(10)).isSuccess)
      #expect(try mesh.martlet(["status"]).isSuccess)
    }
  }

  @Test("F-29: a BPF file system that is unmounted is mounted and filled again; no call fails")
  func unmounted() throws {
    try Trio.with(
      "unmount", prepare: { mesh in mesh.pinDirectory = mesh.world.directory + "/pins" }
    ) { trio in
      let mesh = trio.mesh
      let path = mesh.pinDirectory
      defer {
        _ = try? mesh.killAgent()
        _ = try? mesh.node.run(["umount", "-l", path])
      }
      func links() throws -> String { try mesh.node.run(["ls", path + "/v1/links"]).stdout }
      let before = try links()
      #expect(before.contains("connect4"))
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      #expect(try mesh.node.run(["umount", "-l", path]).isSuccess)
      #expect(try links() == "")
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try eventually { try links() == before })
      // What is pinned is what decides: the next agent adopts it.
      try mesh.killAgent()
      try mesh.startAgent()
      try mesh.waitUntilReady()
      #expect(mesh.agent?.stderr.contains("adopted=true") ?? false)
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    }
  }

  @Test("F-29: run directory and pins are wiped: traffic goes on, pins come back, and a restart finds everything")
  func wiped() throws {
    try Trio.with("wiped") { trio in
      let mesh = trio.mesh
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      let before = try self.links(trio)
      _ = try mesh.node.run(["sh", "-c", "rm -rf \"$1\"/* \"$2\"", "sh", mesh.runDirectory, mesh.world.pinDirectory])
      #expect(try DiskFile.status(mesh.world.pinDirectory) == nil)
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try eventually(within: .seconds(5)) { try self.links(trio) == before })
      // The lock of the new directory is the agent's too.
      let run = mesh.runDirectory
      mesh.runDirectory = run + "-2"
      let second = try mesh.launchAgent()
      mesh.runDirectory = run
      #expect(try !second.finish(within: .seconds(10)).isSuccess)
      #expect(
        second.stderr.contains("owns this pin directory") || second.stderr.contains("another agent's programs"),
        "\(second.stderr)")

      try mesh.killAgent()
      try mesh.killControl()
      try mesh.startControl()
      try mesh.startAgent()
      try mesh.waitUntilReady()
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try mesh.martlet(["status"]).isSuccess)
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    }
  }
}
