import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Workloads of different networks are relayed from inside of the destination's namespace: who is taken for one of another
/// network by mistake reaches it without a link of his own.
@Suite("Networks that are not known yet", .serialized)
struct SegmentRootTests {
  private static let vip = "240.0.0.31"

  /// `client` may call `server`; body gets both, with the agent not yet started.
  private static func with(_ name: String, _ body: (Mesh, WorldPod, WorldPod) throws -> Void) throws {
    let world = try World(name)
    defer { try? world.close() }
    let node = try world.node("a")
    let client = try node.pod("client", v4: "10.77.0.2", v6: "fd77::2")
    let server = try node.pod("server", v4: "10.77.0.3", v6: "fd77::3")
    try server.startEcho(port: 9000)
    let mesh = try Mesh(world, node: node)
    try mesh.apply(
      Manifest.workload("client", client) + Manifest.workload("server", server)
        + Manifest.service("server", ip: Self.vip) + Manifest.allow("client", to: "server"))
    do {
      try body(mesh, client, server)
    } catch {
      Issue.record("agent: \(mesh.agent?.stderr.suffix(4000) ?? "")")
      throw error
    }
  }

  private func expect(_ client: WorldPod, reaches: Bool) throws {
    for port in [80, 8080] {
      let target = "\(Self.vip):\(port)"
      if reaches {
        #expect(try eventually { try client.call(target, timeout: .seconds(1)) == .answer("hello") }, "\(target)")
      } else {
        #expect(try client.call(target, timeout: .seconds(1)) != .answer("hello"), "\(target)")
      }
    }
  }

  @Test("a workload whose veth is in no bridge yet reaches nobody, and its own network from when it is")
  func early() throws {
    try Self.with("segment-early") { mesh, client, _ in
      try mesh.node.ip(["link set \(client.hostInterface) down", "link set \(client.hostInterface) nomaster"])
      try mesh.start()
      try self.expect(client, reaches: false)
      try mesh.node.ip(["link set \(client.hostInterface) up"])
      try self.expect(client, reaches: false)
      try mesh.node.ip(["link set \(client.hostInterface) master br0"])
      try self.expect(client, reaches: true)
    }
  }

  @Test("a workload whose veth goes is in no other network for that, and in its own again when it has a new one")
  func lost() throws {
    try Self.with("segment-lost") { mesh, client, _ in
      try mesh.start()
      try self.expect(client, reaches: true)
      try mesh.node.ip(["link del \(client.hostInterface)"])
      try self.expect(client, reaches: false)
      let segments = try mesh.martlet(["show", "workloads", "-o", "json"]).stdout
        .split(separator: "\n").filter { $0.contains("\"segment\"") }
      #expect(segments.count == 2 && segments.allSatisfy { $0.contains("br0") }, "\(segments)")
    }
  }
}
