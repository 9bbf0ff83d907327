import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// What others may not read or write, and what a broken file may not do.
@Suite("Files", .serialized)
struct FileRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  @Test("BP-21: an unprivileged user reads no pin, connects to no socket and reads no state")
  func unprivileged() throws {
    try Trio.with("unprivileged") { trio in
      let mesh = trio.mesh
      #expect(try eventually { try DiskFile.status(mesh.stateDirectory + "/agent/snapshot") != nil })
      let user = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"]
      let pins = mesh.world.pinDirectory
      for path in [pins, pins + "/v1/maps", pins + "/v1/links", mesh.stateDirectory + "/agent"] {
        let list = try mesh.node.run(user + ["ls", path])
        #expect(!list.isSuccess && list.stdout.isEmpty, "\(path): \(list.stdout)")
      }
      for path in [mesh.stateDirectory + "/agent/snapshot", mesh.runDirectory + "/cgroups"] {
        let bytes = try mesh.node.run(user + ["cat", path])
        #expect(!bytes.isSuccess && bytes.stdout.isEmpty, "\(path)")
      }
      let open = try mesh.node.run(user + ["bpftool", "map", "dump", "pinned", pins + "/v1/maps/mesh_pods_v1"])
      #expect(!open.isSuccess)
      for socket in ["agent.sock", "control.sock", "api.sock", "proxy.sock", "fds.sock"] {
        let path = mesh.runDirectory + "/" + socket
        #expect(try DiskFile.status(path)?.isSocket == true, "\(path)")
        let done = try mesh.node.run(user + ["python3", "-c", Self.connect, path])
        #expect(done.stdout == "EACCES\n", "\(socket): \(done)")
      }
      // The account of the proxy alone does not make one: it has to be in the proxy's cgroup.
      let proxyUser = ["setpriv", "--reuid", "nobody", "--regid", "65534", "--clear-groups"]
      for socket in ["proxy.sock", "fds.sock"] {
        let done = try mesh.node.run(proxyUser + ["python3", "-c", Self.connect, mesh.runDirectory + "/" + socket])
        #expect(["closed\n", "ECONNRESET\n", "EPIPE\n"].contains(done.stdout), "\(socket): \(done)")
      }
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
    }
  }

  @Test("BP-21: sockets whose mode somebody opens to all still refuse a foreign user")
  func opened() throws {
    try Trio.with("opened") { trio in
      let mesh = trio.mesh
      let user = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"]
      for socket in ["agent.sock", "proxy.sock", "fds.sock"] {
        let path = mesh.runDirectory + "/" + socket
        #expect(try mesh.node.run(["chmod", "0666", path]).isSuccess)
        let done = try mesh.node.run(user + ["python3", "-c", Self.connect, path])
        #expect(["closed\n", "ECONNRESET\n", "EPIPE\n"].contains(done.stdout), "\(socket): \(done)")
      }
      let asked = try mesh.node.run(
        user + ["curl", "-s", "-m", "3", "--unix-socket", mesh.runDirectory + "/agent.sock", "http://a/v1/status"])
      #expect(!asked.isSuccess && asked.stdout.isEmpty, "\(asked)")
      #expect(try mesh.martlet(["status"]).isSuccess)
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
    }
  }

  @Test("CF-01 to CF-04: hostile files beside good ones open nothing; each is told with its file")
  func hostile() throws {
    try Trio.with("hostile") { trio in
      let mesh = trio.mesh
      let policy = """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: bad, namespace: demo}

        """
      let rows: [(id: String, text: String)] = [
        (
          "CF-01 alias bomb",
          "a: &a [x]\n" + (1...9).map { "b\($0): &b\($0) [*a, *a, *a]\n" }.joined() + "kind: Namespace\n"
        ),
        ("CF-01 nesting", "kind: " + String(repeating: "[", count: 10_000) + "\n"),
        ("CF-01 duplicate key", policy + "spec: {}\nspec: {}\n"),
        ("CF-01 size", "# " + String(repeating: "x", count: 2 << 20) + "\n" + policy),
        ("CF-02 unknown field", policy + "spec: {rulez: []}\n"),
        ("CF-02 port", policy + "spec: {action: DENY, rules: [{to: [{operation: {ports: [\"-1\"]}}]}]}\n"),
        ("CF-02 large port", policy + "spec: {rules: [{to: [{operation: {ports: [\"18446744073709551616\"]}}]}]}\n"),
        ("CF-03 block", policy + "spec: {rules: [{from: [{source: {ipBlocks: [\"10.0.0.0/33\"]}}]}]}\n"),
        (
          "CF-04 DENY by path on a TCP port",
          policy
            + "spec: {action: DENY, selector: {matchLabels: {app: server}}, rules: [{to: [{operation: {paths: [\"/x\"]}}]}]}\n"
        ),
      ]
      for row in rows {
        let before = mesh.control?.stderr.count ?? 0
        try mesh.apply(row.text, file: "bad.yaml")
        let isTold = eventually { (mesh.control?.stderr ?? "").dropFirst(before).contains("bad.yaml") }
        #expect(isTold, "\(row.id): \(mesh.control?.stderr.suffix(2000) ?? "")")
        // A policy that cannot be read could have been a DENY: nobody may call until it can.
        let wanted: CallOutcome = row.text.contains("kind: AuthorizationPolicy") ? .refused : .answer("hello")
        #expect(try eventually { try trio.client.call("\(Self.vip):80") == wanted }, "\(row.id)")
        #expect(try trio.intruder.call("\(Self.vip):80") == .refused, "\(row.id)")
        let dry = try mesh.node.run([Mesh.binaries + "/martlet", "dryrun", "-f", mesh.resources])
        #expect(!dry.isSuccess && (dry.stdout + dry.stderr).contains("bad.yaml"), "\(row.id): \(dry)")
      }
      DiskFile.remove(mesh.resources + "/bad.yaml")
      try mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
    }
  }

  @Test("CF-05: a broken or half-written file keeps the last good resources in force, and its problem is told")
  func lastGood() throws {
    try Trio.with("lastgood") { trio in
      let good = trio.resources(Manifest.allow("client", to: "server"))
      let path = trio.mesh.resources + "/mesh.yaml"
      for (index, broken) in [
        "kind: [Service", String(good.prefix(good.count / 2)) + "\n  - : {", "\u{0}\u{0}", "kind: Unheard\n",
      ].enumerated() {
        let before = trio.mesh.control?.stderr.count ?? 0
        // In place, as a careless tool does.
        try broken.write(toFile: path)
        let isTold = eventually {
          (trio.mesh.control?.stderr ?? "").dropFirst(before).contains("mesh.yaml")
        }
        #expect(isTold, "\(index): \(trio.mesh.control?.stderr ?? "")")
        #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
        #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
        #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      }
      try trio.mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
    }
  }

  /// Connects to a Unix socket of either kind and says how that ended; `data` if the other side spoke first.
  private static let connect = """
    import errno, socket, sys
    try:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.argv[1].endswith("fds.sock") else socket.SOCK_STREAM)
        s.settimeout(3)
        s.connect(sys.argv[1])
        s.send(bytes(8))
        print("data" if s.recv(100) else "closed")
    except socket.timeout: print("timeout")
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """
}
