import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshDNS

@Suite struct MeshZoneTests {
  private func ask(_ text: String, _ type: DNSType = .a, in zone: MeshZone = sampleZone) -> MeshZone.Answer? {
    var random = SplitMix64(seed: 8)
    return zone.answer(DNSQuestion(name: spelled(text), type: type), using: &random)
  }

  private func addresses(_ text: String, _ type: DNSType = .a) -> [String]? {
    self.ask(text, type)?.answers.compactMap { $0.address?.description }
  }

  @Test(
    "A service has its three names, in any case",
    arguments: [
      "web.default", "web.default.", "web.default.svc", "web.default.svc.cluster.local",
      "web.default.svc.cluster.local.", "WEB.dEfault.SVC.Cluster.LOCAL",
    ])
  func names(_ text: String) throws {
    let answer = try #require(self.ask(text))
    #expect(answer.code == .noError)
    #expect(answer.answers == [DNSRecord(name: spelled(text), timeToLive: 5, address: address("240.1.2.3"))])
    #expect(self.addresses(text, .aaaa) == ["fd00:6d61::5"])
  }

  @Test(
    "What is somebody else's is not answered",
    arguments: [
      "web", "example.org", "web.example.org", "default", "cluster.example", "local", ".", "web.defaultx",
      "x.web.default", "nobody.default", "web.default.svc.cluster.local.corp.example", "xsvc", "_http._tcp.example.org",
      "_dns-sd._udp.example.org", "web.default.svc.cluster.localx",
    ])
  func foreign(_ text: String) {
    #expect(self.ask(text) == nil)
  }

