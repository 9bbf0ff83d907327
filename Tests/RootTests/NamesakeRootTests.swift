import MeshBase
import MeshTestSupport
import Testing

/// Two hosts whose workloads have the same addresses. Nothing but the control plane is common to them.
@Suite("Namesakes", .serialized)
struct NamesakeRootTests {
  /// One host: `first` is 10.77.0.2, `server` 10.77.0.3, `second` 10.77.0.4.
  private struct Host {
    let mesh: Mesh
    let first: WorldPod
    let server: WorldPod
    let second: WorldPod

    init(_ mesh: Mesh) throws {
      self.mesh = mesh
      self.first = try mesh.node.pod("first", v4: "10.77.0.2", v6: "fd77::2")
      self.server = try mesh.node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
      self.second = try mesh.node.pod("second", v4: "10.77.0.4", v6: "fd77::4")
      try self.server.startEcho(port: 9000)
    }

    /// `network`: in a network of that name; else the node is one of its own.
    func workloads(network: String?) -> String {
      let node = self.mesh.node.name
      return [self.first, self.server, self.second].map { pod in
        """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: \(pod.name)-\(node), namespace: demo, labels: {app: \(pod.name)-\(node)}}
        spec:
          node: \(node)
          serviceAccount: \(pod.name)-\(node)
          networkNamespace: \(pod.namespacePath)
          addresses: [\(pod.v4.map { "\($0)" } ?? ""), "\(pod.v6.map { "\($0)" } ?? "")"]
        \(network.map { "  network: \($0)" } ?? "")

        """
      }.joined()
    }
  }

  private static let targets = ["10.77.0.3:9000", "[fd77::3]:9000"]

  private func expect(_ pod: WorldPod, reaches: Bool, _ targets: [String]) throws {
    for target in targets {
      #expect(
        try pod.call(target) == (reaches ? .answer("hello") : .refused), "\(pod.name) of \(pod.node.name) to \(target)")
    }
  }

  @Test("the same addresses on two hosts: each decides by its own workloads, and never takes the other's for them")
  func twoHosts() throws {
    let world = try World("namesakes")
    defer { try? world.close() }
    let here = try Host(Mesh(world, node: world.node("a")))
    let there = try Host(Mesh(world, node: world.node("b")))
    there.mesh.runDirectory += "-b"
    there.mesh.stateDirectory += "-b"
    there.mesh.agentOptions = ["--control", "unix:" + here.mesh.controlSocket]
    here.mesh.pinDirectory += "/a"
    there.mesh.pinDirectory += "/b"
    func apply(callerThere: String) throws {
      try here.mesh.apply(
        here.workloads(network: nil) + there.workloads(network: "edge")
          + Manifest.service("server-a", ip: "240.0.0.41") + Manifest.service("server-b", ip: "240.0.0.42")
          + Manifest.allow("first-a", to: "server-a") + Manifest.allow(callerThere, to: "server-b"))
    }
    try apply(callerThere: "second-b")
    try here.mesh.start()
    try there.mesh.startAgent()
    try there.mesh.waitUntilReady()

    // The very same calls, decided the other way round.
    let (own, others) = (["240.0.0.41:80", "240.0.0.41:8080"], ["240.0.0.42:80", "240.0.0.42:8080"])
    try self.expect(here.first, reaches: true, Self.targets + own)
    try self.expect(here.second, reaches: false, Self.targets + [own[0]])
    try self.expect(there.second, reaches: true, Self.targets + others)
    try self.expect(there.first, reaches: false, Self.targets + [others[0]])

    // The endpoint of the other host's Service has the address of a workload here: that one is not meant, whoever may call it.
    #expect(try here.first.call(others[0]) == .refused)
    #expect(try here.first.call(others[1]) != .answer("hello"))
    #expect(try there.second.call(own[0]) == .refused)
    #expect(try there.second.call(own[1]) != .answer("hello"))
    for (host, caller, target) in [(here, "first-a", others[0]), (there, "second-b", own[0])] {
      let explained = try host.mesh.martlet(["explain", "demo/\(caller)", target]).stdout
      #expect(explained.contains("no_tunnel"), "\(explained)")
    }

    // A change for one of them is none for its namesake.
    try apply(callerThere: "first-b")
    #expect(eventually { (try? there.first.call(Self.targets[0])) == .answer("hello") })
    try self.expect(there.first, reaches: true, Self.targets + others)
    try self.expect(there.second, reaches: false, Self.targets + [others[0]])
    try self.expect(here.first, reaches: true, Self.targets + own)
    try self.expect(here.second, reaches: false, Self.targets + [own[0]])
  }
}
