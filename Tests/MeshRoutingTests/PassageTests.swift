import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite("What leads to an endpoint")
struct PassageTests {
  private struct Place {
    var name: String
    var node: String
    var address: String
    var network: String?
    var location = WorkloadLocation.none
    var modes = PeerModes.permissive
    var gateways: [String] = []
  }

  private static let caller = Place(name: "a/caller", node: "one", address: "10.0.0.2", network: "flat")

  private func table(_ places: Place...) throws -> RoutingTable {
    var snapshot = Snapshot()
    for place in places + [Self.caller] {
      let name = try #require(ResourceName(place.name))
      let identity = try #require(
        SPIFFEID(trustDomain: "t.example", namespace: name.namespace, serviceAccount: name.name))
      let entry = WorkloadEntry(
        name: name, node: place.node, identity: identity, addresses: [try #require(IPAddress(place.address))],
        location: place.location, ports: place.location.isInHost ? [80] : [], network: place.network,
        peerModes: place.modes, gateways: try place.gateways.map { try #require(IPAddress($0)) })
      snapshot.insert(VersionedEntry(.workload(entry), version: ContentVersion(of: place.name.utf8)))
    }
    return RoutingTable(snapshot)
  }

  private func passage(_ table: RoutingTable, to text: String) throws -> Passage? {
    let caller = try #require(ResourceName(Self.caller.name))
    let choice = table.choice(at: try #require(SocketEndpoint(text)), from: caller)
    return choice.map { table.passage(from: caller, to: $0) }
  }

  private func tunnel(_ gateway: String, _ authority: String, to name: String, named: Bool) throws -> Passage {
    let name = try #require(ResourceName(name))
    return .tunnel(
      Tunnel(
        identity: try #require(
          SPIFFEID(trustDomain: "t.example", namespace: name.namespace, serviceAccount: name.name)),
        gateway: try #require(SocketEndpoint(gateway)),
        serverName: named ? WorkloadEntry.serverName(of: name) : nil, authority: try #require(SocketEndpoint(authority))
      ))
  }

  @Test("What is on the same node is dialled itself")
  func near() throws {
    let table = try self.table(Place(name: "a/server", node: "one", address: "10.0.0.3", network: "other"))
    #expect(try self.passage(table, to: "10.0.0.3:80") == .direct)
    #expect(try self.passage(table, to: "10.0.0.9:80") == nil)
  }

  @Test("Of the same network the other end is the workload itself, without a name")
  func sameNetwork() throws {
    let table = try self.table(
      Place(name: "a/server", node: "two", address: "10.0.1.3", network: "flat", gateways: ["192.0.2.2"]))
    #expect(
      try self.passage(table, to: "10.0.1.3:80")
        == self.tunnel("10.0.1.3:15008", "10.0.1.3:80", to: "a/server", named: false))
  }

  @Test("Of another network it is its node, of the family of its address if there is one, by the workload's name")
  func otherNetwork() throws {
    let table = try self.table(
      Place(name: "a/server", node: "two", address: "10.0.1.3", gateways: ["2001:db8::2", "192.0.2.2"]),
      Place(name: "a/sixth", node: "two", address: "fd00::3", gateways: ["192.0.2.2"]),
      Place(name: "a/lost", node: "two", address: "10.0.1.4"))
    #expect(
      try self.passage(table, to: "10.0.1.3:80")
        == self.tunnel("192.0.2.2:15008", "10.0.1.3:80", to: "a/server", named: true))
    #expect(
      try self.passage(table, to: "[fd00::3]:80")
        == self.tunnel("192.0.2.2:15008", "[fd00::3]:80", to: "a/sixth", named: true))
    #expect(try self.passage(table, to: "10.0.1.4:80") == .refused(.noTunnel))
  }

  @Test("Workloads in a host's namespace share its address: the name tells which is meant")
  func inHost() throws {
    let table = try self.table(
      Place(
        name: "a/unit", node: "two", address: "192.0.2.2", network: "flat", location: .systemdUnit(name: "web.service"))
    )
    #expect(
      try self.passage(table, to: "192.0.2.2:80")
        == self.tunnel("192.0.2.2:15008", "192.0.2.2:80", to: "a/unit", named: true))
  }

  @Test("A port with DISABLE is dialled itself, where its address means it")
  func plain() throws {
    let modes = PeerModes(mode: .strict, ports: [81: .disable])
    let table = try self.table(
      Place(name: "a/server", node: "two", address: "10.0.1.3", network: "flat", modes: modes),
      Place(name: "a/far", node: "two", address: "10.0.2.3", modes: modes, gateways: ["192.0.2.2"]))
    #expect(try self.passage(table, to: "10.0.1.3:81") == .direct)
    #expect(try self.passage(table, to: "10.0.2.3:81") == .refused(.noTunnel))
    #expect(
      try self.passage(table, to: "10.0.1.3:80")
        == self.tunnel("10.0.1.3:15008", "10.0.1.3:80", to: "a/server", named: false))
  }

  @Test("An address that two have means the one of the caller's network")
  func namesakes() throws {
    let table = try self.table(
      Place(name: "a/aaa", node: "two", address: "10.0.1.3", gateways: ["192.0.2.2"]),
      Place(name: "a/bbb", node: "three", address: "10.0.1.3", network: "flat"))
    #expect(
      try self.passage(table, to: "10.0.1.3:80")
        == self.tunnel("10.0.1.3:15008", "10.0.1.3:80", to: "a/bbb", named: false))
  }

  @Test("Who is not known opens no tunnel")
  func stranger() throws {
    let table = try self.table(Place(name: "a/server", node: "two", address: "10.0.1.3", network: "flat"))
    let target = try #require(SocketEndpoint("10.0.1.3:80"))
    let choice = RoutingTable.Choice(target: target, workload: ResourceName("a/server"), needsTunnel: true)
    #expect(table.passage(from: nil, to: choice) == .refused(.noTunnel))
    #expect(table.passage(from: ResourceName("a/nobody"), to: choice) == .refused(.noTunnel))
    let gone = RoutingTable.Choice(target: target, workload: ResourceName("a/gone"), needsTunnel: true)
    #expect(table.passage(from: ResourceName("a/caller"), to: gone) == .refused(.noTunnel))
  }

  @Test("Whoever opens tunnels is given endpoints of other nodes as well")
  func attempts() throws {
    var random = SystemRandomNumberGenerator()
    let target = try #require(SocketEndpoint("10.0.1.3:80"))
    let choice = RoutingTable.Choice(target: target, workload: ResourceName("a/server"), needsTunnel: true)
    let table = try self.table()
    var closed = ConnectAttempts(table: table, original: target, chosen: choice)
    #expect(closed.begin(now: 0, using: &random) == .refuse(.noTunnel))
    var open = ConnectAttempts(table: table, original: target, chosen: choice, opensTunnels: true)
    let action = open.begin(now: 0, using: &random)
    #expect(action == .dial(choice, deadline: 10_000))
  }
}
