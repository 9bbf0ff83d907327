import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("How routes are attached, and what is said of it")
struct RouteAttachmentTests {
  private func ports(_ result: CompileResult, _ service: String = "shop/web") -> [ServicePort] {
    result.snapshot.services[Samples.name(service)]?.value.ports ?? []
  }

  /// `Accepted: True Accepted`, by route, in the order of keys and parents.
  private func conditions(_ result: CompileResult) -> [String] {
    result.routes.flatMap { route in
      route.parents.flatMap { parent in
        parent.conditions.map { "\(route.key.name) \($0.type) \($0.isTrue) \($0.reason)" }
      }
    }
  }

  private func accepted(_ result: CompileResult) -> [String] {
    self.conditions(result).filter { $0.contains(" Accepted ") }
  }

  @Test("port, name of the port, both, or every port that does not speak something else")
  func portsOfParents() {
    for (parent, expected) in [
      ("name: web, port: 80", [80]), ("name: web, sectionName: admin", [81]),
      ("name: web", [80, 81, 90]),
      ("name: web, port: 80, sectionName: http", [80]),
      ("name: web, port: 80, sectionName: admin", []),
      ("name: web, port: 5432", []), ("name: gone", []), ("name: web, port: 99", []),
      ("name: next", []),
    ] as [(String, [UInt16])] {
      let result = Samples.compile(
        RouteSamples.simple("r", parent: parent), RouteSamples.web, RouteSamples.next)
      #expect(self.ports(result).filter { $0.routing != nil }.map(\.port) == expected, "\(parent)")
    }
    // A Service that says nothing of its port is taken at the route's word.
    let result = Samples.compile(RouteSamples.simple("r", parent: "name: next"), RouteSamples.next)
    #expect(self.ports(result, "shop/next").map(\.appProtocol) == [.http])
    let calls = Samples.compile(
      RouteSamples.simple("r", kind: "GRPCRoute", parent: "name: next"), RouteSamples.next)
    #expect(self.ports(calls, "shop/next").map(\.appProtocol) == [.grpc])
  }

  @Test("ports of which a Service says nothing are taken beside some that speak HTTP, and that is told")
  func silentPorts() {
    func compile(_ web: String) -> CompileResult {
      Samples.compile(RouteSamples.simple("r", parent: "name: web"), web, RouteSamples.next)
    }
    func routed(_ result: CompileResult) -> [UInt16] {
      self.ports(result).filter { $0.routing != nil }.map(\.port)
    }
    let silent = compile(RouteSamples.web)
    #expect(routed(silent) == [80, 81, 90])
    #expect(silent.problems.map(\.severity) == [.warning])
    #expect(silent.problems.first?.message.contains("port 81 speaks: the route takes it for HTTP") == true)
    let named = compile(RouteSamples.web.replacing("name: admin", with: "name: http-admin"))
    #expect(routed(named) == [80, 81, 90] && named.problems.isEmpty)
    for name in ["tcp-admin", "tls", "redis"] {
      let other = compile(RouteSamples.web.replacing("name: admin", with: "name: \(name)"))
      #expect(routed(other) == [80, 90] && other.problems.isEmpty, "\(name)")
    }
  }

