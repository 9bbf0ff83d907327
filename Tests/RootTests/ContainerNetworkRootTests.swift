import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Networks of a real podman with netavark: published ports, two bridges with masquerade between them, calls to oneself.
@Suite("Networks of containers", .serialized)
struct ContainerNetworkRootTests {
  /// `server` and `web` are in podman's own network, `far` in another, `unit` in the host's namespace: they may call `server`.
  /// `spy` and `farspy`, one in each network, may not. `stranger` is no workload.
  private final class Host {
    static let kernel = "240.0.0.31:80"
    static let relayed = "240.0.0.31:8080"
    static let published = "10.77.0.1:8080"
    static let networks = ["server": "podman", "web": "podman", "spy": "podman", "far": "other", "farspy": "other"]

    let mesh: Mesh
    let podman: Podman
    let unit: WorldUnit
    let stranger: WorldPod
    private(set) var places: [String: ContainerPlace] = [:]

    init(_ world: World) throws {
      let node = try world.node("a")
      self.unit = try node.unit("unit.service")
      self.stranger = try node.pod("stranger", v4: "10.77.0.9", v6: "fd77::9")
      self.mesh = try Mesh(world, node: node)
      self.podman = try Podman(on: node, hook: nil)
      self.mesh.agentOptions = ["--podman-socket", self.podman.socket]
    }

    static func with(_ name: String, _ body: (Host) throws -> Void) throws {
      let world = try World(name)
      defer { try? world.close() }
      let host = try Host(world)
      defer { try? host.podman.close() }
      #expect(try host.podman.run(["network", "create", "other"]).isSuccess)
      for container in self.networks.keys.sorted() { try host.run(container) }
      try host.keepBridges()
      try host.apply(callers: ["web", "far", "unit"])
      try host.mesh.start()
      do {
        #expect(try host.isEnrolled(Self.networks.count + 1))
        try body(host)
      } catch {
        Issue.record("agent: \(host.mesh.agent?.stderr.suffix(4000) ?? "")")
        throw error
      }
    }

    /// A bridge has the least of its ports' link addresses until it is given one, so that a container that goes may change the
    /// gateway's, which the others then miss for half a minute.
    func keepBridges() throws {
      for (bridge, address) in [("podman0", "02:00:5e:00:00:01"), ("podman1", "02:00:5e:00:00:02")] {
        #expect(try self.mesh.node.run(["ip", "link", "set", bridge, "address", address]).isSuccess)
      }
    }

    /// With its echo server, if it is the one that is called.
    func run(_ name: String, options: [String] = []) throws {
      let ports =
        name == "server"
        ? ["-p", "8080:9000", "-p", "127.0.0.1:8081:9000", "-p", "8100-8101:8999-9000", "-p", "8102:15008"] : []
      let started = try self.podman.start(
        ["--detach", "--name", name, "--network", Self.networks[name] ?? ""] + ports + options, ["sleep", "1000"])
      #expect(started.isSuccess, "\(started)")
      let place = try ContainerPlace(name, of: self.podman, on: self.mesh.node)
      self.places[name] = place
      if name == "server" { try place.startEcho(port: 9000) }
    }

    func remove(_ name: String) throws {
      #expect(try self.podman.run(["rm", "--force", "--time", "0", name]).isSuccess)
      self.places[name] = nil
    }

    func place(_ name: String) throws -> ContainerPlace { try #require(self.places[name]) }

    func call(_ name: String, _ target: String) throws -> CallOutcome { try self.place(name).call(target) }

    func apply(callers: [String]) throws {
      let principals = callers.map { "\"cluster.local/ns/demo/sa/\($0)\"" }.joined(separator: ", ")
      let workloads = Self.networks.keys.sorted().map { name in
        """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}
        spec: {node: a, serviceAccount: \(name), container: {name: \(name)}}

        """
      }
      try self.mesh.apply(
        workloads.joined() + Manifest.service("server", ip: "240.0.0.31")
          + """
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: unit, namespace: demo, labels: {app: unit}}
          spec: {node: a, serviceAccount: unit, systemdUnit: unit.service, ports: []}
          ---
          apiVersion: security.istio.io/v1
          kind: AuthorizationPolicy
          metadata: {name: server-callers, namespace: demo}
          spec:
            selector: {matchLabels: {app: server}}
            rules:
              - from: [{source: {principals: [\(principals)]}}]

          """)
    }

    func isEnrolled(_ count: Int) throws -> Bool {
      try eventually(within: .seconds(30)) {
        try self.mesh.martlet(["show", "workloads", "-o", "json"]).stdout.split(separator: "\n")
          .count { $0.contains("\"enrolled\" : true") } == count
      }
    }
  }

