import Glibc
import MeshBase
import MeshLinux
import Testing

@testable import MeshTestSupport

@Suite(.serialized) struct WorldRootTests {
  @Test("Two pods of a node reach each other and the node by IPv4 and IPv6, in their own namespaces and cgroups")
  func reaches() throws {
    let world = try World("reach")
    let node = try world.node("a")
    let web = try node.pod("web", v4: "10.77.0.2", v6: "fd77::2")
    let client = try node.pod("client", v4: "10.77.0.3", v6: "fd77::3")
    let server = try web.startEcho(port: 80)
    #expect(try client.call("10.77.0.2:80", "hello") == .answer("hello"))
    #expect(try client.call("[fd77::2]:80", "hello") == .answer("hello"))
    #expect(try client.call("10.77.0.2:81") == .refused)
    #expect(try node.call("10.77.0.2:80", "from the node") == .answer("from the node"))
    #expect(try web.cgroup.processes() == [server.pid])
    #expect(try Cgroup.relativePath(ofProcess: server.pid).hasSuffix("/\(world.identifier)/a/web"))
    #expect(Set([node.namespace, web.namespace, client.namespace]).count == 3)
    let finished = try server.stop()
    #expect(finished.status == .signal(SIGTERM))
    #expect(try client.call("10.77.0.2:80") == .refused)
    try world.close()
    try world.close()
    #expect(traces(of: world.identifier).isEmpty)
  }

  @Test("A program says what it says: status, output, error, input, and too long is an error")
  func programs() throws {
    let world = try World("programs")
    let node = try world.node("a")
    let finished = try node.run(["sh", "-c", "cat; echo bad >&2; exit 4"], input: "in")
    #expect(finished.stdout == "in" && finished.stderr == "bad\n" && finished.status == .code(4))
    #expect { _ = try node.run(["sh", "-c", "echo early; sleep 100"], timeout: .milliseconds(300)) } throws: {
      "\($0)".contains("did not end") && "\($0)".contains("early")
    }
    #expect(throws: MeshError.self) { _ = try node.run(["mt-no-such-program"]) }
    #expect(throws: MeshError.self) { _ = try world.node("a") }
  }

  @Test("What a dead run leaves is removed by the next World, what a living one has is not")
  func crash() throws {
    let living = try World("living")
    let node = try living.node("a")
    let identifier: String
    let process: WorldProcess
    do {
      let dead = try World("dead")
      identifier = dead.identifier
      let pod = try dead.node("a").pod("web", v4: "10.77.0.2")
      process = try pod.start(["sh", "-c", "sleep 1000 & sleep 1000"])
      // Two namespaces, a cgroup, a directory, a lock.
      #expect(traces(of: identifier).count == 5)
      dead.crash()
    }
    #expect(process.isRunning)
    let next = try World("next")
    #expect(traces(of: identifier).isEmpty)
    #expect(process.child.wait(milliseconds: 5000) == .signal(SIGKILL))
    #expect(try node.run(["true"]).isSuccess)
    try next.close()
    try living.close()
    #expect(traces(of: living.identifier).isEmpty)
  }

  @Test("A pod's veth has its other end in the node, where its index is known; its addresses are found")
  func facts() throws {
    let world = try World("facts")
    let node = try world.node("a")
    let pod = try node.pod("web", v4: "10.77.0.2", v6: "fd77::2")
    try pod.ip(["addr add 127.9.9.9/8 dev lo", "addr add 169.254.1.1/16 dev eth0"])
    #expect(try pod.namespace.addresses() == [address("10.77.0.2"), address("fd77::2")].sorted())
    let listed = try node.run(["ip", "-o", "link", "show", pod.hostInterface])
    let index = try #require(listed.stdout.split(separator: ":").first.flatMap { UInt32($0) })
    #expect(try pod.namespace.peerInterfaces(in: node.namespace) == [index])
    // Its peer is in the node, not in the machine's namespace; a pair within one namespace has no other end outside.
    #expect(try pod.namespace.peerInterfaces() == [])
    try pod.ip(["link add a1 type veth peer name a2"])
    #expect(try pod.namespace.peerInterfaces(in: node.namespace) == [index])
    #expect(try node.namespace.peerInterfaces(in: pod.namespace).count == 1)
  }

  /// Everything on the machine that bears the identifier.
  private func traces(of identifier: String) -> [String] {
    let cgroups = (try? Cgroup.unified().path) ?? ""
    return ["/run/netns", "/run/martlet-worlds", "/sys/fs/bpf", cgroups].flatMap { path in
      Directory.entries(path).filter { $0.hasPrefix(identifier) }.map { "\(path)/\($0)" }
    }
  }
}
