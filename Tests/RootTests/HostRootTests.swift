import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Workloads in the host's own namespace: known by their cgroups when they call, by their declared ports when called.
@Suite("Workloads of the host itself", .serialized)
struct HostRootTests {
  static let vip = "240.0.0.20"

  struct Host {
    let mesh: Mesh
    let api: WorldUnit
    let caller: WorldUnit
    let client: WorldPod
    let intruder: WorldPod

    static func with(_ name: String, _ body: (Host) throws -> Void) throws {
      let world = try World(name)
      defer { try? world.close() }
      let node = try world.node("a")
      let host = Host(
        mesh: try Mesh(world, node: node), api: try node.unit("api.service"), caller: try node.unit("caller.service"),
        client: try node.pod("client", v4: "10.77.0.2", v6: "fd77::2"),
        intruder: try node.pod("intruder", v4: "10.77.0.4", v6: "fd77::4"))
      try host.api.startEcho(port: 9100)
      try host.api.startEcho(port: 9300)
      try host.client.startEcho(port: 9000)
      try host.mesh.apply(try host.resources(callers: ["client", "caller"]))
      try host.mesh.start()
      do {
        #expect(try host.enrolled(4))
        try body(host)
      } catch {
        Issue.record("agent: \(host.mesh.agent?.stderr ?? "")")
        throw error
      }
    }

    func enrolled(_ count: Int) throws -> Bool {
      try eventually(within: .seconds(15)) {
        let report = try self.mesh.martlet(["show", "workloads", "-o", "json"]).stdout
        return report.split(separator: "\n").count { $0.contains("\"enrolled\" : true") } == count
      }
    }

    /// `api` as a unit, `caller` by its cgroup's path.
    func resources(callers: [String]) throws -> String {
      let mount = try Cgroup.unified().path
      let principals = callers.map { "\"cluster.local/ns/demo/sa/\($0)\"" }.joined(separator: ", ")
      return Manifest.workload("client", self.client) + Manifest.workload("intruder", self.intruder)
        + Manifest.service("api", ip: HostRootTests.vip, target: 9100)
        + Manifest.service("client", ip: "240.0.0.21")
          + """
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: api, namespace: demo, labels: {app: api}}
          spec: {node: a, serviceAccount: api, systemdUnit: api.service, ports: [{name: api, port: 9100}]}
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: caller, namespace: demo, labels: {app: caller}}
          spec:
            node: a
            serviceAccount: caller
            cgroup: \(self.caller.cgroup.path.dropFirst(mount.count))
            ports: [{name: caller, port: 9200}]
          ---
          apiVersion: security.istio.io/v1
          kind: AuthorizationPolicy
          metadata: {name: api-callers, namespace: demo}
          spec:
            selector: {matchLabels: {app: api}}
            rules:
              - from: [{source: {principals: [\(principals)]}}]
          ---
          apiVersion: security.istio.io/v1
          kind: AuthorizationPolicy
          metadata: {name: client-callers, namespace: demo}
          spec:
            selector: {matchLabels: {app: client}}
            rules:
              - from: [{source: {principals: ["cluster.local/ns/demo/sa/caller"]}}]

          """
    }
  }

  @Test("are called and call with their own identities, by service address, by address and over loopback")
  func identities() throws {
    try Host.with("host") { host in
      for target in ["\(Self.vip):80", "\(Self.vip):8080", "10.77.0.1:9100", "[fd77::1]:9100"] {
        #expect(try host.client.call(target) == .answer("hello"), "client \(target)")
        #expect(try host.caller.call(target) == .answer("hello"), "caller \(target)")
        let intruder = try host.intruder.call(target)
        #expect(intruder == .refused || intruder == .reset, "intruder \(target): \(intruder)")
      }
      for target in ["127.0.0.1:9100", "127.0.0.7:9100", "[::1]:9100"] {
        #expect(try host.caller.call(target) == .answer("hello"), "caller \(target)")
        #expect(try host.api.call(target) == .answer("hello"), "itself \(target)")
        // A process of the host that is no workload has no identity.
        #expect(try host.mesh.node.call(target) == .refused, "host \(target)")
      }
      #expect(try host.caller.call("240.0.0.21:80") == .answer("hello"))
      #expect(try host.api.call("240.0.0.21:80") == .refused)
      // What was not declared is not governed: nobody loses SSH.
      #expect(try host.intruder.call("10.77.0.1:9300") == .answer("hello"))
      #expect(try host.mesh.node.call("127.0.0.1:9300") == .answer("hello"))

      let explain = try host.mesh.martlet(["explain", "demo/caller", "127.0.0.1:9100"])
      #expect(explain.stdout.contains("demo/api-callers") && explain.isSuccess, "\(explain)")
      #expect(try host.mesh.martlet(["explain", "demo/intruder", "10.77.0.1:9100"]).status == .code(1))
      #expect(try host.mesh.martlet(["explain", "demo/intruder", "10.77.0.1:9300"]).isSuccess)
    }
  }

