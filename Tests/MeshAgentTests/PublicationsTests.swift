import MeshBase
import MeshContainers
import MeshDatapath
import Testing

@testable import MeshAgent

@Suite("Published ports")
struct PublicationsTests {
  private func places(_ publications: [(String, Int, Int, Int)]) throws -> Publications {
    Publications(
      try publications.map { host, hostPort, port, count in
        try #require(ContainerPublication(host: host, hostPort: hostPort, containerPort: port, count: count))
      },
      hostAddresses: [try #require(IPAddress("10.77.0.1")), try #require(IPAddress("fd77::1"))])
  }

  private func texts(_ publications: Publications) -> [String] {
    publications.ports.map { "\($0.host)=\($0.port)" }.sorted()
  }

  @Test(
    "an address of the host stands for itself, none for all, loopback with them",
    arguments: [
      ("", ["10.77.0.1:8080=80", "127.0.0.1:8080=80", "[::1]:8080=80", "[fd77::1]:8080=80"]),
      ("0.0.0.0", ["10.77.0.1:8080=80", "127.0.0.1:8080=80"]), ("::", ["[::1]:8080=80", "[fd77::1]:8080=80"]),
      ("127.0.0.1", ["127.0.0.1:8080=80"]), ("10.77.0.1", ["10.77.0.1:8080=80"]),
      // One of 127/8, which stands for itself only; not the host's; no address.
      ("127.0.0.5", []), ("192.0.2.1", []), ("web", []),
    ])
  func addresses(host: String, expected: [String]) throws {
    let publications = try self.places([(host, 8080, 80, 1)])
    #expect(self.texts(publications) == expected && publications.problem == nil)
  }

  @Test("a range is one port after the other, twice the same is once")
  func ranges() throws {
    let publications = try self.places([("10.77.0.1", 8100, 9000, 3), ("10.77.0.1", 8101, 9001, 1)])
    #expect(
      self.texts(publications) == ["10.77.0.1:8100=9000", "10.77.0.1:8101=9001", "10.77.0.1:8102=9002"])
    let last = try self.places([("10.77.0.1", 65_535, 65_535, 1)])
    #expect(self.texts(last) == ["10.77.0.1:65535=65535"])
  }

  @Test("the mesh's own ports of the host are left to the engine, and told; so is what is more than a table holds")
  func limits() throws {
    let own = try self.places([("10.77.0.1", 15_000, 1, 3)])
    #expect(self.texts(own) == ["10.77.0.1:15000=1", "10.77.0.1:15002=3"])
    #expect(own.problem?.contains("15001") == true)
    let many = try self.places([("", 20_000, 1, 5000)])
    #expect(many.ports.count == Publications.limit && many.problem != nil)
  }
}
