import Glibc
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The control plane's sockets, health and restart.
@Suite("The control plane on its host", .serialized)
struct ControlRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func api(_ mesh: Mesh, _ path: String) throws -> (status: String, body: String) {
    let done = try mesh.node.run([
      "curl", "-s", "-m", "3", "-w", "\n%{http_code}", "--unix-socket", mesh.runDirectory + "/api.sock",
      "http://control" + path,
    ])
    let lines = done.stdout.split(separator: "\n", omittingEmptySubsequences: false)
    return (lines.last.map(String.init) ?? "", lines.dropLast().joined(separator: "\n"))
  }

  @Test("BP-21: with mode 0666 a foreign user is closed at once, counted and told; agents are not disturbed")
  func opened() throws {
    try Trio.with("ctlopened") { trio in
      let mesh = trio.mesh
      let user = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"]
      for socket in ["control.sock", "api.sock"] {
        let path = mesh.runDirectory + "/" + socket
        #expect(try mesh.node.run(["chmod", "0666", path]).isSuccess)
        for _ in 0..<5 {
          let done = try mesh.node.run(user + ["python3", "-c", Self.connect, path])
          #expect(["closed\n", "ECONNRESET\n", "EPIPE\n"].contains(done.stdout), "\(socket): \(done)")
        }
      }
      let log = mesh.control?.stderr ?? ""
      #expect(log.contains("a connection was refused") && log.contains("uid=65533"), "\(log)")
      // The first, the second, the fourth.
      #expect(log.split(separator: "\n").count { $0.contains("a connection was refused") } == 3, "\(log)")
      #expect(try self.api(mesh, "/healthz").body.contains("5 strangers refused"))
      // What was refused leaves no descriptor behind.
      let pid = mesh.control?.pid ?? 0
      func descriptors() throws -> Int {
        try mesh.node.run(["ls", "/proc/\(pid)/fd"]).stdout.split(separator: "\n").count
      }
      let before = try descriptors()
      for _ in 0..<10 {
        _ = try mesh.node.run(user + ["python3", "-c", Self.connect, mesh.runDirectory + "/control.sock"])
      }
      #expect(try eventually(within: .seconds(5)) { try descriptors() <= before })
      try mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
      let followed = mesh.agent?.stderr ?? ""
      #expect(!followed.contains("no control plane"))
    }
  }

  @Test("healthz and readyz answer on the socket and, if wanted, on a port; not ready before anything is published")
  func health() throws {
    let world = try World("ctlhealth")
    defer { try? world.close() }
    let node = try world.node("a")
    let mesh = try Mesh(world, node: node)
    mesh.controlOptions = ["--health-address", "127.0.0.1:15022"]
    try mesh.startControl()
    #expect(try eventually { try self.api(mesh, "/healthz").status == "200" })
    // No file yet: nothing is published.
    let early = try self.api(mesh, "/readyz")
    #expect(early.status == "503" && early.body.contains("nothing is published yet"), "\(early)")
    try mesh.apply("kind: Namespace\napiVersion: v1\nmetadata: {name: demo}\n")
    #expect(try eventually { try self.api(mesh, "/readyz").status == "200" })
    try mesh.apply("kind: [Namespace")
    #expect(try eventually { try self.api(mesh, "/readyz").body.contains("1 errors; ") })
    #expect(try self.api(mesh, "/readyz").status == "200")
    let port = try node.run(["curl", "-s", "-m", "3", "http://127.0.0.1:15022/readyz"]).stdout
    #expect(port.hasSuffix("ok\n"), "\(port)")
    #expect(try self.api(mesh, "/v2").status == "404")
    let mode = try DiskFile.status(mesh.runDirectory + "/api.sock")?.mode
    #expect(mode == 0o140600)
    // A second one does not take the first one's sockets.
    let second = try mesh.launchControl()
    #expect(try !second.finish(within: .seconds(10)).isSuccess)
    #expect(try self.api(mesh, "/readyz").status == "200")
  }

  @Test(
    "F-29: control.sock and api.sock come back within seconds; the agent's session goes on, and a new agent finds them")
  func wiped() throws {
    try Trio.with("ctlwiped") { trio in
      let mesh = trio.mesh
      func id() throws -> FileID? { try DiskFile.status(mesh.controlSocket)?.id }
      let first = try id()
      #expect(first != nil)
      for round in 0..<3 {
        if round == 1 {
          // One file alone, in whose place something else stands.
          DiskFile.remove(mesh.controlSocket)
          _ = try mesh.node.run(["touch", mesh.controlSocket])
        } else {
          _ = try mesh.node.run(["rm", "-rf", mesh.runDirectory])
        }
        #expect(
          try eventually(within: .seconds(10)) {
            try DiskFile.status(mesh.controlSocket)?.isSocket == true && self.api(mesh, "/readyz").status == "200"
          }, "\(round): \(mesh.control?.stderr ?? "")")
        #expect(try DiskFile.status(mesh.controlSocket)?.mode == 0o140600)
      }
      #expect(try id() != first)
      let repaired = mesh.control?.stderr ?? ""
      #expect(repaired.contains("somebody removed it: it is made again"))
      // The session that was there goes on: it follows a change and was not begun anew.
      try mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
      let followed = mesh.agent?.stderr ?? ""
      #expect(!followed.contains("no control plane"), "\(followed)")
      try mesh.killAgent()
      try mesh.startAgent()
      try mesh.waitUntilReady()
      try mesh.apply(trio.resources(Manifest.allow("client", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .refused })
      let status = try mesh.martlet(["status"])
      #expect(status.stdout.contains("connected to unix:"), "\(status)")
      // Ends in time, with the sessions of both sockets.
      #expect(try mesh.control?.stop().isSuccess == true)
    }
  }

  @Test("CF-05: a control plane that is restarted while a file is broken serves the file's last good content")
  func restartBroken() throws {
    try Trio.with("ctlbroken") { trio in
      let mesh = trio.mesh
      try mesh.apply("kind: [Workload", file: "mesh.yaml")
      #expect(eventually { (mesh.control?.stderr ?? "").contains("mesh.yaml") })
      let told = mesh.control?.stderr ?? ""
      #expect(told.contains("martlet dryrun"), "\(told)")
      for _ in 0..<2 {
        try mesh.killControl()
        try mesh.startControl()
        #expect(try eventually { try self.api(mesh, "/readyz").status == "200" })
      }
      // An agent that knows nothing gets all of it.
      try mesh.killAgent()
      for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      DiskFile.remove(mesh.stateDirectory + "/agent/snapshot")
      #expect(try mesh.node.run([Mesh.binaries + "/martlet", "purge"] + mesh.instance).isSuccess)
      try mesh.startAgent()
      try mesh.waitUntilReady()
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      // Healed, it moves on.
      try mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
    }
  }

  @Test("a proxy and BPF objects that are named by relative paths are found from where the agent was started")
  func relativePaths() throws {
    let world = try World("relative")
    defer { try? world.close() }
    let node = try world.node("a")
    let server = try node.pod("server", v4: "10.77.0.3")
    let client = try node.pod("client", v4: "10.77.0.2")
    try server.startEcho(port: 9000)
    let mesh = try Mesh(world, node: node)
    try mesh.apply(
      Manifest.workload("server", server) + Manifest.workload("client", client)
        + Manifest.service("server", ip: Self.vip))
    mesh.agentOptions = ["--proxy", "./debug/martlet-proxy", "--bpf-dir", "../.build/bpf"]
    try mesh.start(wrapper: ["env", "-C", Mesh.root + "/.build"])
    #expect(try client.call("\(Self.vip):8080") == .answer("hello"))
    for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
    #expect(try client.call("\(Self.vip):8080", timeout: .seconds(15)) == .answer("hello"))
  }

  /// Sends the beginning of HTTP/2 and waits at most 3 s for the end.
  private static let connect = """
    import errno, socket, sys
    try:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(3)
        s.connect(sys.argv[1])
        s.send(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        print("data" if s.recv(100) else "closed")
    except socket.timeout: print("timeout")
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """
}
