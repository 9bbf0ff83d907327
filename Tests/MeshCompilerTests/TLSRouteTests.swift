import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("TLSRoutes at Services")
struct TLSRouteTests {
  private func ports(_ result: CompileResult) -> [ServicePort] {
    result.snapshot.services[Samples.name("shop/web")]?.value.ports ?? []
  }

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

  private static func route(
    _ name: String, _ hostnames: String, parent: String = "name: web, port: 81", created: String? = nil,
    version: String = "v1"
  ) -> String {
    """
    apiVersion: gateway.networking.k8s.io/\(version)
    kind: TLSRoute
    metadata: {name: \(name), namespace: shop\(created.map { ", creationTimestamp: \"\($0)\"" } ?? "")}
    spec:
      parentRefs: [{group: "", kind: Service, \(parent)}]
      hostnames: [\(hostnames)]
      rules: [{backendRefs: [{name: next, port: 80}]}]
    """
  }

  @Test("it leads a port's connections by name, through the proxy; versions v1, v1alpha3 and v1alpha2")
  func inForce() throws {
    for version in ["v1", "v1alpha3", "v1alpha2"] {
      let route = RouteSamples.tls.replacing("k8s.io/v1", with: "k8s.io/\(version)")
      let result = Samples.compile(route, RouteSamples.web, RouteSamples.next)
      #expect(
        self.conditions(result) == ["secure Accepted true Accepted", "secure ResolvedRefs true ResolvedRefs"],
        "\(version)")
      #expect(result.errors.isEmpty)
      let port = try #require(self.ports(result).last)
      #expect(
        port.tlsRules == [
          TLSRule(
            route: Samples.name("shop/secure"), hostnames: ["a.example.com", "*.example.com"],
            backends: [Backend(service: Samples.name("shop/next"), port: 80)])
        ])
      #expect(port.needsProxy && !port.appProtocol.needsProxy)
      #expect(self.ports(result).filter { !$0.tlsRules.isEmpty }.map(\.port) == [5432])
    }
  }

  @Test("which ports: as named, but none that speaks HTTP; else those that speak TLS, else those that say nothing")
  func portsOfParents() {
    let service = """
      apiVersion: v1
      kind: Service
      metadata: {name: web, namespace: shop}
      spec:
        selector: {app: web}
        ports:
          - {name: http, port: 80, appProtocol: http}
          - {name: admin, port: 81}
      """
    let more = "\n    - {name: tls-a, port: 443}\n    - {name: b, port: 444, appProtocol: tls}"
    for (parent, text, expected, reason) in [
      ("name: web, port: 81", service, [81], "Accepted"), ("name: web, sectionName: admin", service, [81], "Accepted"),
      ("name: web", service, [81], "Accepted"), ("name: web", service + more, [443, 444], "Accepted"),
      ("name: web, port: 80", service, [], "NotAllowedByListeners"),
      ("name: web, port: 9", service, [], "NoMatchingParent"),
      ("name: gone", service, [], "NoMatchingParent"),
      ("name: web", service.replacing("- {name: admin, port: 81}", with: ""), [], "NotAllowedByListeners"),
      ("name: web", service.replacing("selector:", with: "clusterIP: None\n  selector:"), [], "NoMatchingParent"),
    ] as [(String, String, [UInt16], String)] {
      let result = Samples.compile(Self.route("r", "a.example", parent: parent), text, RouteSamples.next)
      #expect(self.ports(result).filter { !$0.tlsRules.isEmpty }.map(\.port) == expected, "\(parent)")
      #expect(self.accepted(result) == ["r Accepted \(reason == "Accepted") \(reason)"], "\(parent)")
    }
  }

  @Test("several for one port: older first, and a name belongs to the first that says it")
  func several() {
    let result = Samples.compile(
      Self.route("a", "\"*.example.com\", a.example.com"), Self.route("b", "b.example.com, a.example.com"),
      Self.route("c", "a.example.com"), Self.route("d", "a.example.com", created: "2026-01-01T00:00:00Z"),
      RouteSamples.web, RouteSamples.next)
    #expect(
      self.ports(result)[1].tlsRules.map { "\($0.route.name): \($0.hostnames.joined(separator: " "))" } == [
        "d: a.example.com", "a: *.example.com", "b: b.example.com",
      ])
    #expect(
      self.accepted(result) == [
        "a Accepted true Accepted", "b Accepted true Accepted", "c Accepted false Conflicted",
        "d Accepted true Accepted",
      ])
    #expect(result.errors.map(\.object) == ["TLSRoute shop/a", "TLSRoute shop/b", "TLSRoute shop/c"])
  }

  @Test("routes of requests go before it, and it goes before a TCPRoute")
  func conflicts() {
    let http = RouteSamples.simple("http", parent: "name: web, port: 81")
    let first = Samples.compile(Self.route("r", "a.example"), http, RouteSamples.web, RouteSamples.next)
    #expect(self.accepted(first) == ["http Accepted true Accepted", "r Accepted false Conflicted"])
    #expect(self.ports(first).allSatisfy { $0.tlsRules.isEmpty })
    let tcp = RouteSamples.simple("tcp", kind: "TCPRoute", parent: "name: web, port: 81")
    let second = Samples.compile(Self.route("r", "a.example"), tcp, RouteSamples.web, RouteSamples.next)
    #expect(self.accepted(second) == ["tcp Accepted false Conflicted", "r Accepted true Accepted"])
    #expect(self.ports(second)[1].route == nil && self.ports(second)[1].tlsRules.count == 1)
  }

  @Test("a backend that does not resolve stays and refuses; hostnames are required, names of hosts, and stand once")
  func strict() throws {
    let result = Samples.compile(Self.route("r", "a.example"), RouteSamples.web)
    #expect(self.conditions(result).last == "r ResolvedRefs false BackendNotFound")
    #expect(self.ports(result)[1].tlsRules.first?.backends.map(\.isValid) == [false])
    for (names, words) in [
      ("", "empty list"), ("a.example, a.example", "stands twice"), ("\"*\"", "no name of a host"),
      ("192.0.2.1", "an address"), ("A.example", "no name of a host"), ("\"a.*.example\"", "no name of a host"),
    ] {
      let result = Samples.compile(Self.route("r", names), RouteSamples.web, RouteSamples.next)
      let isTold = result.errors.contains { $0.description.contains(words) }
      #expect(isTold, "\(names): \(result.errors)")
      #expect(self.ports(result).allSatisfy { $0.tlsRules.isEmpty })
    }
  }
}
