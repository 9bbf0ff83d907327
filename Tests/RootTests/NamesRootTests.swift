import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Names from a resource to an application's socket, with the real binaries in real namespaces.
@Suite("Names", .serialized)
struct NamesRootTests {
  static let vip = "240.0.0.10"
  static let vip6 = "fd6d:6172:746c:6574::10"
  static let name = "server.demo.svc.cluster.local"

  /// `client` resolves names, `plain` does not; `server` serves HTTP; `resolver` is a name server outside of the mesh, which
  /// the host's resolv.conf names.
  struct Town {
    let mesh: Mesh
    let client: WorldPod
    let plain: WorldPod
    let server: WorldPod
    let resolver: WorldPod
    let questions: WorldProcess

    static let resolverAddress = "10.77.0.53"
    static let resolverAddress6 = "fd77::53"

    init(_ world: World, resolvConf: String, dns: String, prepare: (Town) throws -> Void) throws {
      let node = try world.node("a")
      self.client = try node.pod("client", v4: "10.77.0.2", v6: "fd77::2")
      self.plain = try node.pod("plain", v4: "10.77.0.3", v6: "fd77::3")
      self.server = try node.pod("server", v4: "10.77.0.4", v6: "fd77::4")
      self.resolver = try node.pod("resolver", v4: Self.resolverAddress, v6: Self.resolverAddress6)
      let directory = world.directory + "/www"
      try DiskFile.makeDirectory(directory, mode: 0o755)
      try DiskFile.write(Array("welcome\n".utf8), to: directory + "/index.html", mode: 0o644)
      let server = try self.server.start(["python3", "-m", "http.server", "9000", "--directory", directory])
      try self.server.waitForListener(port: 9000, process: server)
      self.questions = try self.resolver.start(["python3", "-c", Programs.everyName])
      let process = self.questions
      guard eventually(within: .seconds(30), { process.stdout.contains("ready") }) else {
        throw MeshError(.unavailable, "name server", "does not start", cause: process.stderr)
      }
      self.mesh = try Mesh(world, node: node)
      let path = world.directory + "/resolv.conf"
      try DiskFile.write(Array(resolvConf.utf8), to: path, mode: 0o644)
      self.mesh.agentOptions = ["--resolv-conf", path]
      try self.apply(dns: dns)
      try prepare(self)
      try self.mesh.start()
    }

    static func with(
      _ name: String, resolvConf: String = "nameserver \(resolverAddress)\nnameserver \(resolverAddress6)\n",
      dns: String = "dns: true", prepare: (Town) throws -> Void = { _ in }, _ body: (Town) throws -> Void
    ) throws {
      let world = try World(name)
      defer { try? world.close() }
      let town = try Town(world, resolvConf: resolvConf, dns: dns, prepare: prepare)
      do {
        try body(town)
      } catch {
        Issue.record("agent: \(town.mesh.agent?.stderr ?? "")")
        throw error
      }
    }

    /// `dns`: fields of the client's spec.
    func apply(dns: String) throws {
      let client = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: client, namespace: demo, labels: {app: client}}
        spec: {node: a, serviceAccount: client, networkNamespace: \(self.client.namespacePath), \(dns)}

        """
      try self.mesh.apply(
        client + Manifest.workload("plain", self.plain) + Manifest.workload("server", self.server)
          + """
          ---
          apiVersion: v1
          kind: Service
          metadata: {name: server, namespace: demo}
          spec:
            selector: {app: server}
            clusterIPs: [\(NamesRootTests.vip), "\(NamesRootTests.vip6)"]
            ports: [{name: http, port: 80, targetPort: 9000}]

