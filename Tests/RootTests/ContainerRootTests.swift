import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Containers of a real podman: found by name, id and labels, enrolled before they start, followed.
@Suite("Containers", .serialized)
struct ContainerRootTests {
  /// `web` may call `server`, and is the only one; it may not call `closed`, which is open to everybody else.
  private struct Host {
    static let server = "240.0.0.31"
    static let closed = "10.77.0.4"

    let mesh: Mesh
    let podman: Podman
    let web: WorldPod
    let other: WorldPod

    static func with(_ name: String, selector: String, hook: Bool = true, _ body: (Host) throws -> Void) throws {
      let world = try World(name)
      defer { try? world.close() }
      let node = try world.node("a")
      let server = try node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
      let closed = try node.pod("closed", v4: self.closed, v6: "fd77::4")
      let web = try node.pod("web", v4: "10.77.0.5", v6: "fd77::5")
      let other = try node.pod("other", v4: "10.77.0.6", v6: "fd77::6")
      for pod in [server, closed] { try pod.startEcho(port: 9000) }
      let mesh = try Mesh(world, node: node)
      let podman = try Podman(
        on: node,
        hook: hook ? [Mesh.binaries + "/martlet", "oci-hook", "--run-dir", mesh.runDirectory, "--timeout", "5"] : nil)
      defer { try? podman.close() }
      mesh.agentOptions = ["--podman-socket", podman.socket]
      let host = Host(mesh: mesh, podman: podman, web: web, other: other)
      try mesh.apply(
        Manifest.workload("server", server) + Manifest.workload("closed", closed)
          + Manifest.service("server", ip: self.server) + Manifest.allow("web", to: "server")
            + """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: Workload
            metadata: {name: web, namespace: demo, labels: {app: web}}
            spec: {node: a, serviceAccount: web, container: \(selector)}
            ---
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: not-web, namespace: demo}
            spec:
              selector: {matchLabels: {app: closed}}
              action: DENY
              rules:
                - from: [{source: {principals: ["cluster.local/ns/demo/sa/web"]}}]

            """)
      try mesh.start()
      do {
        try body(host)
      } catch {
        Issue.record("agent: \(mesh.agent?.stderr ?? "")")
        throw error
      }
    }

    /// Calls both at once when it starts, and says what came.
    func calls(_ options: [String], in pod: WorldPod) throws -> Finished {
      try self.podman.start(
        ["--rm", "--network", "ns:" + pod.namespacePath] + options,
        [
          "sh", "-c",
          """
          a=$(echo hello | nc -w 3 \(Self.server) 80 2>/dev/null || echo none)
          b=$(echo hello | nc -w 3 \(Self.closed) 9000 2>/dev/null || echo none)
          echo "$a $b"
          """,
        ])
    }

    /// How often this agent said that a container ran before it was enrolled, and what to install.
    var lateStarts: Int {
      (self.mesh.agent?.stderr ?? "").split(separator: "\n").count {
        $0.contains("ran before it was enrolled") && $0.contains("oci/hooks.d/martlet.json")
      }
    }

    func isEnrolled(_ wanted: Bool) throws -> Bool {
      try eventually(within: .seconds(10)) {
        try self.mesh.martlet(["show", "workloads", "demo/web", "-o", "json"]).stdout.contains(
          "\"enrolled\" : \(wanted)")
      }
    }
  }

  @Test("a container by name makes no call outside of the mesh, start after start; others are let be")
  func named() throws {
    try Host.with("cname", selector: "{name: web}") { host in
      for _ in 0..<10 {
        let said = try host.calls(["--name", "web"], in: host.web)
        #expect(said.stdout == "hello none\n", "\(said)\n\(host.mesh.agent?.stderr.suffix(2000) ?? "")")
      }
      let other = try host.calls(["--name", "other"], in: host.other)
      #expect(other.stdout == "none hello\n", "\(other)")
      #expect(host.lateStarts == 0)
    }
  }

