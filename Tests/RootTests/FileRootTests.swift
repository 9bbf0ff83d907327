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
      for socket in ["agent.sock", "control.sock", "proxy.sock", "fds.sock"] {
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
