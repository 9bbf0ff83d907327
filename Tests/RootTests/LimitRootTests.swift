import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Maps that are full, and maps that forget. Rows BP-01 and BP-02.
@Suite("Map limits", .serialized)
struct LimitRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func withLimits(_ name: String, _ limits: [String], _ body: (Trio) throws -> Void) throws {
    try Trio.with(
      name, prepare: { mesh in mesh.agentOptions = limits.flatMap { ["--map-limit", $0] } }, body)
  }

  private func status(_ trio: Trio) throws -> String { try trio.mesh.martlet(["status"]).stdout }

  private static let shortage = "do not fit into"

  @Test("BP-01: services that do not fit are refused, wherever their address; an alarm comes before, and room heals")
  func services() throws {
    // Three rows a service: two ports and the address. The canary has two.
    try self.withLimits("fullsvc", ["services=16"]) { trio in
      let mesh = trio.mesh
      func resources(_ extra: [(String, String)], _ caller: String = "client") -> String {
        trio.resources(Manifest.allow(caller, to: "server"))
          + extra.map { Manifest.bareService($0.0, ip: $0.1, endpoint: "10.77.0.3", port: 9000) }.joined()
      }
      let fitting = [("b", "240.240.0.52"), ("c", "240.240.0.53"), ("d", "240.240.0.54")]
      #expect(try !self.status(trio).contains("almost full"))
      try mesh.apply(resources(fitting))
      #expect(try eventually { try trio.client.call("240.240.0.54:80") == .answer("hello") })
      #expect(try eventually(within: .seconds(15)) { try self.status(trio).contains("almost full: services 14 of 16") })
      #expect(eventually { mesh.agent?.stderr.contains("map almost full") ?? false })
      #expect(try mesh.metrics().contains(#"martlet_health{check="maps"} 0"#))
      #expect(try !self.status(trio).contains(Self.shortage))
      #expect(try mesh.health("/readyz"))

      // Two of six rows fit. The second address is none of the mesh's range.
      try mesh.apply(resources(fitting + [("e", "240.240.0.55"), ("f", "10.96.0.7")]))
      #expect(try eventually(within: .seconds(15)) { try self.status(trio).contains(Self.shortage) })
      var refused = 0
      for host in ["240.240.0.55", "10.96.0.7"] {
        for port in [80, 8080, 81] {
          let outcome = try trio.client.call("\(host):\(port)")
          #expect(outcome == .refused || (port != 81 && outcome == .answer("hello")), "\(host):\(port): \(outcome)")
          refused += outcome == .refused ? 1 : 0
        }
      }
      #expect(refused >= 4, "\(refused)")
      #expect(
        try eventually {
          try mesh.martlet(["observe", "--last", "50", "-o", "json"]).stdout.contains("map_error")
        })
      #expect(try mesh.metrics().contains(#"martlet_bpf_map_insert_errors_total{map="services"}"#))
      #expect(try !mesh.health("/readyz"))
      // What fits goes on, and follows policy.
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      try mesh.apply(resources(fitting + [("e", "240.240.0.55"), ("f", "10.96.0.7")], "intruder"))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
      #expect(try trio.client.call("\(Self.vip):80") == .refused)

      try mesh.apply(resources(Array(fitting.prefix(2)) + [("f", "10.96.0.7")]))
      #expect(try eventually(within: .seconds(20)) { try mesh.health("/readyz") })
      #expect(try trio.client.call("10.96.0.7:80") == .answer("hello"))
      #expect(try trio.client.call("10.96.0.7:8080") == .answer("hello"))
      #expect(try trio.client.call("240.240.0.54:80") == .refused)
    }
  }

  @Test("BP-01: endpoints that do not fit are refused, and counted")
  func endpoints() throws {
    try self.withLimits("fullep", ["endpoints=6"]) { trio in
      let mesh = trio.mesh
      let names = (1...6).map { ("s\($0)", "240.240.0.\(60 + $0)") }
      try mesh.apply(
        trio.resources(Manifest.allow("client", to: "server"))
          + names.map { Manifest.bareService($0.0, ip: $0.1, endpoint: "10.77.0.3", port: 9000) }.joined())
      #expect(try eventually(within: .seconds(15)) { try self.status(trio).contains(Self.shortage) })
      let outcomes = try names.map { try trio.client.call("\($0.1):80") }
      #expect(outcomes.allSatisfy { $0 == .refused || $0 == .answer("hello") }, "\(outcomes)")
      #expect(outcomes.contains(.refused), "\(outcomes)")
      #expect(try mesh.metrics().contains(#"martlet_bpf_map_insert_errors_total{map="endpoints"}"#))
      #expect(
        try eventually {
          try mesh.martlet(["observe", "--last", "50", "-o", "json"]).stdout.contains("map_error")
        })
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
    }
  }

  @Test("BP-01: policy that does not fit leaves the one before in force, whole, and says so")
  func policy() throws {
    try self.withLimits("fullpolicy", ["policy=64"]) { trio in
      let mesh = trio.mesh
      func ports(_ count: Int) -> String {
        """
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: wide, namespace: demo}
        spec:
          selector: {matchLabels: {app: server}}
          action: DENY
          rules:
            - from: [{source: {principals: ["cluster.local/ns/demo/sa/client"]}}]
              to: [{operation: {ports: [\((0..<count).map { "\"\(9000 + $0)\"" }.joined(separator: ", "))]}}]

        """
      }
      try mesh.apply(trio.resources(Manifest.allow("client", to: "server") + ports(200)))
      #expect(
        try eventually(within: .seconds(15)) { try self.status(trio).contains("policy that was in force before stays") }
      )
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try mesh.metrics().contains(#"martlet_bpf_map_insert_errors_total{map="policy"}"#))
      #expect(try !mesh.health("/readyz"))

      try mesh.apply(trio.resources(Manifest.allow("client", to: "server") + ports(2)))
      #expect(try eventually(within: .seconds(20)) { try trio.client.call("\(Self.vip):80") == .refused })
      #expect(try eventually(within: .seconds(20)) { try mesh.health("/readyz") })
    }
  }

  @Test("BP-01: a workload that does not fit is named, is nobody, and is enrolled when there is room")
  func pods() throws {
    try self.withLimits("fullpods", ["pods=4"]) { trio in
      let mesh = trio.mesh
      let late = try ["fourth", "fifth"].enumerated().map {
        try mesh.node.pod($0.element, v4: "10.77.0.1\($0.offset)")
      }
      func policy(_ names: [String]) -> String {
        """
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: server-callers, namespace: demo}
        spec:
          selector: {matchLabels: {app: server}}
          action: ALLOW
          rules:
            - from: [{source: {principals: [\(names.map { "\"cluster.local/ns/demo/sa/\($0)\"" }.joined(separator: ", "))]}}]

        """
      }
      let all = policy(["client", "fourth", "fifth"])
      try mesh.apply(trio.resources(all) + late.map { Manifest.workload($0.name, $0) }.joined())
      #expect(
        try eventually(within: .seconds(15)) { try self.status(trio).contains("does not fit into the map of pods") })
      let outcomes = try late.map { try $0.call("\(Self.vip):80", timeout: .seconds(2)) }
      #expect(outcomes.count { $0 == .answer("hello") } == 1, "\(outcomes)")
      let direct = try late.map { try $0.call("10.77.0.3:9000", timeout: .seconds(2)) }
      #expect(direct.count { $0 == .answer("hello") } == 1, "\(direct)")
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(try !mesh.health("/readyz"))

      let rest = outcomes[0] == .answer("hello") ? late[1] : late[0]
      try mesh.apply(trio.resources(all) + Manifest.workload(rest.name, rest))
      #expect(
        try eventually(within: .seconds(25)) {
          try rest.call("\(Self.vip):80", timeout: .seconds(1)) == .answer("hello")
        })
      #expect(try eventually(within: .seconds(20)) { try mesh.health("/readyz") })
    }
  }

  @Test("a limit that is none ends the agent with the reason")
  func nonsense() throws {
    try Trio.with("nolimit") { trio in
      trio.mesh.agentOptions = ["--map-limit", "cats=5"]
      let ended = try trio.mesh.launchAgent().finish(within: .seconds(10))
      #expect(!ended.isSuccess)
      #expect(ended.stderr.contains("is not NAME=ENTRIES"), "\(ended.stderr)")
    }
  }

  @Test(
    "BP-02: under a flood that evicts flows, each connection reaches its own service or is refused; no stranger passes")
  func eviction() throws {
    try self.withLimits("evict", ["slots=4", "flows=64", "pending=64"]) { trio in
      let mesh = trio.mesh
      for (name, port) in [("one", "9101"), ("two", "9102")] {
        let server = try trio.server.start(["python3", "-c", Programs.nameServer, port, name])
        try trio.server.waitForListener(port: UInt16(port) ?? 0, process: server)
      }
      try mesh.apply(
        trio.resources(Manifest.allow("client", to: "server"))
          + Manifest.bareService("one", ip: "240.240.0.61", endpoint: "10.77.0.3", port: 9101)
          + Manifest.bareService("two", ip: "240.240.0.62", endpoint: "10.77.0.3", port: 9102))
      #expect(try eventually { try trio.client.call("240.240.0.62:8080") == .answer("two") })
      #expect(try eventually { try trio.client.call("240.240.0.61:80") == .answer("one") })
      for port in [80, 8080] {
        let flood = try trio.client.start(
          ["python3", "-c", Programs.flood, "240.240.0.61:\(port)", "240.240.0.62:\(port)", "600"])
        let stranger = try trio.intruder.start(
          ["python3", "-c", Programs.flood, "240.240.0.61:\(port)", "240.240.0.62:\(port)", "10.77.0.3:9101", "300"])
        #expect(eventually(within: .seconds(40)) { flood.stdout.contains("done") && stranger.stdout.contains("done") })
        let ends = flood.stdout.split(separator: "\n").dropLast()
        let wanted = [
          "240.240.0.61 one", "240.240.0.62 two", "240.240.0.61 ECONNREFUSED", "240.240.0.62 ECONNREFUSED",
          "240.240.0.61 ECONNRESET", "240.240.0.62 ECONNRESET", "240.240.0.61 closed", "240.240.0.62 closed",
        ]
        #expect(ends.allSatisfy { end in wanted.contains { end.hasPrefix($0 + " ") } }, "\(ends)")
        #expect(
          ends.contains { $0.hasPrefix("240.240.0.61 one ") } && ends.contains { $0.hasPrefix("240.240.0.62 two ") })
        // In the kernel tier the intruder is refused in connect(), in the relay tier by the proxy's leg.
        #expect(!stranger.stdout.contains(" one ") && !stranger.stdout.contains(" two "), "\(stranger.stdout)")
        for process in [flood, stranger] { try process.child.signal(10) }
        print("eviction, port \(port): \(ends.joined(separator: ", "))")
      }
    }
  }

  @Test("BP-02: a handshake whose flow is evicted ends in ECONNREFUSED, not in a pass with identity")
  func evictedHandshake() throws {
    try self.withLimits("evicths", ["slots=4", "flows=64", "pending=64"]) { trio in
      var refused = 0
      for round in 0..<5 where refused == 0 {
        let port = 9200 + round
        // Nobody accepts, so that the second connection's SYN is admitted and then dropped, and comes again.
        let server = try trio.server.start(["python3", "-c", Programs.fullQueue, "\(port)"])
        #expect(eventually { server.stdout.contains("ready") })
        let first = try trio.client.start(["python3", "-c", Programs.heldConnection, "10.77.0.3", "\(port)"])
        #expect(
          try eventually {
            try trio.client.namespace.sockets().contains { $0.remote.port == UInt16(port) && $0.state == .established }
          })
        let victim = try trio.client.start(["python3", "-c", Self.patient, "10.77.0.3", "\(port)"])
        #expect(
          try eventually {
            try trio.client.namespace.sockets().contains { $0.remote.port == UInt16(port) && $0.state == .synSent }
          })
        let flood = try trio.client.start(["python3", "-c", Programs.flood, "10.77.0.3:9000", "1000"])
        #expect(eventually(within: .seconds(40)) { flood.stdout.contains("done") })
        try server.child.signal(10)
        #expect(eventually(within: .seconds(30)) { !victim.stdout.isEmpty })
        let outcome = victim.stdout
        #expect(outcome == "ECONNREFUSED\n" || outcome == "hello\n", "\(outcome)")
        refused += outcome == "ECONNREFUSED\n" ? 1 : 0
        for process in [flood, first] { try process.kill() }
        try server.kill()
      }
      #expect(refused > 0, "no flow was evicted")
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  private static let patient = """
    import errno, socket, sys
    s = socket.socket()
    s.settimeout(60)
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        s.sendall(b"hello")
        print(s.recv(5, socket.MSG_WAITALL).decode(), flush=True)
    except socket.timeout: print("timeout", flush=True)
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)), flush=True)
    """
}