  @Test("Another class is somebody else's")
  func otherClass() {
    var random = SplitMix64(seed: 8)
    #expect(
      sampleZone.answer(DNSQuestion(name: spelled("web.default"), type: .a, recordClass: 3), using: &random) == nil)
  }

  @Test(
    "NXDOMAIN: names that cannot be anything, with the time that this may be kept",
    arguments: [
      ("nobody.default.svc.cluster.local", "cluster.local"), ("nobody.default.svc", "svc"),
      // What a search list makes of `web.default` with ndots:5.
      ("web.default.default.svc.cluster.local", "cluster.local"), ("web.default.cluster.local", "cluster.local"),
      ("web.nowhere.svc", "svc"), ("nowhere.svc", "svc"), ("x.web.default.svc", "svc"),
      ("_ftp._tcp.web.default", "web.default"), ("_http._udp.web.default.svc", "svc"),
      ("_udp.web.default.svc", "svc"), ("_x.web.default", "web.default"), ("http._tcp.web.default.svc", "svc"),
      ("_._tcp.legacy.default.svc", "svc"), ("10-1-0-3.db.prod.svc", "svc"), ("10-1-0-4.db.prod.svc", "svc"),
      ("1-2-3-4.default.pod.cluster.local", "cluster.local"), ("_tcp.legacy.default.svc", "svc"),
    ])
  func missing(_ text: String, _ apex: String) throws {
    for type in [DNSType.a, .any, .srv, .soa, DNSType(rawValue: 65)] {
      let answer = try #require(self.ask(text, type))
      #expect(answer.code == .nameError)
      #expect(answer.answers.isEmpty)
      try self.expectAuthority(answer, apex)
    }
  }

  @Test(
    "NODATA: the name is, the type is not",
    arguments: [
      ("legacy.default", DNSType.aaaa, "legacy.default"), ("legacy.default.svc", .aaaa, "svc"),
      ("web.default.svc.cluster.local", .txt, "cluster.local"), ("web.default", .srv, "web.default"),
      ("web.default", .cname, "web.default"), ("web.default.svc", DNSType(rawValue: 65), "svc"),
      ("default.svc.cluster.local", .a, "cluster.local"), ("svc.cluster.local", .a, "cluster.local"),
      ("cluster.local", .a, "cluster.local"), ("svc", .aaaa, "svc"), ("default.svc", .any, "svc"),
      ("_tcp.web.default.svc", .srv, "svc"), ("_tcp.web.default", .a, "web.default"),
      ("_http._tcp.web.default", .a, "web.default"), ("b.prod.svc", .a, "svc"),
      ("10-1-0-1.db.prod.svc", .aaaa, "svc"),
    ])
  func nothingOfThatType(_ text: String, _ type: DNSType, _ apex: String) throws {
    let answer = try #require(self.ask(text, type))
    #expect(answer.code == .noError)
    #expect(answer.answers.isEmpty)
    try self.expectAuthority(answer, apex)
  }

  /// RFC 2308: one SOA, of the apex, with five seconds in both places.
  private func expectAuthority(_ answer: MeshZone.Answer, _ apex: String) throws {
    let soa = try #require(answer.authorities.first)
    #expect(answer.authorities.count == 1)
    #expect(soa.name.name == name(apex))
    #expect(soa.type == .soa)
    #expect(soa.timeToLive == 5)
    #expect(soa.data.suffix(4) == [0, 0, 0, 5])
    var reader = DNSReader(soa.data)
    #expect(try reader.name() == spelled("ns.dns.cluster.local"))
    #expect(try reader.name() == spelled("hostmaster.cluster.local"))
    #expect(try reader.range(20).upperBound == soa.data.count)
  }

  @Test("SOA at the top of a zone")
  func startOfAuthority() throws {
    #expect(try #require(self.ask("cluster.local", .soa)).answers.map(\.type) == [.soa])
    #expect(try #require(self.ask("svc", .soa)).answers.first?.name == spelled("svc"))
  }

  @Test("ANY gets the least that is allowed", arguments: ["web.default", "_http._tcp.web.default", "svc"])
  func any(_ text: String) throws {
    let answer = try #require(self.ask(text, .any))
    #expect(answer.answers.map(\.type) == [.hinfo])
    #expect(answer.answers.first?.data == [7] + Array("RFC8482".utf8) + [0])
  }

  @Test("SRV: the port and the service's full name, with its addresses")
  func service() throws {
    for text in ["_https._tcp.web.default", "_HTTPS._TCP.web.default.svc.cluster.local"] {
      let answer = try #require(self.ask(text, .srv))
      let target = spelled("web.default.svc.cluster.local")
      #expect(
        answer.answers == [
          DNSRecord(name: spelled(text), type: .srv, timeToLive: 5, data: [0, 0, 0, 0, 1, 187] + target.wire)
        ])
      #expect(answer.additionals.compactMap { $0.address?.description } == ["240.1.2.3", "fd00:6d61::5"])
      #expect(answer.additionals.allSatisfy { $0.name == target })
    }
  }

  @Test("A service without an address is its ready endpoints, each with a name")
  func headless() throws {
    #expect(try Set(#require(self.addresses("db.prod"))) == ["10.1.0.1", "10.1.0.2"])
    #expect(self.addresses("db.prod", .aaaa) == ["fd01::2"])
    #expect(self.addresses("10-1-0-2.db.prod.svc.cluster.local") == ["10.1.0.2"])
    #expect(self.addresses("fd01--2.db.prod.svc", .aaaa) == ["fd01::2"])
    let answer = try #require(self.ask("_pg._tcp.db.prod", .srv))
    let expected: Set<[UInt8]> = [
      [0, 0, 0, 3, 0x3c, 0x48] + spelled("10-1-0-1.db.prod.svc.cluster.local").wire,
      [0, 0, 0, 1, 0x15, 0x39] + spelled("10-1-0-2.db.prod.svc.cluster.local").wire,
      [0, 0, 0, 1, 0x15, 0x39] + spelled("fd01--2.db.prod.svc.cluster.local").wire,
    ]
    #expect(Set(answer.answers.map(\.data)) == expected)
    #expect(answer.additionals.count == 3)
  }

  @Test("Lists begin anywhere")
  func rotation() {
    var random = SplitMix64(seed: 4)
    let first = (0..<50).compactMap { _ in
      sampleZone.answer(DNSQuestion(name: spelled("db.prod"), type: .a), using: &random)?.answers.first?.address
    }
    #expect(Set(first.map(\.description)) == ["10.1.0.1", "10.1.0.2"])
  }

  @Test("A service whose name has dots is found, and what ends it exists")
  func dotted() {
    #expect(self.addresses("a.b.prod.svc") == ["240.9.9.9"])
    #expect(self.addresses("a.b.prod") == ["240.9.9.9"])
  }

  @Test("Another cluster domain takes the place of the usual one")
  func clusterDomain() {
    let zone = MeshZone(sampleSnapshot, clusterDomain: "Mesh.Example")
    #expect(self.ask("web.default.svc.mesh.example", in: zone)?.answers.count == 1)
    #expect(self.ask("web.default.svc.cluster.local", in: zone) == nil)
    #expect(MeshZone(sampleSnapshot, clusterDomain: "").apex == name("cluster.local"))
  }

  @Test("An empty snapshot has no names, and still says so in its zones")
  func empty() {
    let zone = MeshZone(Snapshot())
    #expect(zone.count == 0)
    #expect(self.ask("web.default.svc", in: zone)?.code == .nameError)
    #expect(self.ask("svc.cluster.local", in: zone)?.code == .noError)
    #expect(self.ask("web.default", in: zone) == nil)
  }

  @Test("Every name of random services is found by its three forms, and by no other's address")
  func everyService() throws {
    var random = SplitMix64(seed: 77)
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789-".utf8)
    var expected: [ResourceName: IPAddress] = [:]
    for number in 0..<300 {
      let text = { (random: inout SplitMix64) in
        "s" + String(decoding: (0..<4).map { _ in random.pick(letters) }, as: UTF8.self) + "x"
      }
      guard let name = ResourceName(namespace: random.pick(["a", "b-c", "svc", "local"]), name: text(&random)) else {
        continue
      }
      expected[name] = IPAddress(v4: 0xf000_0001 + UInt32(number))
    }
    let zone = MeshZone(
      Snapshot(of: expected.map { .service(ServiceEntry(name: $0.key, addresses: [$0.value], ports: [])) }))
    #expect(zone.count == expected.count)
    for (name, address) in expected {
      let short = "\(name.name).\(name.namespace)"
      for text in [short + ".svc", short + ".svc.cluster.local"] + (name.namespace == "svc" ? [] : [short]) {
        #expect(self.ask(text, in: zone)?.answers.compactMap(\.address) == [address])
      }
    }
  }
}