          """)
    }

    /// The line that the asking program prints.
    func ask(
      _ mode: String, _ server: String, _ name: String, _ type: String = "A", in pod: WorldPod? = nil
    ) throws -> String {
      let done = try (pod ?? self.client).run(
        ["python3", "-c", Programs.askName, mode, server, name, type], timeout: .seconds(20))
      return done.isSuccess ? String(done.stdout.dropLast()) : "\(done)"
    }

    /// True if the service's name resolves in the client within the time.
    func resolves(within timeout: Duration = .seconds(10)) throws -> Bool {
      try eventually(within: timeout) {
        try self.ask("connected", "9.9.9.9", NamesRootTests.name).hasSuffix(Self.answer)
      }
    }

    static let answer = " " + NamesRootTests.vip

    /// Questions that the name server outside of the mesh has seen and that hold the text.
    func seen(_ text: String) -> [Substring] {
      let labels = text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
      let digits = Array("0123456789abcdef".utf8)
      let hex = String(decoding: labels.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
      return self.questions.stdout.split(separator: "\n").filter { $0.contains(hex) }
    }
  }

  @Test("names of the mesh are answered to every kind of socket, as if by the server that was asked")
  func everySocket() throws {
    try Town.with("names") { town in
      #expect(try town.resolves())
      // Nobody is at these addresses.
      for mode in ["connected", "unconnected", "device", "tcp"] {
        let line = try town.ask(mode, "9.9.9.9", Self.name)
        let from = mode == "tcp" ? "9.9.9.9" : "9.9.9.9,53"
        let peer = mode == "unconnected" ? "" : " peer 9.9.9.9,53"
        #expect(line == "NOERROR from \(from)\(peer) \(Self.vip)", "\(mode)")
      }
      for mode in ["connected", "unconnected", "tcp"] {
        let line = try town.ask(mode, "2001:db8::9", Self.name, "AAAA")
        let from = mode == "tcp" ? "2001:db8::9" : "2001:db8::9,53"
        let peer = mode == "unconnected" ? "" : " peer 2001:db8::9,53"
        #expect(line == "NOERROR from \(from)\(peer) \(Self.vip6)", "\(mode)")
      }
      for mode in ["mapped", "mapped-unconnected"] {
        let line = try town.ask(mode, "9.9.9.9", Self.name)
        let peer = mode == "mapped" ? " peer ::ffff:9.9.9.9,53" : ""
        #expect(line == "NOERROR from ::ffff:9.9.9.9,53\(peer) \(Self.vip)")
      }
      #expect(try town.ask("connected", "9.9.9.9", "server.demo").hasSuffix(Town.answer))
      #expect(try town.ask("connected", "9.9.9.9", "_http._tcp.server.demo", "SRV").hasSuffix(" 80 \(Self.name)"))
      #expect(try town.ask("connected", "9.9.9.9", "nobody.demo.svc.cluster.local").hasPrefix("NXDOMAIN"))
      #expect(town.seen("server").isEmpty && town.seen("nobody").isEmpty, "\(town.questions.stdout)")
    }
  }

  @Test("a program of the pod looks a service up with the C library and calls it by name")
  func byName() throws {
    try Town.with("byname") { town in
      #expect(try town.resolves())
      let own = town.mesh.world.newPath("resolv.conf")
      let text = "nameserver 9.9.9.9\nsearch demo.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
      try DiskFile.write(Array(text.utf8), to: own, mode: 0o644)
      func run(_ command: String) throws -> Finished {
        try town.client.run(["unshare", "-m", "sh", "-c", "mount --bind \(own) /etc/resolv.conf && exec \(command)"])
      }
      for name in ["server", "server.demo", "server.demo.svc", Self.name] {
        #expect(try run("getent ahostsv4 \(name)").stdout.hasPrefix(Self.vip + " "), "\(name)")
        #expect(try run("getent ahostsv6 \(name)").stdout.hasPrefix(Self.vip6 + " "), "\(name)")
        let page = try run("curl -s -m 10 http://\(name)/")
        #expect(page.stdout == "welcome\n", "\(name): \(page)")
      }
      #expect(try run("getent ahostsv4 elsewhere.example").stdout.hasPrefix("192.0.2.7 "))
      // Over TCP, as the C library does it when it is told to.
      let stream = try run("env RES_OPTIONS=use-vc getent ahostsv4 \(Self.name)")
      #expect(stream.stdout.hasPrefix(Self.vip + " "), "\(stream)")
      #expect(town.seen("server").isEmpty, "\(town.questions.stdout)")
    }
  }

  @Test("what is not the mesh's is forwarded as it is, types that nobody knows included, by UDP and by TCP")
  func forwarding() throws {
    try Town.with("forward") { town in
      #expect(try town.resolves())
      #expect(try town.ask("connected", "9.9.9.9", "a.example").hasSuffix(" 192.0.2.7"))
      #expect(try town.ask("unconnected", "2001:db8::9", "b.example", "AAAA").hasSuffix(" 2001:db8::7"))
      #expect(try town.ask("connected", "9.9.9.9", "c.example", "65280").hasSuffix(" type65280=0001feff"))
      #expect(try town.ask("tcp", "9.9.9.9", "d.example", "65399").hasSuffix(" type65399=0001feff"))
      // The question, but for its id, byte for byte; by the transport that it came by; from the workload's own address.
      let tail = "01000001000000000000"
      for (name, type, transport) in [("c", "ff00", "udp"), ("d", "ff77", "tcp")] {
        let lines = town.seen("\(name).example")
        #expect(lines.count == 1, "\(town.questions.stdout)")
        let words = lines.first?.split(separator: " ") ?? []
        #expect(words.count == 3 && words[0] == transport && words[1] == "10.77.0.2", "\(lines)")
        let label = name == "c" ? "0163" : "0164"
        #expect(words.last?.dropFirst(4) == "\(tail)\(label)076578616d706c6500\(type)0001", "\(lines)")
      }
      // DN-02: a truncated answer is fetched by TCP; a client that takes 512 bytes gets it truncated, by TCP whole.
      let big = try town.ask("tcp", "9.9.9.9", "big.example")
      #expect(big.split(separator: " ").count == 5 + 40, "\(big)")
      #expect(try town.ask("connected", "9.9.9.9", "big.example").hasPrefix("NOERROR"))
      #expect(Set(town.seen("big.example").map { $0.prefix(3) }) == ["udp", "tcp"])
      // DN-05: an address of the mesh in somebody else's answer.
      #expect(try town.ask("connected", "9.9.9.9", "mesh.example").hasPrefix("SERVFAIL"))

      let wanted = [
        "martlet_dns_answers_total{result=\"mesh\"} ", "martlet_dns_answers_total{result=\"forwarded\"} ",
        "martlet_dns_answers_total{result=\"filtered\"} 1",
        "martlet_dns_upstream_events_total{event=\"streams\"} 1",
      ]
      var metrics = ""
      let counted = try eventually {
        metrics = try town.mesh.metrics()
        return wanted.allSatisfy(metrics.contains) && !metrics.contains("martlet_dns_questions_total 0")
      }
      #expect(counted, "\(metrics)")
    }
  }

  @Test("a workload that did not ask for names is left alone, and so is one that asks no more")
  func optIn() throws {
    try Town.with("optin") { town in
      #expect(try town.resolves())
      let direct = "NOERROR from 10.77.0.53,53 peer 10.77.0.53,53 192.0.2.7"
      #expect(try town.ask("connected", "10.77.0.53", Self.name, in: town.plain) == direct)
      #expect(try town.ask("unconnected", "10.77.0.53", "x.example", in: town.plain).hasSuffix(" 192.0.2.7"))
      #expect(town.seen("server.demo").allSatisfy { $0.hasPrefix("udp 10.77.0.3 ") }, "\(town.questions.stdout)")
      #expect(try town.plain.run(["ss", "-Hlnu"]).stdout.contains(":15053") == false)

      try town.apply(dns: "dns: false")
      #expect(try eventually { try town.ask("connected", "10.77.0.53", Self.name) == direct })
      // Nobody holds the sockets any more, so they can be opened anew.
      let isFree = try eventually { try !town.client.run(["ss", "-Hlntu"]).stdout.contains(":15053") }
      #expect(isFree)
      try town.apply(dns: "dns: true")
      #expect(try town.resolves())
      try town.apply(dns: "dns: true, nameServers: [\"fd77::53\"]")
      let own = try eventually {
        _ = try town.ask("connected", "9.9.9.9", "own.example")
        return town.seen("own.example").contains { $0.hasPrefix("udp fd77::2 ") }
      }
      #expect(own, "\(town.questions.stdout)")
    }
  }

  @Test("DN-06: with the agent killed names resolve on; its successor takes the sockets over without a gap")
  func agentDies() throws {
    try Town.with("dnagent") { town in
      #expect(try town.resolves())
      let loop = try town.client.start(["python3", "-c", Programs.askNames, "9.9.9.9", Self.name, "12"])
      let other = try town.client.start(["python3", "-c", Programs.askNames, "9.9.9.9", "away.example", "12"])
      #expect(eventually { loop.stdout.contains("begin") && other.stdout.contains("begin") })
      let before = try town.client.run(["ss", "-Hlntue"]).stdout
      let proxies = try town.mesh.proxies()
      try town.mesh.killAgent()
      #expect(try town.ask("connected", "9.9.9.9", Self.name).hasSuffix(Town.answer))
      #expect(try town.ask("tcp", "9.9.9.9", Self.name).hasSuffix(Town.answer))
      #expect(try town.ask("connected", "9.9.9.9", "b.example").hasSuffix(" 192.0.2.7"))
      try town.mesh.startAgent()
      try town.mesh.waitUntilReady()
      #expect(try town.mesh.proxies() == proxies)
      #expect(try town.ask("connected", "9.9.9.9", Self.name).hasSuffix(Town.answer))
      #expect(try town.ask("tcp", "9.9.9.9", "c.example").hasSuffix(" 192.0.2.7"))
      #expect(try Self.inodes(town.client.run(["ss", "-Hlntue"]).stdout) == Self.inodes(before))
      for process in [loop, other] {
        let done = try process.finish(within: .seconds(60))
        #expect(!done.stdout.contains("failed") && !done.stdout.contains("error"), "\(done)")
        #expect(try Self.number("slowest", done.stdout) < 1000, "\(done)")
        #expect(try Self.number("asked", done.stdout) > 100, "\(done)")
      }
    }
  }

  @Test("DN-06: with the proxy killed again and again no question fails, and none waits for long")
  func proxyDies() throws {
    try Town.with("dnproxy") { town in
      #expect(try town.resolves())
      let loop = try town.client.start(["python3", "-c", Programs.askNames, "9.9.9.9", Self.name, "12"])
      #expect(eventually { loop.stdout.contains("begin") })
      var killed: Set<Int32> = []
      for _ in 0..<5 {
        let proxies = try town.mesh.proxies()
        killed.formUnion(proxies)
        for pid in proxies { try ProcessHandle.open(pid: pid).signal(9) }
        #expect(try eventually { try !town.mesh.proxies().isEmpty && killed.isDisjoint(with: town.mesh.proxies()) })
        #expect(try town.ask("connected", "9.9.9.9", Self.name).hasSuffix(Town.answer))
        #expect(try town.ask("tcp", "9.9.9.9", "x.example").hasSuffix(" 192.0.2.7"))
      }
      let done = try loop.finish(within: .seconds(60))
      #expect(!done.stdout.contains("failed") && !done.stdout.contains("error"), "\(done)")
      #expect(try Self.number("slowest", done.stdout) < 3000, "\(done)")
    }
  }

  @Test("questions to loopback are taken where the host's resolver is there, and left to the workload's own elsewhere")
  func loopback() throws {
    let stub = "nameserver 127.0.0.53\n"
    try Town.with("dnstub", resolvConf: stub, dns: "dns: true, nameServers: [\(Town.resolverAddress)]") { town in
      // The Workload says who is asked, and none of them is on loopback: what the pod asks there is its own business.
      #expect(try town.resolves())
      #expect(try town.ask("connected", "127.0.0.53", Self.name).hasPrefix("error"))
      try town.apply(dns: "dns: true")
      #expect(
        try eventually { try town.ask("unconnected", "127.0.0.53", Self.name).hasSuffix("127.0.0.53,53" + Town.answer) }
      )
      #expect(try town.ask("tcp", "127.0.0.53", Self.name).hasSuffix("peer 127.0.0.53,53" + Town.answer))
    }
  }

  @Test("without its sockets a workload's questions are refused, unless it is declared open; both are told")
  func portTaken() throws {
    let taken = { (town: Town) in
      let thief = try town.client.start(["python3", "-c", Programs.takeNamesPort])
      #expect(eventually { thief.stdout.contains("taken") }, "\(thief.stderr)")
    }
    try Town.with("dntaken", prepare: taken) { town in
      #expect(try eventually { try town.mesh.martlet(["status"]).stdout.contains("cannot take datagrams") })
      #expect(try town.ask("tcp", "10.77.0.53", "x.example").hasPrefix("error [Errno 111]"))
      #expect(try town.ask("connected", "10.77.0.53", "x.example").hasPrefix("timeout"))
      #expect(town.seen("x.example").isEmpty)
      // Calls do not depend on it.
      #expect(try town.client.run(["curl", "-s", "-m", "5", "http://\(Self.vip)/"]).stdout == "welcome\n")
      try town.apply(dns: "dns: true, failureMode: Open")
      #expect(try eventually { try town.ask("connected", "10.77.0.53", "x.example").hasSuffix(" 192.0.2.7") })
    }
  }

  @Test("BP-14: name sockets that were made in an earlier agent's cgroup are the agent's own when listeners are judged")
  func adopted() throws {
    try Town.with("dnsadopt") { town in
      #expect(try town.resolves())
      try town.mesh.killAgent()
      // Made anew it has another id, and the sockets bear the old one.
      #expect(try eventually { try town.mesh.node.run(["rmdir", town.mesh.node.cgroup.path + "/agent"]).isSuccess })
      try town.mesh.startAgent()
      try town.mesh.waitUntilReady()
      #expect(try town.resolves())
      // Somebody who is strange shows when they were judged.
      _ = try town.client.start(["python3", "-c", Self.strangeListener])
      #expect(
        try eventually(within: .seconds(15)) {
          try town.mesh.metrics().contains("martlet_foreign_listeners{place=\"mesh_port\"} 1")
        })
      let told = (town.mesh.agent?.stderr ?? "").split(separator: "\n").filter {
        $0.contains("somebody else listens on a port of the mesh")
      }
      #expect(told.count == 1 && told.allSatisfy { $0.contains(":15008") }, "\(told)")
    }
  }

  private static let strangeListener = """
    import socket, time
    l = socket.socket()
    l.bind(("0.0.0.0", 15008))
    l.listen(1)
    time.sleep(60)
    """

  @Test("the host's own resolver is answered names of the mesh, and told to ask others for the rest")
  func hostNames() throws {
    try Town.with("dnshost", prepare: { $0.mesh.agentOptions.append("--host-names") }) { town in
      let ask = { (server: String, name: String) in
        try town.mesh.node.run(["python3", "-c", Programs.askDirectly, server, name]).stdout
      }
      #expect(try eventually { try ask("127.0.0.1", Self.name) == "0 1\n" })
      #expect(try ask("::1", "server.demo") == "0 1\n")
      #expect(try ask("127.0.0.1", "away.example") == "5 0\n")
      // The host's own port 53 is left alone, and the sockets stay over a restart of the agent.
      #expect(try town.mesh.node.run(["ss", "-Hlntu"]).stdout.contains("127.0.0.1:15053"))
      try town.mesh.killAgent()
      #expect(try ask("127.0.0.1", Self.name) == "0 1\n")
      try town.mesh.startAgent()
      try town.mesh.waitUntilReady()
      #expect(try ask("127.0.0.1", Self.name) == "0 1\n")
      #expect(try town.resolves())
      let hosts = town.mesh.world.newPath("hosts")
      try DiskFile.write(Array("127.0.0.1 localhost\n".utf8), to: hosts, mode: 0o644)
      let done = try town.mesh.martlet(["hosts", "--file", hosts])
      #expect(done.isSuccess, "\(done)")
      let text = try DiskFile.readText(hosts, limit: 4096)
      for address in [Self.vip, Self.vip6] {
        #expect(text.contains("\n\(address) \(Self.name) server.demo.svc server.demo\n"), "\(text)")
      }
    }
  }

  private static func number(_ word: String, _ text: String) throws -> Int {
    let line = try #require(text.split(separator: "\n").last { $0.hasPrefix(word + " ") }, "\(text)")
    return try #require(Int(line.dropFirst(word.utf8.count + 1)))
  }

  /// Of sockets on port 15053, from ss(8).
  private static func inodes(_ text: String) -> [String] {
    text.split(separator: "\n").filter { $0.contains(":15053 ") }.compactMap { line in
      line.split(separator: " ").first { $0.hasPrefix("ino:") }.map(String.init)
    }.sorted()
  }
}