  @Test("a policy that changes cuts what it refuses now, and nothing else of the host")
  func cut() throws {
    try Host.with("hostcut") { host in
      func held(_ place: some Place, _ address: String, _ port: Int) throws -> WorldProcess {
        let process = try place.start(["python3", "-c", Programs.heldConnection, address, "\(port)"])
        #expect(eventually { process.stdout.contains("open") }, "\(process.stderr)")
        return process
      }
      let fromPod = try held(host.client, Self.vip, 80)
      let fromUnit = try held(host.caller, "127.0.0.1", 9100)
      let toPod = try held(host.caller, "240.0.0.21", 80)
      let foreign = try held(host.mesh.node, "127.0.0.1", 9300)
      try host.mesh.apply(try host.resources(callers: ["caller"]))
      #expect(eventually { fromPod.stdout.contains("ended") })
      try host.mesh.apply(try host.resources(callers: ["nobody"]))
      #expect(eventually { fromUnit.stdout.contains("ended") })
      for process in [toPod, foreign] {
        try process.child.signal(10)
        #expect(eventually { process.stdout.contains("alive") }, "\(process.stdout)")
      }
    }
  }

  @Test("a connection between two of them is listed once, and its bytes count once while it is open")
  func counted() throws {
    try Host.with("hostcount") { host in
      let held = try host.caller.start(["python3", "-c", Programs.heldTransfer, "127.0.0.1", "9100", "1000000"])
      #expect(eventually { held.stdout.contains("open") }, "\(held.stderr)")
      func bytes(_ name: String) throws -> [String] {
        try host.mesh.metrics().split(separator: "\n").filter {
          $0.hasPrefix(name) && $0.contains("source_workload=\"caller\"")
        }.compactMap { $0.split(separator: " ").last.map(String.init) }
      }
      for name in ["istio_tcp_sent_bytes_total{", "istio_tcp_received_bytes_total{"] {
        var last: [String] = []
        let isExact = try eventually {
          last = try bytes(name)
          return last == ["1000000"]
        }
        #expect(isExact, "\(name): \(last)")
      }
      let listed = try host.mesh.martlet(["show", "connections", "-o", "json"]).stdout
      #expect(listed.split(separator: "\n").count { $0.contains("\"sentBytes\"") } == 1, "\(listed)")
      try held.kill()
    }
  }

  @Test("a unit that stops is withdrawn, and its successor of the same name enrolled; the agent's restart keeps all")
  func lifecycle() throws {
    try Host.with("hostlife") { host in
      let loop = try host.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      try host.mesh.killAgent()
      try host.mesh.startAgent()
      try host.mesh.waitUntilReady()
      #expect(try host.enrolled(4))
      #expect(!loop.stdout.contains("failed"), "\(loop.stdout)")
      try loop.kill()

      try host.caller.stop()
      #expect(try host.enrolled(3))
      let successor = try host.mesh.node.unit("caller.service")
      #expect(try host.enrolled(4))
      #expect(try successor.call("127.0.0.1:9100") == .answer("hello"))
      try host.api.stop()
      #expect(try host.enrolled(3))
      #expect(try host.client.call("\(Self.vip):80") == .refused)
    }
  }
}
