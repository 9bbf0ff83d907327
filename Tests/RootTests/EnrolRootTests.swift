import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// No race at start: who waits for its enrolment makes no call outside of the mesh.
@Suite("Enrolment before the first call", .serialized)
struct EnrolRootTests {
  /// `api.service` may call `server`, and is the only one; it may not call `closed`, which is open to everybody else.
  private struct Host {
    static let server = "240.0.0.31"
    static let closed = "10.77.0.4"

    let mesh: Mesh

    static func with(_ name: String, _ body: (Host) throws -> Void) throws {
      let world = try World(name)
      defer { try? world.close() }
      let node = try world.node("a")
      let server = try node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
      let closed = try node.pod("closed", v4: self.closed, v6: "fd77::4")
      for pod in [server, closed] { try pod.startEcho(port: 9000) }
      let host = Host(mesh: try Mesh(world, node: node))
      try host.mesh.apply(
        Manifest.workload("server", server) + Manifest.workload("closed", closed)
          + Manifest.service("server", ip: self.server) + Manifest.allow("api", to: "server")
            + """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: Workload
            metadata: {name: api, namespace: demo}
            spec: {node: a, serviceAccount: api, systemdUnit: api.service, ports: []}
            ---
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: not-api, namespace: demo}
            spec:
              selector: {matchLabels: {app: closed}}
              action: DENY
              rules:
                - from: [{source: {principals: ["cluster.local/ns/demo/sa/api"]}}]

            """)
      try host.mesh.start()
      do {
        try body(host)
      } catch {
        Issue.record("agent: \(host.mesh.agent?.stderr ?? "")")
        throw error
      }
    }

    /// A unit as systemd starts it: a fresh cgroup, in it the condition, then the program, which calls at once.
    func start(waiting: Bool = true, unit name: String = "api.service", timeout: Int = 30) throws -> String {
      let unit = try self.mesh.node.unit(name)
      defer { try? unit.stop() }
      let wait =
        "\(Mesh.binaries)/martlet wait \(name) --condition --timeout \(timeout) --run-dir \(self.mesh.runDirectory) >/dev/null"
      let finished = try unit.run(
        ["bash", "-c", Self.program, waiting ? wait : "true", Self.server, Self.closed], timeout: .seconds(60))
      return finished.stdout + finished.stderr
    }

    /// What the agent said about connections that it ended or workloads that it could not enrol.
    func cuts() -> String {
      (self.mesh.agent?.stderr ?? "").split(separator: "\n").filter { $0.contains("cut") || $0.contains("cannot") }
        .joined(separator: "\n")
    }

    /// Prints `steered` if it was let in where only it may, and refused where only it may not.
    private static let program = """
      eval "$0" || { echo "not started: $?"; exit 0; }
      call() { ( exec 3<>"/dev/tcp/$1/$2" && echo hello >&3 && read -r -t 5 answer <&3 && echo "$answer" ) 2>/dev/null || echo none; }
      first="$(call "$1" 80) $(call "$2" 9000)"
      [ "$first" = "hello none" ] && echo steered || echo "unsteered: $first"
      """
  }

  @Test("200 starts of a unit that calls at once: 0 unsteered; without the wait there are some")
  func starts() throws {
    try Host.with("enrol") { host in
      var unsteered: [String] = []
      for _ in 0..<200 {
        let said = try host.start()
        if said != "steered\n" { unsteered.append(said) }
      }
      #expect(unsteered.isEmpty, "\(unsteered.count): \(unsteered.first ?? "")\n\(host.cuts())")
      // What the test would see without it.
      let racing = try (0..<10).map { _ in try host.start(waiting: false) }
      #expect(racing.contains { $0.hasPrefix("unsteered: ") }, "\(racing)")
    }
  }

  @Test("a unit without a Workload, or without an agent, is not started")
  func closed() throws {
    try Host.with("enrolno") { host in
      #expect(try host.start(unit: "other.service", timeout: 1).hasPrefix("not started: 255\n"))
      let outside = try host.mesh.martlet(["wait", "other.service", "--timeout", "0"])
      #expect(
        outside.status == .code(1) && outside.stderr.contains("no Workload of node a names other.service"), "\(outside)"
      )
      #expect(try host.mesh.martlet(["wait", "api.service", "--timeout", "0"]).status == .code(1))
      try host.mesh.killAgent()
      #expect(try host.start(timeout: 1).hasPrefix("not started: 255\n"))
      try host.mesh.startAgent()
      // The agent is there again while it waits.
      #expect(try host.start() == "steered\n")
    }
  }

  @Test("a namespace is waited for as well")
  func namespace() throws {
    try Host.with("enrolns") { host in
      let path = host.mesh.node.world.identifier
      #expect(try host.mesh.martlet(["wait", "--netns", "/run/netns/\(path)-a-server"]).isSuccess)
      let none = try host.mesh.martlet(["wait", "--netns", "/run/netns/none", "--timeout", "0"])
      #expect(none.status == .code(1), "\(none)")
    }
  }
}