  /// The namespace of a running container, and the node's cgroup: programs of the test in place of the image's.
  private struct ContainerPlace: Place {
    let name: String
    let world: World
    let namespacePath: String
    let namespace: NetworkNamespace
    let cgroup: Cgroup
    let address: String

    init(_ name: String, of podman: Podman, on node: WorldNode) throws {
      let told = try podman.run([
        "inspect", "--format", "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name,
      ])
      let words = told.stdout.split { $0 == " " || $0 == "\n" }.map(String.init)
      guard told.isSuccess, words.count == 2 else {
        throw MeshError(.internal, name, "does not run", cause: "\(told)")
      }
      self.name = name
      self.world = node.world
      self.namespacePath = "/proc/\(words[0])/ns/net"
      self.namespace = try NetworkNamespace.open(path: self.namespacePath)
      self.cgroup = node.cgroup
      self.address = words[1]
    }
  }

  @Test("published ports bear the caller's identity, on every address of the host, and only where they are published")
  func published() throws {
    try Host.with("cpub") { host in
      let answer = CallOutcome.answer("hello")
      for target in [Host.published, "10.77.0.1:8101", "10.88.0.1:8080"] {
        #expect(eventually { (try? host.call("web", target)) == answer }, "web to \(target)")
        #expect(try host.call("spy", target) == .refused, "spy to \(target)")
        #expect(try host.unit.call(target) == answer, "unit to \(target)")
      }
      for target in ["127.0.0.1:8080", "127.0.0.1:8081"] {
        #expect(try host.unit.call(target) == answer, "unit to \(target)")
        #expect(try host.call("web", target) == .refused, "web's own loopback")
      }
      // Published on loopback only; a port of the mesh's own behind it.
      #expect(try host.call("web", "10.77.0.1:8081") == .refused)
      #expect(try host.call("web", "10.77.0.1:8102") == .refused)
      // By address translation, without an identity: the policy of the destination knows nobody of that address.
      #expect(try host.stranger.call(Host.published) == .refused)
      let explained = try host.mesh.martlet(["explain", "demo/web", Host.published]).stdout
      #expect(explained.contains("published by workload demo/server"), "\(explained)")

      // Gone with the container; back with another one, wherever that is.
      let before = try host.place("server").address
      try host.remove("server")
      var last: CallOutcome?
      #expect(
        eventually {
          last = try? host.call("web", Host.published)
          return last == .refused
        }, "\(last.map { "\($0)" } ?? "no call")\nagent: \(host.mesh.agent?.stderr.suffix(3000) ?? "")")
      #expect(try host.isEnrolled(Host.networks.count))
      try host.run("server", options: ["--ip", "10.88.200.77"])
      #expect(try host.place("server").address != before)
      #expect(eventually(within: .seconds(20)) { (try? host.call("web", Host.published)) == answer })
      #expect(try host.call("spy", Host.published) == .refused)
    }
  }

