import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// One agent an instance, from its first moment until nothing of it is left. Rows BP-19 and BP-20.
@Suite("Instances", .serialized)
struct InstanceRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  /// A second agent of another instance but for what `change` says. It has to end by itself, with a reason.
  private func refusal(_ trio: Trio, _ change: (Mesh) -> Void) throws -> String {
    let mesh = trio.mesh
    let (run, pins, options) = (mesh.runDirectory, mesh.pinDirectory, mesh.agentOptions)
    defer { (mesh.runDirectory, mesh.pinDirectory, mesh.agentOptions) = (run, pins, options) }
    change(mesh)
    let ended = try mesh.launchAgent().finish(within: .seconds(10))
    #expect(!ended.isSuccess)
    return ended.stderr
  }

  private func expectServed(_ trio: Trio) throws {
    #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
    #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
  }

  @Test("BP-20: a second agent on the same run directory, pins or cgroup ends with a reason, and the first goes on")
  func second() throws {
    try Trio.with("second") { trio in
      let other = trio.mesh.runDirectory + "-2"
      let pins = trio.mesh.pinDirectory + "-2"
      #expect(try self.refusal(trio) { _ in }.contains("owns this run directory"))
      #expect(try self.refusal(trio) { $0.pinDirectory = pins }.contains("owns this run directory"))
      #expect(try self.refusal(trio) { $0.runDirectory = other }.contains("owns this pin directory"))
      let cgroup = try self.refusal(trio) { mesh in
        mesh.runDirectory = other
        mesh.pinDirectory = pins
      }
      #expect(cgroup.contains("attached to this cgroup or one above it"), "\(cgroup)")
      #expect(try DiskFile.status(pins) == nil)
      try self.expectServed(trio)
      #expect(try trio.mesh.martlet(["status"]).isSuccess)
    }
  }

  @Test("BP-20: agents whose cgroup roots nest are refused, whichever comes first; one beside the other is not")
  func nested() throws {
    try Trio.with("nested") { trio in
      let mesh = trio.mesh
      let other = mesh.runDirectory + "-2"
      let pins = mesh.pinDirectory + "-2"
      func refusal(root: String) throws -> String {
        try self.refusal(trio) { mesh in
          mesh.runDirectory = other
          mesh.pinDirectory = pins
          // The last one counts.
          mesh.agentOptions += ["--cgroup-root", root]
        }
      }
      let below = try refusal(root: trio.client.cgroup.path)
      #expect(below.contains("attached to this cgroup or one above it"), "\(below)")
      let above = try refusal(root: mesh.world.cgroup.path)
      #expect(above.contains("attached to a cgroup below it: \(mesh.node.cgroup.path)"), "\(above)")
      try self.expectServed(trio)
    }
  }

  @Test("BP-20: of two agents started at once exactly one serves; after kill -9 of all, locks do not stay")
  func atOnce() throws {
    try Trio.with("atonce") { trio in
      let mesh = trio.mesh
      for round in 0..<3 {
        try mesh.killAgent()
        for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
        if round == 1 {
          try mesh.killControl()
          try mesh.startControl()
        }
        if round == 2 {
          // Not adopted this time, but loaded.
          #expect(try mesh.node.run([Mesh.binaries + "/martlet", "purge"] + mesh.instance).isSuccess)
        }
        let pair = [try mesh.launchAgent(), try mesh.launchAgent()]
        #expect(eventually(within: .seconds(15)) { pair.count(where: \.isRunning) == 1 })
        let loser = pair[0].isRunning ? pair[1] : pair[0]
        #expect(loser.stderr.contains("owns this run directory"), "\(loser.stderr)")
        try mesh.waitUntilReady()
        #expect(pair.count(where: \.isRunning) == 1)
        try self.expectServed(trio)
        #expect(try mesh.proxies().count == 1)
        mesh.take(pair[0].isRunning ? pair[0] : pair[1])
      }
    }
  }

  @Test("BP-19: an agent that finds pins of another layout refuses, and what runs goes on")
  func otherLayout() throws {
    try Trio.with("layout") { trio in
      let mesh = trio.mesh
      try mesh.killAgent()
      #expect(try mesh.node.run(["mkdir", mesh.pinDirectory + "/v2"]).isSuccess)
      let ended = try mesh.launchAgent().finish(within: .seconds(10))
      #expect(!ended.isSuccess && ended.stderr.contains("pins of another layout (v2)"), "\(ended.stderr)")
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try mesh.node.run(["rmdir", mesh.pinDirectory + "/v2"]).isSuccess)
      try mesh.startAgent()
      try mesh.waitUntilReady()
      try self.expectServed(trio)
    }
  }

  @Test("purge after kill -9 of everything leaves nothing")
  func purge() throws {
    try Trio.with("purge") { trio in
      let mesh = trio.mesh
      try self.killAll(mesh)
      let purged = try mesh.node.run([Mesh.binaries + "/martlet", "purge"] + mesh.instance)
      #expect(purged.isSuccess, "\(purged)")
      #expect(try DiskFile.status(mesh.pinDirectory) == nil)
      #expect(try DiskFile.status(mesh.runDirectory) == nil)
      for name in ["proxy", "agent"] { #expect(try DiskFile.status(mesh.node.cgroup.path + "/" + name) == nil) }
      #expect(try trio.intruder.call("10.77.0.3:9000") == .answer("hello"))
      let links = try mesh.node.run(["bpftool", "net", "list"]).stdout
      #expect(!links.contains("edge"), "\(links)")
    }
  }

  @Test("purge knows its file systems among more mounts than the kernel tells at once, and takes all notes")
  func purgeAmongMounts() throws {
    let world = try World("mounts")
    defer { try? world.close() }
    // In a mount namespace of its own, which ends with the command.
    let script = """
      set -e
      mkdir "$1"
      for i in $(seq 150); do mkdir "$1/$i"; mount -t tmpfs none "$1/$i"; done
      mkdir "$1/bpf"
      mount -t bpf none "$1/bpf"
      mkdir -p "$1/bpf/martlet/v1" "$1/run"
      touch "$1/run/containers"
      "$2" purge --pin-dir "$1/bpf/martlet" --run-dir "$1/run"
      test ! -e "$1/bpf/martlet"
      test ! -e "$1/run"
      """
    let purged = try world.node("a").run([
      "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", world.directory + "/many",
      Mesh.binaries + "/martlet",
    ])
    #expect(purged.isSuccess, "\(purged)")
  }

  @Test("purge beside a control plane that serves leaves its socket, and the next agent finds it")
  func purgeBesideControl() throws {
    try Trio.with("purgectl") { trio in
      let mesh = trio.mesh
      try mesh.killAgent()
      let purged = try mesh.node.run([Mesh.binaries + "/martlet", "purge"] + mesh.instance)
      #expect(purged.isSuccess, "\(purged)")
      #expect(try DiskFile.status(mesh.controlSocket)?.isSocket == true)
      #expect(try DiskFile.status(mesh.runDirectory + "/agent.sock") == nil)
      try mesh.startAgent()
      try mesh.waitUntilReady()
      try self.expectServed(trio)
    }
  }

  @Test("kill -9 of everything and purge at the default paths, in a mount namespace of their own, leave nothing")
  func defaultPaths() throws {
    let world = try World("defaults")
    defer { try? world.close() }
    let node = try world.node("a")
    defer { _ = try? node.run(["sh", "-c", "rmdir /run/martlet /var/lib/martlet 2>/dev/null; true"]) }
    let server = try node.pod("server", v4: "10.77.0.3")
    let client = try node.pod("client", v4: "10.77.0.2")
    try server.startEcho(port: 9000)
    // Afterwards: mounts that come later, as those of namespaces, are not seen inside.
    let keeper = try node.start(["unshare", "-m", "--propagation", "private", "sh", "-c", Self.mounts])
    #expect(eventually { keeper.stdout.contains("ready") }, "\(keeper.stderr)")
    let inside = ["nsenter", "-t", "\(keeper.pid)", "-m", "--"]
    let resources = world.directory + "/resources"
    try DiskFile.makeDirectory(resources, mode: 0o755)
    try
      (Manifest.workload("server", server) + Manifest.workload("client", client)
      + Manifest.service("server", ip: Self.vip)).write(toFile: resources + "/mesh.yaml")
    let control = try node.start(
      inside + [
        Mesh.binaries + "/martlet-control", "--resources", resources, "--socket", "/run/martlet/control.sock",
        "--state-dir", "/var/lib/martlet/control",
      ])
    let agent = try node.start(
      inside + [
        Mesh.binaries + "/martletd", "--node", "a", "--control", "unix:/run/martlet/control.sock", "--bpf-dir",
        Mesh.root + "/.build/bpf", "--proxy", Mesh.binaries + "/martlet-proxy", "--proxy-user", "nobody",
        "--health-address", "127.0.0.1:15021", "--metrics-address", "127.0.0.1:15020", "--cgroup-root",
        node.cgroup.path, "--no-http",
      ])
    #expect(
      try eventually(within: .seconds(20)) {
        try client.call("\(Self.vip):8080", timeout: .seconds(1)) == .answer("hello")
      },
      "\(agent.stderr)")
    let proxies = try Cgroup.open(path: node.cgroup.path + "/proxy").processes()
    for process in [agent, control] { try process.kill() }
    for pid in proxies { try ProcessHandle.open(pid: pid).signal(9) }
    let purged = try node.run(inside + [Mesh.binaries + "/martlet", "purge"])
    #expect(purged.isSuccess, "\(purged)")
    let left = try node.run(inside + ["sh", "-c", "ls -A /run/martlet /sys/fs/bpf/martlet 2>/dev/null; true"])
    // The mount point of the run directory is the test's.
    #expect(left.stdout.split(separator: "\n").filter { !$0.hasSuffix(":") }.isEmpty, "\(left.stdout)")
    #expect(try client.call("\(Self.vip):80", timeout: .seconds(1)) != .answer("hello"))
    #expect(try client.call("10.77.0.3:9000") == .answer("hello"))
    for name in ["proxy", "agent"] { #expect(try DiskFile.status(node.cgroup.path + "/" + name) == nil) }
    try keeper.kill()
  }

  private static let mounts = """
    set -e
    mkdir -p /run/martlet /var/lib/martlet
    mount -t tmpfs tmpfs /run/martlet
    mount -t tmpfs tmpfs /var/lib/martlet
    mount -t bpf bpf /sys/fs/bpf
    echo ready
    exec sleep 300
    """

  private func killAll(_ mesh: Mesh) throws {
    try mesh.killAgent()
    try mesh.killControl()
    for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
  }
}
