import MeshBase
import MeshDNS
import MeshLinux
import MeshSnapshot
import Testing

@testable import MeshAgent

@Suite("Who is asked for names that are not the mesh's")
struct NameServerChoiceTests {
  private func choice(
    declared: [String] = [], own: String? = nil, host: String = "", behind: String? = nil
  ) throws -> (servers: [String], takesLoopback: Bool) {
    func file(_ servers: String) -> ResolverConfiguration {
      ResolverConfiguration(parsing: servers.split(separator: " ").map { "nameserver \($0)\n" }.joined())
    }
    let choice = NameServerChoice(
      declared: try declared.map { try #require(IPAddress($0)) }, own: own.map(file), host: file(host),
      behind: behind.map(file))
    return (choice.servers.map(\.description), choice.takesLoopback)
  }

  @Test("what the Workload says counts, as it stands")
  func declared() throws {
    let plain = try self.choice(declared: ["10.0.0.1", "fd00::1"], own: "10.0.0.2", host: "10.0.0.3")
    #expect(plain.servers == ["10.0.0.1:53", "[fd00::1]:53"] && !plain.takesLoopback)
    let stub = try self.choice(declared: ["127.0.0.11"], host: "127.0.0.53")
    #expect(stub.servers == ["127.0.0.11:53"] && stub.takesLoopback)
    #expect(try !self.choice(declared: ["10.0.0.1"], host: "127.0.0.53").takesLoopback)
  }

  @Test("then the namespace's own file, whose resolver on loopback is never asked, because it would ask back")
  func own() throws {
    let plain = try self.choice(own: "10.0.0.2", host: "127.0.0.53", behind: "10.0.0.9")
    #expect(plain.servers == ["10.0.0.2:53"] && !plain.takesLoopback)
    let local = try self.choice(own: "127.0.0.1", host: "10.0.0.3", behind: "10.0.0.9")
    #expect(local.servers == ["10.0.0.9:53"] && !local.takesLoopback)
    #expect(try self.choice(own: "127.0.0.1", host: "10.0.0.3").servers == [])
  }

  @Test("then the host's, and the servers behind its resolver, whom a namespace cannot reach on loopback")
  func host() throws {
    let plain = try self.choice(host: "10.0.0.3 10.0.0.4", behind: "10.0.0.9")
    #expect(plain.servers == ["10.0.0.3:53", "10.0.0.4:53"] && !plain.takesLoopback)
    let stub = try self.choice(host: "127.0.0.53", behind: "10.0.0.9 127.0.0.1")
    #expect(stub.servers == ["10.0.0.9:53"] && stub.takesLoopback)
    let mixed = try self.choice(host: "127.0.0.1 10.0.0.3", behind: "10.0.0.9")
    #expect(mixed.servers == ["10.0.0.3:53"] && mixed.takesLoopback)
    // No file, or none that names anybody: this host.
    let none = try self.choice()
    #expect(none.servers == [] && none.takesLoopback)
  }

  @Test("a namespace has a file of its own only under a name")
  func path() {
    #expect(ResolverFiles.ownPath(.networkNamespace(path: "/run/netns/web")) == "/etc/netns/web/resolv.conf")
    #expect(ResolverFiles.ownPath(.networkNamespace(path: "/var/run/netns/web")) == "/etc/netns/web/resolv.conf")
    for path in ["/proc/1/ns/net", "/run/netns/", "/run/netns/a/b", "/run/netnsx/a"] {
      #expect(ResolverFiles.ownPath(.networkNamespace(path: path)) == nil, "\(path)")
    }
    #expect(ResolverFiles.ownPath(.none) == nil)
  }

  @Test("a file that changes is read again, within two seconds and not sooner")
  func changes() throws {
    let path = "/tmp/mt-resolv-\(UInt32.random(in: 0...UInt32.max))"
    defer { DiskFile.remove(path) }
    let identity = try #require(SPIFFEID("spiffe://mesh.test/ns/a/sa/b"))
    let workload = WorkloadEntry(
      name: try #require(ResourceName("a/b")), node: "n", identity: identity,
      location: .networkNamespace(path: "/proc/7/ns/net"), resolvesNames: true)
    var files = ResolverFiles(hostPath: path)
    func servers(_ now: Int64) -> [String] {
      files.choice(for: workload, now: now).servers.filter { $0.address.isV4 }.map(\.address.description)
    }
    try DiskFile.write(Array("nameserver 10.0.0.1\n".utf8), to: path, mode: 0o600)
    #expect(servers(1000) == ["10.0.0.1"])
    try DiskFile.write(Array("nameserver 10.0.0.2\n".utf8), to: path, mode: 0o600)
    #expect(servers(2999) == ["10.0.0.1"])
    #expect(servers(3000) == ["10.0.0.2"])
  }
}
