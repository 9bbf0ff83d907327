import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// An agent that speaks to its control plane over TCP, as one of another host does.
@Suite("The control plane on the network", .serialized)
struct NetworkRootTests {
  private static let address = "127.0.0.1:15012"
  private static let vip = "10.96.0.10"

  private func control(_ mesh: Mesh, _ arguments: [String]) throws -> Finished {
    try mesh.node.run(
      [Mesh.binaries + "/martlet"] + arguments + ["--api-socket", mesh.runDirectory + "/api.sock"])
  }

  private func certificates(_ mesh: Mesh) throws -> String {
    try mesh.martlet(["show", "certificates", "-o", "json"]).stdout
  }

  private func serials(_ mesh: Mesh) throws -> Set<String> {
    Set(try self.certificates(mesh).split(separator: "\"serial\" : \"").dropFirst().map { String($0.prefix(32)) })
  }

  @Test("a host joins by a token, gets its workloads' certificates, comes back without one, and follows a new root")
  func joins() throws {
    let world = try World("network")
    defer { try? world.close() }
    let node = try world.node("a")
    let client = try node.pod("client", v4: "10.77.0.2")
    let server = try node.pod("server", v4: "10.77.0.3")
    let mesh = try Mesh(world, node: node)
    try mesh.apply(
      Manifest.workload("client", client) + Manifest.workload("server", server)
        + Manifest.service("server", ip: Self.vip) + Manifest.allow("client", to: "server"))
    mesh.controlOptions = ["--listen", Self.address]
    try mesh.startControl()
    #expect(try eventually { try self.control(mesh, ["ca", "show"]).isSuccess })
    let token = try self.control(mesh, ["token", "create", "--node", "a"])
    #expect(token.stdout.hasPrefix("martlet1."), "\(token)")
    let file = world.directory + "/token"
    try DiskFile.write(Array(token.stdout.utf8), to: file, mode: 0o600)
    mesh.agentOptions = ["--control-plane", Self.address, "--join-token-file", file]
    try mesh.startAgent()
    try mesh.waitUntilReady()
    #expect(try mesh.martlet(["status"]).stdout.contains("connected to \(Self.address)"))
    #expect(try eventually { try self.serials(mesh).count == 2 })
    let shown = try self.certificates(mesh)
    #expect(shown.contains("spiffe://cluster.local/ns/demo/sa/client"), "\(shown)")

    // The token is used: another host does not join by it, and this one needs it no more.
    DiskFile.remove(file)
    try mesh.killAgent()
    mesh.agentOptions = ["--control-plane", Self.address]
    try mesh.startAgent()
    try mesh.waitUntilReady()
    #expect(try eventually { try self.serials(mesh).count == 2 })
    let before = try self.serials(mesh)

    #expect(try self.control(mesh, ["ca", "rotate", "--spread", "0s"]).isSuccess)
    #expect(
      try eventually(within: .seconds(20)) { try self.control(mesh, ["ca", "show"]).stdout.contains("signing since") })
    #expect(
      try eventually(within: .seconds(60)) { try self.serials(mesh).isDisjoint(with: before) && !before.isEmpty })
    #expect(try mesh.martlet(["status"]).stdout.contains("connected to \(Self.address)"))

    // Keys get into no core dump and no log.
    let pid = try #require(mesh.agent?.pid)
    #expect(try node.run(["grep", "-E", "^Max core file size +0 +0 ", "/proc/\(pid)/limits"]).isSuccess)
    let secret = try #require(token.stdout.split(separator: ".").dropFirst(2).first)
    let log = (mesh.agent?.stderr ?? "") + (mesh.control?.stderr ?? "")
    #expect(!log.contains("PRIVATE KEY"))
    #expect(!log.contains(secret))
  }
}