  @Test(
    "nobody reaches a container in quarantine by its published port, on whatever address of the host, until it is over")
  func quarantined() throws {
    try Host.with("cquar") { host in
      let server = try host.place("server")
      let everywhere = [Host.published, "10.77.0.1:8101", "10.88.0.1:8080"]
      let loopback = ["127.0.0.1:8080", "127.0.0.1:8081"]
      for target in everywhere + loopback {
        #expect(eventually { (try? host.unit.call(target)) == .answer("hello") }, "unit to \(target)")
      }
      func isQuarantined(_ count: Int) throws -> Bool {
        try host.mesh.metrics().contains("martlet_workloads_quarantined \(count)\n")
      }
      // In its namespace, and in a cgroup for which the programs do not run.
      let node = host.mesh.node
      let above = String(node.cgroup.path.dropLast(node.name.utf8.count + 1))
      let stray = try node.start([
        "sh", "-c", "echo 0 > \"$0/cgroup.procs\" && net=$1 && shift && exec nsenter --net=\"$net\" \"$@\"", above,
        server.namespacePath, "python3", "-m", "http.server", "9444",
      ])
      #expect(try eventually(within: .seconds(10)) { try isQuarantined(1) }, "\(stray.stderr)")
      for target in everywhere {
        for caller in ["web", "far"] { #expect(try host.call(caller, target) == .refused, "\(caller) to \(target)") }
        #expect(try host.stranger.call(target, timeout: .seconds(1)) != .answer("hello"), "stranger to \(target)")
      }
      for target in everywhere + loopback { #expect(try host.unit.call(target) == .refused, "unit to \(target)") }
      // A process of the host that is no workload: by the engine's translation, and judged at the container.
      for target in everywhere + loopback {
        #expect(try node.call(target, timeout: .seconds(1)) != .answer("hello"), "host to \(target)")
      }
      let explained = try host.mesh.martlet(["explain", "demo/web", Host.published])
      #expect(explained.status == .code(1) && explained.stdout.contains("quarantine"), "\(explained)")

      try stray.kill()
      #expect(try eventually(within: .seconds(15)) { try isQuarantined(0) })
      for target in everywhere {
        #expect(eventually { (try? host.call("web", target)) == .answer("hello") }, "web to \(target)")
      }
    }
  }

  @Test("a container reaches itself by its published port and by its own Service")
  func hairpin() throws {
    try Host.with("chair") { host in
      for target in [Host.published, Host.kernel, Host.relayed] {
        #expect(eventually { (try? host.call("server", target)) == .answer("hello") }, "\(target)")
      }
    }
  }

  @Test(
    "between two networks the node proxy carries a connection with its identity, by service, address and published port"
  )
  func across() throws {
    try Host.with("cacross") { host in
      let server = try host.place("server")
      let targets = [Host.kernel, Host.relayed, server.address + ":9000", Host.published]
      for target in targets {
        #expect(eventually { (try? host.call("far", target)) == .answer("hello") }, "far to \(target)")
        #expect(try host.call("farspy", target) != .answer("hello"), "farspy to \(target)")
        #expect(try host.call("web", target) == .answer("hello"), "web to \(target)")
      }
      let shown = try host.mesh.martlet(["show", "workloads"]).stdout
      #expect(shown.contains("podman0") && shown.contains("podman1"), "\(shown)")

      // One that is open: from inside of the server's namespace, until policy forbids it.
      let far = try host.place("far")
      let open = try far.start(["python3", "-c", Self.patient, "240.0.0.31", "80"])
      #expect(eventually(within: .seconds(15)) { open.stdout.contains("open") }, "\(open.stderr)")
      let inside = try server.namespace.sockets().filter { !$0.isListening && $0.remote.port == 9000 }
      #expect(inside.contains { "\($0.local.address)" == server.address && "\($0.remote.address)" == server.address })
      let connections = try host.mesh.martlet(["show", "connections", "-o", "json"]).stdout
      #expect(connections.contains("demo/far"), "\(connections)")
      try host.apply(callers: ["web"])
      #expect(eventually(within: .seconds(20)) { !open.isRunning }, "the connection goes on")
      #expect(open.stdout.contains("ECONNRESET"), "\(open.stdout)")
      for target in targets { #expect(try host.call("far", target) != .answer("hello"), "far to \(target)") }
      try host.apply(callers: ["web", "far"])
      #expect(eventually(within: .seconds(20)) { (try? host.call("far", Host.kernel)) == .answer("hello") })

      // One whose server goes: nothing of it stays, and who comes after it at another address is reached.
      let last = try far.start(["python3", "-c", Self.patient, "240.0.0.31", "80"])
      #expect(eventually(within: .seconds(15)) { last.stdout.contains("open") }, "\(last.stderr)")
      try host.remove("server")
      #expect(eventually(within: .seconds(20)) { !last.isRunning }, "the connection goes on")
      try host.run("server", options: ["--ip", "10.88.0.78"])
      for target in [Host.kernel, Host.relayed, Host.published] {
        #expect(
          eventually(within: .seconds(20)) { (try? host.call("far", target)) == .answer("hello") }, "far to \(target)")
      }
    }
  }

  /// Connects, says so, and waits for the end.
  private static let patient = """
    import errno, socket, sys
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.settimeout(60)
    s.sendall(b"x")
    s.recv(1)
    print("open", flush=True)
    try:
        print("end" if not s.recv(1) else "more", flush=True)
    except OSError as e:
        print(errno.errorcode.get(e.errno, str(e)), flush=True)
    """
}