  @Test("why a route is not accepted, and why its references do not resolve")
  func refusals() {
    func check(_ route: String, _ expected: [String], _ more: String...) {
      let result = Samples.compile(
        ([route, RouteSamples.web, RouteSamples.next] + more).joined(separator: "\n---\n"))
      #expect(self.conditions(result) == expected)
      #expect(expected.filter { $0.contains("false") }.isEmpty == result.errors.isEmpty)
    }
    let resolved = "r ResolvedRefs true ResolvedRefs"
    let accepted = "r Accepted true Accepted"
    check(RouteSamples.simple("r"), [accepted, resolved])
    check(
      RouteSamples.simple("r", parent: "name: gone"),
      ["r Accepted false NoMatchingParent", resolved])
    check(
      RouteSamples.simple("r", parent: "name: web, port: 99"),
      ["r Accepted false NoMatchingParent", resolved])
    check(
      RouteSamples.simple("r", parent: "name: web, port: 5432"),
      ["r Accepted false NotAllowedByListeners", resolved])
    check(
      RouteSamples.simple("r", backend: "name: gone, port: 80"),
      [accepted, "r ResolvedRefs false BackendNotFound"])
    check(
      RouteSamples.simple("r", backend: "name: next, port: 9"),
      [accepted, "r ResolvedRefs false BackendNotFound"])
    check(
      RouteSamples.simple("r", backend: "kind: Bucket, group: a.b, name: next"),
      [accepted, "r ResolvedRefs false InvalidKind"])
    check(
      RouteSamples.simple("r", backend: "name: other, namespace: stock, port: 80"),
      [accepted, "r ResolvedRefs false RefNotPermitted"], RouteSamples.stock)
    check(
      RouteSamples.simple("r", backend: "name: safe, port: 443"),
      [accepted, "r ResolvedRefs false UnsupportedProtocol"],
      RouteSamples.next.replacing("name: next", with: "name: safe").replacing(
        "port: 80", with: "port: 443, appProtocol: https"))
    check(
      RouteSamples.simple("r", parent: "name: bare"),
      ["r Accepted false NoMatchingParent", resolved],
      RouteSamples.next.replacing("name: next", with: "name: bare").replacing(
        "selector", with: "clusterIP: None\n  selector"))
  }

  @Test("a backend that does not resolve keeps its weight and is invalid; the others are not")
  func invalidBackends() throws {
    let text = RouteSamples.simple("r").replacing(
      "[{name: next, port: 80}]",
      with: "[{name: next, port: 80, weight: 3}, {name: gone, port: 80, weight: 7}]")
    let result = Samples.compile(text, RouteSamples.web, RouteSamples.next)
    let backends = try #require(self.ports(result).first?.routing?.rules.first?.backends)
    #expect(backends.map(\.weight) == [3, 7] && backends.map(\.isValid) == [true, false])
  }

