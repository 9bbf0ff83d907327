import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The agent as it is on kernels before 6.6, where veths are guarded by clsact filters. Here it is told so; on the kernels
/// themselves `scripts/kernels` runs it.
@Suite("Veths guarded by filters", .serialized)
struct EdgeFilterRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func with(_ name: String, _ body: (Trio) throws -> Void) throws {
    try Trio.with(name, prepare: { $0.agentOptions = ["--edge-filters"] }, body)
  }

  /// Names of the node's interfaces that have our filter.
  private func filters(_ trio: Trio) throws -> [String] {
    try [trio.client, trio.server, trio.intruder].map(\.hostInterface).filter { interface in
      try trio.mesh.node.run(["tc", "filter", "show", "dev", interface, "ingress"]).stdout.contains("mesh_edge")
    }
  }

  private func notes(_ trio: Trio) throws -> Int {
    try trio.mesh.node.run(["ls", trio.mesh.world.pinDirectory + "/v1/filters"]).stdout
      .split(separator: "\n").count { $0.hasPrefix("edge-") }
  }

  private func qdiscs(_ trio: Trio) throws -> Bool {
    try trio.mesh.node.run(["tc", "qdisc", "show"]).stdout.contains("clsact")
  }

  /// Datagrams with an address that is not the client's, sent by hand; how many the server got.
  private func forged(_ trio: Trio, source: String = "10.77.0.9") throws -> Int {
    let listener = try trio.server.start(["python3", "-c", Self.datagrams])
    #expect(eventually { listener.stdout.contains("ready") })
    let sent = try trio.client.run([
      "python3", Mesh.root + "/Tests/MeshBPFTests/probe.py", "forge", "ipv4", "--source", source, "--destination",
      "10.77.0.3",
    ])
    #expect(sent.isSuccess, "\(sent)")
    let last = try trio.client.run([
      "python3", "-c", "import socket; socket.socket(2, 2).sendto(b'last', ('10.77.0.3', 9))",
    ])
    #expect(last.isSuccess, "\(last)")
    let heard = try listener.finish(within: .seconds(20)).stdout
    return heard.split(separator: "\n").count { $0 == "forged" }
  }

  /// Says what comes until the last word.
  private static let datagrams = """
    import socket
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.77.0.3", 9))
    s.settimeout(15)
    print("ready", flush=True)
    while (word := s.recv(100)[:6].decode()) != "last":
        print(word, flush=True)
    """

  @Test("forged sources are dropped, also while no agent runs; its successor adopts without a failed call")
  func adopted() throws {
    try self.with("edgefilter") { trio in
      let mesh = trio.mesh
      #expect(try self.filters(trio).count == 3)
      #expect(try self.notes(trio) == 3)
      #expect(try self.forged(trio, source: "10.77.0.2") == 5)
      #expect(try self.forged(trio) == 0)
      let shown = try mesh.martlet(["show", "programs", "-o", "json"])
      #expect(shown.stdout.split(separator: "edge-").count == 4, "\(shown)")

      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80"])
      #expect(eventually { loop.stdout.contains("ok") })
      try mesh.killAgent()
      #expect(try self.forged(trio) == 0)
      try mesh.startAgent()
      try mesh.waitUntilReady()
      #expect(try self.filters(trio).count == 3)
      #expect(try self.forged(trio) == 0)
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
    }
  }

  @Test("a filter that somebody removes is back within 5 seconds; that of a withdrawn workload goes")
  func mended() throws {
    try self.with("edgemend") { trio in
      let mesh = trio.mesh
      let interface = trio.client.hostInterface
      #expect(try mesh.node.run(["tc", "filter", "del", "dev", interface, "ingress"]).isSuccess)
      #expect(try eventually(within: .seconds(5)) { try self.filters(trio).contains(interface) })
      #expect(try self.forged(trio) == 0)
      try mesh.apply(
        Manifest.workload("server", trio.server) + Manifest.service("server", ip: Self.vip)
          + Manifest.allow("client", to: "server"))
      #expect(try eventually { try self.filters(trio) == [trio.server.hostInterface] })
      #expect(try eventually { try self.notes(trio) == 1 })

      // What is withdrawn while no agent runs goes with the next start.
      try mesh.killAgent()
      try mesh.apply(Manifest.workload("client", trio.client))
      try mesh.startAgent()
      #expect(try eventually(within: .seconds(20)) { try self.filters(trio) == [interface] })
      #expect(try eventually { try self.notes(trio) == 1 })
    }
  }

  @Test("purge after kill -9 of everything leaves no filter, no qdisc and no pin; detach removes filters too")
  func purge() throws {
    try self.with("edgepurge") { trio in
      let mesh = trio.mesh
      try mesh.killAgent()
      try mesh.killControl()
      for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      let detached = try mesh.node.run([Mesh.binaries + "/martlet", "detach", "--pin-dir", mesh.world.pinDirectory])
      #expect(detached.stdout.split(separator: "\n").count { $0.hasPrefix("detached edge-") } == 3, "\(detached)")
      #expect(try self.filters(trio).isEmpty)

      try mesh.startControl()
      try mesh.startAgent()
      try mesh.waitUntilReady()
      #expect(try eventually { try self.filters(trio).count == 3 })
      try mesh.killAgent()
      for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      let purged = try mesh.node.run([Mesh.binaries + "/martlet", "purge"] + mesh.instance)
      #expect(purged.isSuccess, "\(purged)")
      #expect(try self.filters(trio).isEmpty)
      #expect(try !self.qdiscs(trio))
      #expect(try DiskFile.status(mesh.world.pinDirectory) == nil)
      #expect(try self.forged(trio) == 5)
    }
  }
}