  @Test("a container by labels as well: podman's events tell them before it starts")
  func labelled() throws {
    try Host.with("clabel", selector: "{labels: {app: web, tier: front}}") { host in
      for _ in 0..<3 {
        let said = try host.calls(["--label", "app=web", "--label", "tier=front"], in: host.web)
        #expect(said.stdout == "hello none\n", "\(said)\n\(host.mesh.agent?.stderr.suffix(2000) ?? "")")
      }
      let other = try host.calls(["--label", "app=web"], in: host.other)
      #expect(other.stdout == "none hello\n", "\(other)")
      // A second one that fits takes nothing from the first, and does not run beside it.
      let labels = ["--label", "app=web", "--label", "tier=front"]
      let first = try host.podman.start(
        ["--detach", "--network", "ns:" + host.web.namespacePath] + labels, ["sleep", "1000"])
      #expect(first.isSuccess, "\(first)")
      for _ in 0..<2 {
        let second = try host.calls(labels, in: host.other)
        #expect(!second.isSuccess && second.stdout.isEmpty, "\(second)")
      }
      #expect(try host.web.call("\(Host.server):80") == .answer("hello"))
    }
  }

  @Test(
    "without the hook it is found by podman's events, followed through a restart of it and of the agent, and let go")
  func followed() throws {
    try Host.with("cfollow", selector: "{name: web}", hook: false) { host in
      #expect(try host.isEnrolled(false))
      let problem = try host.mesh.martlet(["show", "workloads", "demo/web"]).stdout
      #expect(problem.contains("no container named web runs here"), "\(problem)")
      let options = ["--detach", "--name", "web", "--network", "ns:" + host.web.namespacePath]
      let started = try host.podman.start(options, ["sleep", "1000"])
      #expect(started.isSuccess, "\(started)")
      #expect(try host.isEnrolled(true), "\(host.mesh.agent?.stderr ?? "")")
      #expect(host.lateStarts == 1, "\(host.mesh.agent?.stderr ?? "")")
      #expect(try host.web.call("\(Host.server):80") == .answer("hello"))
      #expect(try host.podman.run(["restart", "--time", "0", "web"]).isSuccess)
      #expect(try host.isEnrolled(true))
      #expect(eventually { (try? host.web.call("\(Host.server):80")) == .answer("hello") })

      try host.mesh.killAgent()
      try host.mesh.startAgent()
      try host.mesh.waitUntilReady()
      #expect(try host.isEnrolled(true))
      // Its predecessor said it.
      #expect(host.lateStarts == 0, "\(host.mesh.agent?.stderr ?? "")")
      #expect(try host.web.call("\(Host.server):80") == .answer("hello"))

      #expect(try host.podman.run(["rm", "--force", "--time", "0", "web"]).isSuccess)
      #expect(try host.isEnrolled(false))
    }
  }

  @Test("without an agent no container starts, unless the hook says so")
  func closed() throws {
    try Host.with("cclosed", selector: "{name: web}") { host in
      try host.mesh.killAgent()
      let said = try host.calls(["--name", "web"], in: host.web)
      #expect(!said.isSuccess && said.stdout.isEmpty, "\(said)")
      let state = "{\"id\":\"abc\",\"pid\":\(host.mesh.control?.child.pid ?? 0),\"status\":\"creating\"}"
      for (more, status) in [(["--without-agent", "pass"], 0), ([], 3)] as [([String], Int32)] {
        let hook = try host.mesh.node.run(
          [Mesh.binaries + "/martlet", "oci-hook", "--timeout", "1", "--run-dir", host.mesh.runDirectory] + more,
          input: state)
        #expect(hook.status == .code(status), "\(hook)")
      }
      let hostile = try host.mesh.node.run([Mesh.binaries + "/martlet", "oci-hook"], input: "{\"id\":")
      #expect(hostile.status == .code(2), "\(hostile)")
    }
  }
}
