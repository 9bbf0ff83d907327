import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite("TLS connections by name")
struct TLSRoutesTests {
  /// The rules lead to services `a/one`, `a/two` and so on, with one endpoint each: 10.0.0.1, 10.0.0.2. `a/none` has none.
  private func table(_ rules: [(names: [String], backends: [(String, UInt32)])]) throws -> RoutingTable {
    var world = World()
    for (number, service) in ["one", "two", "three", "four"].enumerated() {
      try world.endpoints(
        "a/\(service)",
        [
          Endpoint(
            addresses: [try #require(IPAddress("10.0.0.\(number + 1)"))],
            ports: [PortMapping(servicePort: 443, targetPort: 8443)])
        ])
    }
    let port = ServicePort(
      port: 443, appProtocol: .tls, backends: [Backend(service: try name("a/one"), port: 443)],
      tlsRules: try rules.enumerated().map { number, rule in
        TLSRule(
          route: try name("a/r\(number)"), hostnames: rule.names,
          backends: try rule.backends.map {
            Backend(service: try name("a/\($0.0)"), port: 443, weight: $0.1, isValid: $0.0 != "gone")
          })
      })
    world.insert(
      .service(
        ServiceEntry(name: try name("a/web"), addresses: [try #require(IPAddress("240.0.0.1"))], ports: [port])))
    return RoutingTable(world.snapshot)
  }

  private func pick(_ table: RoutingTable, _ name: String, seed: UInt64 = 1) throws -> String {
    var random = Steps(state: seed)
    switch table.share(forName: name, to: try endpoint("240.0.0.1:443"), using: &random) {
    case nil: return "no route"
    case .failure(let failure): return failure.refusal.rawValue
    case .success(let share):
      return table.endpoint(in: share, except: [], using: &random).map { "\($0.target)" } ?? "nobody"
    }
  }

  @Test(
    "an exact name first, then the longest wildcard, which stands for one label or more; of the same name the first rule"
  )
  func precedence() throws {
    let table = try self.table([
      (["*.example.com"], [("one", 1)]), (["*.b.example.com", "*.example.com"], [("two", 1)]),
      (["a.b.example.com", "a.b.example.com"], [("three", 1)]), (["a.b.example.com", "*.com"], [("four", 1)]),
    ])
    for (name, expected) in [
      ("x.example.com", "10.0.0.1"), ("x.y.example.com", "10.0.0.1"), ("x.b.example.com", "10.0.0.2"),
      ("y.x.b.example.com", "10.0.0.2"), ("a.b.example.com", "10.0.0.3"), ("b.example.com", "10.0.0.1"),
      ("example.com", "10.0.0.4"), ("x.com", "10.0.0.4"),
    ] { #expect(try self.pick(table, name) == "\(expected):8443", "\(name)") }
    for name in ["com", "example.org", "xexample.comx", "a", "..", ".", ""] {
      #expect(try self.pick(table, name) == "no route", "\(name)")
    }
  }

  @Test("by weight; a backend that does not resolve keeps its share, as one that nobody serves does")
  func weights() throws {
    let table = try self.table([
      (["a.example"], [("one", 3), ("two", 1), ("three", 0)]), (["b.example"], [("gone", 1)]),
      (["c.example"], [("none", 1)]), (["d.example"], [("one", 0)]),
    ])
    var counts: [String: Int] = [:]
    for seed in 0..<4000 { counts[try self.pick(table, "a.example", seed: UInt64(seed) * 977), default: 0] += 1 }
    #expect(Set(counts.keys) == ["10.0.0.1:8443", "10.0.0.2:8443"])
    #expect(abs((counts["10.0.0.1:8443"] ?? 0) - 3000) < 200, "\(counts)")
    #expect(try self.pick(table, "b.example") == "invalid_backend")
    #expect(try self.pick(table, "c.example") == "no_endpoint")
    #expect(try self.pick(table, "d.example") == "no_endpoint")
  }

  @Test("the rule that a name has among rules as they are written")
  func written() throws {
    let rules = try [["a.test"], ["*.test", "b.org"]].enumerated().map { number, names in
      TLSRule(route: try name("a/r\(number)"), hostnames: names, backends: [])
    }
    for (asked, number) in [("a.test", 0), ("b.test", 1), ("x.a.test", 1), ("b.org", 1)] {
      #expect(TLSRoutes.rule(for: asked, of: rules) == rules[number], "\(asked)")
    }
    #expect(TLSRoutes.rule(for: "org", of: rules) == nil && TLSRoutes.rule(for: "a.test", of: []) == nil)
  }
}
