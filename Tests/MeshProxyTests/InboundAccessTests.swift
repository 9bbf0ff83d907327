import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshProxy

@Suite("Who may call through a tunnel")
struct InboundAccessTests {
  private let server = "demo/server"

  private func access(
    _ policies: [PolicyEntry], selected: [String]? = nil, failureMode: FailureMode = .closed,
    location: WorkloadLocation = .none, ports: [UInt16] = []
  ) throws -> InboundAccess {
    var snapshot = Snapshot()
    let name = try #require(ResourceName(self.server))
    let entry = WorkloadEntry(
      name: name, node: "here", identity: try self.identity("server"), addresses: [try #require(IPAddress("10.0.0.3"))],
      location: location, ports: ports, failureMode: failureMode,
      policies: try (selected ?? policies.map { "\($0.name)" }).map { try #require(ResourceName($0)) })
    snapshot.insert(VersionedEntry(.workload(entry), version: ContentVersion(of: "w".utf8)))
    for policy in policies {
      snapshot.insert(VersionedEntry(.policy(policy), version: ContentVersion(of: policy.name.description.utf8)))
    }
    return InboundAccess(snapshot)
  }

  private func identity(_ account: String) throws -> SPIFFEID {
    try #require(SPIFFEID("spiffe://cluster.local/ns/demo/sa/\(account)"))
  }

  private func verdict(
    _ access: InboundAccess, _ account: String = "client", from address: String = "192.0.2.1", port: UInt16 = 80,
    to workload: String? = nil
  ) throws -> PolicyVerdict {
    access.verdict(
      source: try self.identity(account), address: try #require(IPAddress(address)),
      to: try #require(ResourceName(workload ?? self.server)), port: port)
  }

  private func policy(_ name: String, _ action: PolicyEntry.Action, _ rule: PolicyRule) throws -> PolicyEntry {
    PolicyEntry(name: try #require(ResourceName(name)), action: action, rules: [rule])
  }

  @Test("The certificate's identity is what policies go by: an impostor is refused, by name")
  func identity() throws {
    let allow = try self.policy(
      "demo/callers", .allow,
      PolicyRule(from: [SourceMatch(principals: [.exact("cluster.local/ns/demo/sa/client")])]))
    let access = try self.access([allow])
    #expect(try self.verdict(access).isAllowed)
    let refused = try self.verdict(access, "impostor")
    #expect(refused.reason == .notAllowed)
    #expect(refused.policy?.name == allow.name)
  }

  @Test("STRICT lets in who is authenticated; a DENY and a block of addresses hold as for everybody")
  func denied() throws {
    let name = try #require(ResourceName("demo/peerauthentication.default"))
    let strict = try #require(PolicyEntry(name: name, refusingPlaintextOf: PeerModes(mode: .strict)))
    let block = try #require(IPPrefix("198.51.100.0/24"))
    let deny = try self.policy("demo/deny", .deny, PolicyRule(from: [SourceMatch(ipBlocks: [block])]))
    let access = try self.access([strict, deny])
    #expect(try self.verdict(access).isAllowed)
    #expect(try self.verdict(access, from: "198.51.100.7").policy?.name == deny.name)
  }

  @Test("What is not known is refused: the workload, its policy unless it fails open, the mesh's own ports")
  func closed() throws {
    #expect(try self.verdict(self.access([]), to: "demo/gone").reason == .policyMissing)
    #expect(try self.verdict(self.access([], selected: ["demo/late"])).reason == .policyMissing)
    #expect(try self.verdict(self.access([], selected: ["demo/late"], failureMode: .open)).isAllowed)
    #expect(try self.verdict(self.access([]), port: 15001).reason == .meshPort)
  }

  @Test("Of a workload in the host's namespace only its declared ports are reached")
  func declared() throws {
    let access = try self.access([], location: .systemdUnit(name: "web.service"), ports: [80])
    #expect(try self.verdict(access).isAllowed)
    #expect(try self.verdict(access, port: 22).reason == .unknownAddress)
  }
}
