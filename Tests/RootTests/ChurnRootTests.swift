import Glibc
import MeshBPF
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Everything changes under load: policy, endpoints, routes, namespaces.
@Suite("Churn", .serialized)
struct ChurnRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  @Test("BP-18: 0 of all calls fail while policy and endpoints change 100 times")
  func changes() throws {
    try Trio.with("changes") { trio in
      let second = try trio.mesh.node.pod("second", v4: "10.77.0.5", v6: "fd77::5")
      try second.startEcho(port: 9000)
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      let both = Manifest.workload("second", second, labels: "app: server")
      for round in 0..<100 {
        let policy =
          Manifest.allow("client", to: "server") + (round % 3 == 0 ? Manifest.deny("intruder", to: "server") : "")
        try trio.mesh.apply(trio.resources(policy) + (round % 2 == 0 ? both : ""))
        usleep(100_000)
      }
      let revision = try trio.mesh.martlet(["status", "-o", "json"]).stdout
      let done = try loop.stop()
      let lines = done.stdout.split(separator: "\n")
      #expect(lines.count > 200)
      #expect(lines.allSatisfy { $0 == "ok" }, "\(lines.filter { $0 != "ok" }.prefix(5))")
      #expect(
        trio.mesh.agent?.stderr.split(separator: "\n").count { $0.contains("tables written") } ?? 0 > 30, "\(revision)")
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
    }
  }

  @Test("a route's weights are followed, 90 to 10 and then 0 to 100, and 0 connections fail")
  func weights() throws {
    try Trio.with("weights") { trio in
      let names = ["first", "second"]
      var extra = Manifest.service("shop", ip: "240.0.0.20")
      for (index, name) in names.enumerated() {
        let pod = try trio.mesh.node.pod(name, v4: "10.77.0.2\(index)")
        let server = try pod.start(["python3", "-c", Programs.nameServer, "9000", name])
        try pod.waitForListener(port: 9000, process: server)
        extra += Manifest.workload(name, pod) + Manifest.service(name, ip: "240.0.0.2\(index + 1)")
      }
      func apply(_ first: Int, _ second: Int) throws {
        try trio.mesh.apply(
          trio.resources(Manifest.allow("client", to: "server")) + extra
            + Manifest.split("shop", "first", first, "second", second))
      }
      try apply(90, 10)
      #expect(try eventually { try trio.client.call("240.0.0.20:80", "hello") != .refused })
      let loop = try trio.client.start(["python3", "-c", Programs.askLoop, "240.0.0.20", "80", "20"])
      #expect(eventually(within: .seconds(15)) { loop.stdout.split(separator: "\n").count >= 1000 })
      let sample = loop.stdout.split(separator: "\n").prefix(1000)
      let share = sample.count { $0 == "second" }
      // 100 expected, standard deviation 9.5: five of them.
      #expect((53...147).contains(share), "\(share) of 1000")
      try apply(0, 100)
      // The tail alone tells when the change has arrived.
      #expect(eventually { loop.stdout.split(separator: "\n").suffix(100).allSatisfy { $0 == "second" } })
      let done = try loop.stop()
      let lines = done.stdout.split(separator: "\n")
      #expect(
        lines.allSatisfy { $0 == "first" || $0 == "second" }, "\(lines.filter { $0.hasPrefix("failed") }.prefix(5))")
    }
  }

  @Test("an endpoint that leaves under load costs nothing: taken out first, no call fails; killed, none fails after")
  func leaves() throws {
    try Trio.with("leaves") { trio in
      var pods: [WorldPod] = []
      for index in 5...6 {
        let pod = try trio.mesh.node.pod("more-\(index)", v4: "10.77.0.\(index)")
        try pod.startEcho(port: 9000)
        pods.append(pod)
      }
      func resources(_ pods: [WorldPod]) -> String {
        trio.resources(Manifest.allow("client", to: "server"))
          + pods.map { Manifest.workload($0.name, $0, labels: "app: server") }.joined()
      }
      func withdrawn() -> Int {
        (trio.mesh.agent?.stderr ?? "").split(separator: "\n").count { $0.contains("workload withdrawn") }
      }
      try trio.mesh.apply(resources(pods))
      #expect(eventually { (trio.mesh.agent?.stderr ?? "").contains("workload=demo/more-6") })
      let graceful = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { graceful.stdout.contains("ok") })
      try trio.mesh.apply(resources([pods[1]]))
      #expect(eventually { withdrawn() == 1 })
      try pods[0].remove()
      usleep(500_000)
      let done = try graceful.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")

      let load = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { load.stdout.contains("ok") })
      try pods[1].remove()
      #expect(eventually { withdrawn() == 2 })
      let after = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { after.stdout.split(separator: "\n").count >= 100 })
      try load.stop()
      let last = try after.stop()
      #expect(!last.stdout.contains("failed"), "\(last.stdout.suffix(500))")
    }
  }

  @Test("BP-04: a namespace that is deleted and made again under its name is enrolled anew each time")
  func sameName() throws {
    try Trio.with("samename") { trio in
      var server = trio.server
      func enrolments() -> Int {
        (trio.mesh.agent?.stderr ?? "").split(separator: "\n").count {
          $0.contains("workload enrolled") && $0.contains("demo/server")
        }
      }
      for round in 0..<10 {
        try server.remove()
        server = try trio.mesh.node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
        try server.startEcho(port: 9000)
        #expect(eventually { enrolments() == round + 2 }, "\(round): \(enrolments())")
        // Its interface has another address now.
        _ = try trio.client.run(["ip", "neigh", "flush", "all"])
        #expect(
          try eventually { try trio.client.call("\(Self.vip):80", timeout: .seconds(1)) == .answer("hello") },
          "\(round)")
        #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
        #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
        #expect(try trio.intruder.call("10.77.0.3:9000") == .refused)
      }
    }
  }

  @Test("a directory above a namespace's name that is renamed is found at once, at rest too, and when it is back")
  func renamedAbove() throws {
    try Trio.with("renamedabove") { trio in
      let node = trio.mesh.node
      let extra = try node.pod("extra", v4: "10.77.0.5", v6: "fd77::5")
      let (names, moved) = (trio.mesh.world.directory + "/names", trio.mesh.world.directory + "/moved")
      let name = names + "/inner/extra"
      for path in [names, names + "/inner"] { try DiskFile.makeDirectory(path, mode: 0o755) }
      try DiskFile.write([], to: name, mode: 0o644)
      #expect(try node.run(["mount", "--bind", extra.namespacePath, name]).isSuccess)
      defer { for path in [names, moved] { _ = try? node.run(["umount", "-l", path + "/inner/extra"]) } }
      try trio.mesh.apply(
        """
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: extra, namespace: demo, labels: {app: extra}}
        spec: {node: a, serviceAccount: extra, networkNamespace: \(name)}

        """, file: "extra.yaml")
      func isEnrolled() throws -> Bool {
        try trio.mesh.martlet(["status"]).stdout.contains("4 workloads enrolled")
      }
      #expect(try eventually { try isEnrolled() })
      // Until every workload is proven and the agent rests.
      usleep(6_000_000)
      try DiskFile.rename(names, to: moved)
      #expect(try eventually(within: .seconds(3)) { try !isEnrolled() })
      try DiskFile.rename(moved, to: names)
      #expect(try eventually(within: .seconds(5)) { try isEnrolled() })
    }
  }

  /// 10 times 20; MARTLET_CYCLES=50 makes 1,000.
  @Test("200 workloads that come and go leave no descriptor, map entry, link or interface behind")
  func cycles() throws {
    try Trio.with("cycles") { trio in
      let mesh = trio.mesh
      let rounds = getenv("MARTLET_CYCLES").flatMap { Int(String(cString: $0)) } ?? 10
      let count = 20
      let prefix = mesh.world.identifier + "-cyc"
      var manifest = trio.resources(Manifest.allow("client", to: "server"))
      for index in 1...count {
        manifest += """
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: cyc-\(index), namespace: demo, labels: {app: cyc}}
          spec: {node: a, serviceAccount: cyc, networkNamespace: /run/netns/\(prefix)\(index)}

          """
      }
      try mesh.apply(manifest + Manifest.service("cyc", ip: "240.0.0.40") + Manifest.allow("client", to: "cyc"))

      func lookups() throws -> Int {
        try mesh.node.run(["sh", "-c", "ls \"$1\"/v1/links | grep -c ^lookup-", "sh", mesh.world.pinDirectory])
          .stdout.split(separator: "\n").first.flatMap { Int($0) } ?? -1
      }
      /// The longest that enrolment and withdrawal took, from the moment when the namespaces were made or removed.
      var longest = (enrol: Duration.zero, withdraw: Duration.zero)
      func took(_ what: WritableKeyPath<(enrol: Duration, withdraw: Duration), Duration>, _ wanted: Int) throws {
        let start = ContinuousClock.now
        // Half a second on a quiet machine: the scan's quarter, and twenty workloads.
        #expect(try eventually(within: .seconds(3)) { try lookups() == wanted })
        longest[keyPath: what] = max(longest[keyPath: what], ContinuousClock.now - start)
      }
      func cycle() throws {
        let made = try mesh.node.run(["bash", "-c", Self.make, "bash", prefix, "\(count)"], timeout: .seconds(60))
        #expect(made.isSuccess, "\(made)")
        try took(\.enrol, 3 + count)
        _ = try mesh.node.run(["bash", "-c", Self.remove, "bash", prefix, "\(count)"], timeout: .seconds(60))
        try took(\.withdraw, 3)
        // A namespace that nobody holds takes its veth with it.
        #expect(
          try eventually(within: .seconds(10)) {
            try !mesh.node.run(["ip", "-o", "link"]).stdout.split(separator: "\n").contains { $0.contains(": c") }
          })
      }
      try cycle()
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      usleep(2_500_000)  // the old generation's rows stay a second
      let before = try Inventory(trio)
      for _ in 0..<rounds { try cycle() }
      var after = try Inventory(trio)
      let isSame = try eventually(within: .seconds(10)) {
        after = try Inventory(trio)
        return before.covers(after)
      }
      #expect(isSame, "before: \(before)\nafter: \(after)")
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      print("cycles: \(rounds * count); longest: \(longest); before: \(before); after: \(after)")
    }
  }

  /// What could leak.
  private struct Inventory: CustomStringConvertible {
    var agentDescriptors: Int
    var proxyDescriptors: Int
    var heldNamespaces: Int
    var links: Int
    var interfaces: Int
    var entries: [String: Int]

    init(_ trio: Trio) throws {
      let mesh = trio.mesh
      let agent = mesh.agent?.pid ?? 0
      let proxy = try mesh.proxies().first ?? 0
      func number(_ script: String, _ argument: String) throws -> Int {
        let text = try mesh.node.run(["sh", "-c", script, "sh", argument]).stdout
        return text.split(separator: "\n").first.flatMap { Int($0) } ?? -1
      }
      self.agentDescriptors = try number("ls /proc/$1/fd | wc -l", "\(agent)")
      self.proxyDescriptors = try number("ls /proc/$1/fd | wc -l", "\(proxy)")
      self.heldNamespaces = try number("ls -l /proc/$1/fd | grep -c 'net:'", "\(agent)")
      self.links = try number("ls $1/v1/links | wc -l", mesh.world.pinDirectory)
      self.interfaces = try number("ip -o link | wc -l", "")
      self.entries = [:]
      // What the kernel fills by itself and ages is not counted.
      for map in try DatapathInventory.maps(pinDirectory: mesh.world.pinDirectory)
      where !["pending", "flows", "edges"].contains(where: { map.name.contains($0) }) {
        if let entries = map.entries { self.entries[map.name] = entries }
      }
    }

    /// Nothing in `other` is more than here.
    func covers(_ other: Inventory) -> Bool {
      other.agentDescriptors <= self.agentDescriptors && other.proxyDescriptors <= self.proxyDescriptors
        && other.heldNamespaces <= self.heldNamespaces && other.links <= self.links
        && other.interfaces <= self.interfaces
        && other.entries.allSatisfy { $0.value <= self.entries[$0.key] ?? 0 }
    }

    var description: String {
      "agent \(self.agentDescriptors) fds, proxy \(self.proxyDescriptors) fds, \(self.heldNamespaces) namespaces, "
        + "\(self.links) links, \(self.interfaces) interfaces, "
        + self.entries.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
  }

  private static let make = """
    set -e
    for i in $(seq $2); do ip netns add $1$i; done
    for i in $(seq $2); do
      echo link add c$i type veth peer name eth0 netns $1$i
      echo link set c$i master br0 up
    done | ip -batch -
    for i in $(seq $2); do
      printf 'link set lo up\\nlink set eth0 up\\naddr add 10.77.9.%d/16 dev eth0\\n' $i | ip -n $1$i -batch -
    done
    """

  private static let remove = "for i in $(seq $2); do ip netns del $1$i; done"
}
