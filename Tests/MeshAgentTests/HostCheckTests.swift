import MeshBase
import MeshTestSupport
import Testing

@testable import MeshAgent
@testable import MeshLinux

@Suite("Checks of workloads in the host's namespace")
struct HostCheckTests {
  private static let own: UInt64 = 7
  private static let check = HostCheck(admit: { _ in }, forget: { _ in }, owns: { $0.cgroup == Self.own })

  private func listener(_ endpoint: String, cgroup: UInt64 = Self.own) throws -> SocketRecord {
    let local = try #require(SocketEndpoint(endpoint))
    return SocketRecord(
      local: local, remote: SocketEndpoint(.loopback(isV4: local.address.isV4), 0), state: .listen,
      isV6Socket: !local.address.isV4, cookie: 1, inode: 1, uid: 0, interface: 0, cgroup: cgroup)
  }

  private func place(_ listeners: [SocketRecord], _ addresses: [String]) throws -> HostCheck.Place {
    Self.check.place(listeners, addresses: try addresses.map { try #require(IPAddress($0)) })
  }

  private func at(_ address: String) throws -> HostCheck.Place { .at(try #require(IPAddress(address))) }

  @Test("a listener on all addresses is dialled at the workload's first of its family, else on loopback")
  func everywhere() throws {
    let addresses = ["fd77::1", "192.0.2.9", "10.0.0.1"]
    #expect(try self.place([self.listener("0.0.0.0:80")], addresses) == self.at("192.0.2.9"))
    #expect(try self.place([self.listener("[::]:80")], addresses) == self.at("fd77::1"))
    #expect(try self.place([self.listener("0.0.0.0:80")], ["fd77::1"]) == self.at("127.0.0.1"))
    #expect(try self.place([self.listener("[::]:80")], []) == self.at("::1"))
  }

  @Test("a listener on one address is dialled there; of several, as callers from elsewhere would, by IPv4")
  func somewhere() throws {
    let addresses = ["192.0.2.9", "10.0.0.1"]
    #expect(try self.place([self.listener("10.0.0.1:80")], addresses) == self.at("10.0.0.1"))
    let loopback = try self.listener("127.0.0.1:80")
    #expect(try self.place([loopback], addresses) == self.at("127.0.0.1"))
    let v6 = try self.listener("[fd77::1]:80")
    #expect(try self.place([loopback, v6], addresses) == self.at("fd77::1"))
    #expect(try self.place([loopback, v6, self.listener("10.0.0.1:80")], addresses) == self.at("10.0.0.1"))
  }

  @Test("what another process serves is not the workload, and nobody listening is a refusal")
  func nowhere() throws {
    #expect(try self.place([], ["10.0.0.1"]) == .nowhere("ECONNREFUSED"))
    let strange = try self.listener("0.0.0.0:80", cgroup: 8)
    #expect(try self.place([strange], ["10.0.0.1"]) == .nowhere("another process listens there"))
    #expect(try self.place([strange, self.listener("127.0.0.1:80")], ["10.0.0.1"]) == self.at("127.0.0.1"))
  }
}