  @Test(
    "a Service of another namespace has to grant it, to this kind of route, from this namespace")
  func grants() {
    let route = RouteSamples.simple("r", backend: "name: other, namespace: stock, port: 80")
    for (from, to, isGranted) in [
      ("HTTPRoute", "{group: \"\", kind: Service, name: other}", true),
      ("HTTPRoute", "{group: \"\", kind: Service}", true),
      ("GRPCRoute", "{group: \"\", kind: Service}", false),
      ("Gateway", "{group: \"\", kind: Service}", false),
      ("HTTPRoute", "{group: \"\", kind: Service, name: another}", false),
      ("HTTPRoute", "{group: \"\", kind: Secret, name: other}", false),
    ] {
      let grant = Samples.grant.replacing("kind: TCPRoute", with: "kind: \(from)").replacing(
        "{group: \"\", kind: Service, name: other}", with: to)
      let result = Samples.compile(route, RouteSamples.web, RouteSamples.stock, grant)
      #expect(
        self.ports(result).first?.routing?.rules.first?.backends.map(\.isValid) == [isGranted],
        "\(from) \(to)")
    }
  }

  @Test(
    "a route for a Service of another namespace is for clients of its own, and may lead to where they called"
  )
  func consumers() throws {
    let consumer = RouteSamples.simple(
      "mine", namespace: "till", parent: "name: web, namespace: shop, port: 80",
      backend: "name: next, namespace: shop, port: 80")
    let result = Samples.compile(
      consumer, RouteSamples.simple("all"), RouteSamples.web, RouteSamples.next)
    #expect(result.problems.map(\.description) == [])
    let rules = try #require(self.ports(result).first?.routing?.rules)
    #expect(rules.map(\.consumerNamespace) == [nil, "till"])
    #expect(rules.flatMap(\.backends).map(\.isValid) == [true, true])
    // Its own namespace's Services as well, those of a third one not.
    let own = consumer.replacing("name: next, namespace: shop", with: "name: next, namespace: till")
    let third = consumer.replacing(
      "name: next, namespace: shop", with: "name: other, namespace: stock")
    let local = RouteSamples.next.replacing("namespace: shop", with: "namespace: till")
    for (route, isValid) in [(own, true), (third, false)] {
      let result = Samples.compile(route, RouteSamples.web, local, RouteSamples.stock)
      #expect(
        self.ports(result).first?.routing?.rules.flatMap(\.backends).map(\.isValid) == [isValid])
    }
  }

  @Test("a consumer cannot make a port speak HTTP for the others: to them it stays bytes")
  func consumersOfSilentPorts() {
    let consumer = RouteSamples.simple(
      "mine", namespace: "till", parent: "name: web, namespace: shop, port: 81",
      backend: "name: web, namespace: shop, port: 81")
    let alone = Samples.compile(consumer, RouteSamples.web)
    #expect(self.accepted(alone) == ["mine Accepted true Accepted"])
    let port = self.ports(alone)[1]
    #expect(port.appProtocol == .tcp && port.needsProxy)
    #expect(port.speaksHTTP(toClientsIn: "till") && !port.speaksHTTP(toClientsIn: "shop"))
    let producer = RouteSamples.simple("own", parent: "name: web, port: 81")
    let both = self.ports(Samples.compile(consumer, producer, RouteSamples.web, RouteSamples.next))[1]
    #expect(both.routing?.rules.count == 2 && both.appProtocol == .http)
    #expect(both.speaksHTTP(toClientsIn: "shop"))
  }

  @Test(
    "rules of several routes: the older route first, then by namespace and name, then as written")
  func order() {
    let result = Samples.compile(
      RouteSamples.simple("a"), RouteSamples.simple("b"),
      RouteSamples.simple("c", created: "2026-02-01T00:00:00Z"),
      RouteSamples.simple("d", created: "2026-01-01T00:00:00Z"), RouteSamples.web, RouteSamples.next
    )
    #expect(
      self.ports(result).first?.routing?.rules.map(\.origin.ruleName) == ["d", "c", "a", "b"])
  }

  @Test(
    "of routes of different kinds for one port GRPCRoute goes first, then HTTPRoute, then TCPRoute")
  func conflicts() {
    let result = Samples.compile(
      RouteSamples.simple("http", parent: "name: web, port: 90"), RouteSamples.grpc,
      RouteSamples.tcp, RouteSamples.web,
      RouteSamples.next)
    #expect(
      self.accepted(result) == [
        "calls Accepted true Accepted", "http Accepted false Conflicted",
        "bytes Accepted true Accepted",
      ])
    let ports = self.ports(result)
    #expect(ports[2].routing?.rules.allSatisfy { $0.origin.kind == .grpc } == true)
    #expect(ports.map { $0.route?.name } == ["bytes", "bytes", nil, "bytes"])
    #expect(result.errors.map(\.object) == ["HTTPRoute shop/http", "TCPRoute shop/bytes"])
    // Another port of the same Service takes it.
    let partly = Samples.compile(
      RouteSamples.simple("http", parent: "name: web"), RouteSamples.grpc, RouteSamples.web,
      RouteSamples.next)
    #expect(
      self.accepted(partly) == ["calls Accepted true Accepted", "http Accepted true Accepted"])
    #expect(
      self.ports(partly).map { $0.routing?.rules.first?.origin.kind } == [.http, .http, .grpc, nil])
  }

  @Test("a route that is broken now stays in force as it was, and says so")
  func kept() {
    var compiler = Compiler()
    func compile(_ route: String) -> CompileResult {
      compiler.update(
        file: "a.yaml", bytes: Samples.stream([route, RouteSamples.web, RouteSamples.next]))
      return compiler.compile(now: 1000)
    }
    _ = compile(RouteSamples.simple("r"))
    let result = compile(RouteSamples.simple("r").replacing("port: 80}]", with: "prot: 80}]"))
    #expect(self.ports(result).first?.routing?.rules.count == 1)
    #expect(result.routes.first?.problem?.hasSuffix("the last good version is in force") == true)
  }
}
