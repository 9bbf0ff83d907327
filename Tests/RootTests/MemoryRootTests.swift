import Glibc
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// The proxy in a cgroup with little memory. Rows RS-06 and F-26.
@Suite("Little memory", .serialized)
struct MemoryRootTests {
  private static let limit = 64 << 20

  /// A cgroup of the memory controller, in whichever version it is there.
  private struct Limited {
    let path: String
    let isUnified: Bool

    init(_ node: WorldNode, _ name: String, limit: Int, user: String) throws {
      self.isUnified = try DiskFile.status("/sys/fs/cgroup/memory/cgroup.procs") == nil
      self.path = self.isUnified ? node.cgroup.path + "/limited" : "/sys/fs/cgroup/memory/\(name)"
      let enable = self.isUnified ? "echo +memory >\"$(dirname \"$1\")/cgroup.subtree_control\" &&" : ""
      let file = self.isUnified ? "memory.max" : "memory.limit_in_bytes"
      let made = try node.run([
        "sh", "-c",
        "\(enable) mkdir -p \"$1\" && echo \(limit) >\"$1/\(file)\" && chown \(user) \"$1\" \"$1/cgroup.procs\"", "sh",
        self.path,
      ])
      guard made.isSuccess else { throw MeshError(.unavailable, self.path, "no memory is limited", cause: made.stderr) }
    }

    func number(_ file: String) -> Int {
      (try? String(contentsOfSmallFile: self.path + "/" + file)).flatMap { Int($0.split(separator: "\n")[0]) } ?? 0
    }

    var used: Int { self.number(self.isUnified ? "memory.current" : "memory.usage_in_bytes") }

    /// How often the kernel ended somebody for want of memory.
    var kills: Int {
      let text =
        (try? String(contentsOfSmallFile: self.path + (self.isUnified ? "/memory.events" : "/memory.oom_control")))
      let line = text?.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
      return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
    }

    func remove() { rmdir(self.path) }
  }

  /// `PORT NAME`: answers with its name, and with 4 MiB at /large.
  private static let server = """
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        def do_GET(self):
            body = b"x" * (4 << 20) if self.path == "/large" else sys.argv[2].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1024
        daemon_threads = True
        def handle_error(self, *_): pass
    Server(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
    """

  /// `HOST HEADS READERS`: so many heads of 30 KB that do not end, and clients that never read what they asked for. Says how many
  /// stood, then waits.
  private static let hoard = """
    import resource, signal, socket, sys, time
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held, lost = [], 0
    def begin(text):
        global lost
        s = socket.socket()
        s.settimeout(5)
        try:
            s.connect((sys.argv[1], 80))
            s.sendall(text)
            held.append(s)
        except OSError: lost += 1
    head = b"GET / HTTP/1.1\\r\\nhost: web\\r\\n" + b"".join(b"x-%d: " % n + b"v" * 990 + b"\\r\\n" for n in range(30))
    for n in range(max(int(sys.argv[2]), int(sys.argv[3]))):
        if n < int(sys.argv[3]): begin(b"GET /large HTTP/1.1\\r\\nhost: web\\r\\n\\r\\n")
        if n < int(sys.argv[2]): begin(head)
    print("done", len(held), lost, flush=True)
    signal.pause()
    """

  @Test("RS-06, F-26: unfinished heads and slow readers make it shed, not die, and it serves again when they are gone")
  func hoard() throws {
    try HTTPRootTests().with("memory", servers: ["web"], program: ["python3", "-c", Self.server]) { shop in
      let mesh = shop.mesh
      let limited = try Limited(mesh.node, "martlet-test-\(getpid())-proxy", limit: Self.limit, user: "nobody")
      defer { limited.remove() }
      mesh.proxyWrapper = ["sh", "-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"", limited.path]
      try shop.apply({ $0 }, HTTPRootTests.service("web", ip: HTTPRootTests.vip, app: "web"))
      try mesh.start()
      defer {
        _ = try? mesh.killAgent()
        for pid in (try? mesh.proxies()) ?? [] { _ = try? ProcessHandle.open(pid: pid).signal(9) }
        _ = eventually {
          limited.remove()
          return access(limited.path, F_OK) != 0
        }
      }
      let url = "http://\(HTTPRootTests.vip)/"
      let isThere = try eventually(within: .seconds(20)) { try shop.get(url) == "200 web" }
      #expect(isThere)
      // A program that its wrapper became is replaced once.
      let isAlone = try eventually(within: .seconds(20)) { try mesh.proxies().count == 1 }
      #expect(isAlone)
      let proxies = try mesh.proxies()
      let atRest = limited.used
      let hoard = try shop.client.start(["python3", "-c", Self.hoard, HTTPRootTests.vip, "3000", "300"])
      var (most, answers) = (0, [String: Int]())
      _ = try eventually(within: .seconds(60)) {
        most = max(most, limited.used)
        answers[try shop.get(url), default: 0] += 1
        return hoard.stdout.contains("done")
      }
      for _ in 0..<20 {
        most = max(most, limited.used)
        answers[try shop.get(url), default: 0] += 1
      }
      print("memory: \(atRest >> 20) MiB at rest, at most \(most >> 20); \(hoard.stdout) \(answers)")
      #expect(limited.kills == 0)
      let after = try mesh.proxies()
      #expect(after == proxies)
      #expect(mesh.agent?.stderr.contains("memory runs out") ?? false)
      // Whoever is not served is told so.
      #expect(Set(answers.keys).isSubset(of: ["200 web", "503 overloaded", "000"]), "\(answers)")
      try hoard.kill()
      let isBack = try eventually(within: .seconds(20)) { try shop.get(url) == "200 web" }
      #expect(isBack)
      let last = try mesh.proxies()
      #expect(last == proxies && limited.kills == 0)
    }
  }
}
