import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshCompiler

@Suite("Resources become entries")
struct CompilationTests {
  @Test("Every field of every kind is accepted and arrives where it belongs")
  func everyField() throws {
    var compiler = Compiler()
    compiler.update(file: "shop.yaml", bytes: Samples.stream(Samples.all))
    let result = compiler.compile(now: 0)
    #expect(result.problems.map(\.description) == [])
    #expect(result.resourceCount == Samples.all.count)
    let snapshot = result.snapshot

    let config = try #require(snapshot.config?.value)
    #expect(config.trustDomain == "example.org")
    #expect(config.vipRangeV4 == IPPrefix("240.1.0.0/16"))
    #expect(config.vipRangeV6 == IPPrefix("fd00:1::/64"))
    #expect(config.connectTimeoutMilliseconds == 90_500)

    let workload = try #require(snapshot.workloads[Samples.name("shop/web-1")]?.value)
    #expect(workload.node == "one")
    #expect(workload.identity == SPIFFEID("spiffe://example.org/ns/shop/sa/web"))
    #expect(workload.addresses.map(\.description) == ["10.1.0.2", "fd00::2"])
    #expect(workload.location == .networkNamespace(path: "/run/netns/web"))
    #expect(workload.failureMode == .open)
    #expect(workload.policies == [Samples.name("mesh-root/all"), Samples.name("shop/web")])
    #expect(workload.app == "web")
    #expect(workload.appVersion == "v2")

    let web = try #require(snapshot.services[Samples.name("shop/web")]?.value)
    #expect(web.addresses.map(\.description) == ["10.96.0.1"])
    #expect(
      web.ports == [
        ServicePort(
          port: 80, name: "http", appProtocol: .http2, backends: [Backend(service: web.name, port: 80)]),
        ServicePort(
          port: 5432, name: "db",
          backends: [
            Backend(service: web.name, port: 5432, weight: 9),
            Backend(service: Samples.name("stock/other"), port: 7000),
          ], route: Samples.name("shop/split")),
      ])
    #expect(
      snapshot.endpoints[web.name]?.value.endpoints == [
        Endpoint(
          workload: workload.name, weight: 3,
          ports: [
            PortMapping(servicePort: 80, targetPort: 8080), PortMapping(servicePort: 5432, targetPort: 5432),
          ])
      ])

    let manual = try #require(snapshot.services[Samples.name("shop/manual")]?.value)
    #expect(manual.addresses.count == 2)
    #expect(config.vipRangeV4?.contains(manual.addresses[0]) == true)
    #expect(config.vipRangeV6?.contains(manual.addresses[1]) == true)
    let mapping = [PortMapping(servicePort: 9000, targetPort: 9001)]
    #expect(
      snapshot.endpoints[manual.name]?.value.endpoints == [
        Endpoint(addresses: [try #require(IPAddress("192.0.2.7"))], ports: mapping),
        Endpoint(
          workload: workload.name, addresses: [try #require(IPAddress("10.1.0.2"))], isReady: false, weight: 3,
          ports: mapping),
      ])
    #expect(snapshot.services[Samples.name("stock/other")]?.value.addresses == [])

    let policy = try #require(snapshot.policies[Samples.name("shop/web")]?.value)
    let own = "example.org/ns/shop/sa/a"
    #expect(policy.action == .deny)
    #expect(
      policy.rules == [
        PolicyRule(
          from: [
            SourceMatch(
              principals: [.exact(own), .suffix("/sa/b")], notPrincipals: [.prefix("example.org/ns/x/")],
              namespaces: [.exact("shop"), .prefix("st")], notNamespaces: [.suffix("-test")],
              ipBlocks: [try #require(IPPrefix("10.0.0.0/8")), try #require(IPPrefix("fd00::7"))],
              notIPBlocks: [try #require(IPPrefix("10.9.0.0/16"))]),
            SourceMatch(
              serviceAccounts: [.init(namespace: "shop", name: "own"), .init(namespace: "stock", name: "other")],
              notServiceAccounts: [.init(namespace: "shop", name: "bad")]),
          ],
          to: [OperationMatch(ports: [80, 5432], notPorts: [80])],
          whenSource: [
            SourceMatch(
              ipBlocks: [try #require(IPPrefix("10.0.0.0/8"))], notIPBlocks: [try #require(IPPrefix("10.7.0.1"))]),
            SourceMatch(notNamespaces: [.prefix("kube-")]),
            SourceMatch(principals: [.present]),
          ],
          whenOperation: [OperationMatch(ports: [5432], notPorts: [22])])
      ])
  }

  @Test("The same objects in any order of documents and files give the same snapshot")
  func order() {
    var seed = SplitMix64(seed: 7)
    var reference = Compiler()
    reference.update(file: "a.yaml", bytes: Samples.stream(Samples.all))
    let expected = reference.compile(now: 5).snapshot.versions
    for _ in 0..<30 {
      let shuffled = Samples.all.shuffled(using: &seed)
      let cut = Int.random(in: 0...shuffled.count, using: &seed)
      var compiler = Compiler()
      compiler.update(file: "x.yaml", bytes: Samples.stream(Array(shuffled[..<cut])))
      compiler.update(file: "b.yaml", bytes: Samples.stream(Array(shuffled[cut...])))
      #expect(compiler.compile(now: 5).snapshot.versions == expected)
    }
  }

  @Test("Compiling again without a change changes nothing")
  func idempotent() {
    var compiler = Compiler()
    compiler.update(file: "a.yaml", bytes: Samples.stream(Samples.all))
    let first = compiler.compile(now: 0)
    compiler.update(file: "a.yaml", bytes: Samples.stream(["# moved", ""] + Samples.all))
    let second = compiler.compile(now: 100_000_000)
    #expect(second.changes(from: first.snapshot).isEmpty)
    #expect(second.problems == first.problems)
  }

  @Test("Defaults: trust domain, service account, addresses, weight, policies of the namespace")
  func defaults() throws {
    let result = Samples.compile(
      """
      apiVersion: martlet.dev/v1alpha1
      kind: Workload
      metadata: {name: w}
      spec: {node: one, networkNamespace: /run/netns/w}
      """,
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: nobody}
      """)
    let workload = try #require(result.snapshot.workloads[Samples.name("default/w")]?.value)
    #expect(workload.identity.description == "spiffe://cluster.local/ns/default/sa/default")
    #expect(workload.failureMode == .closed)
    #expect(workload.app == "w")
    #expect(workload.policies == [Samples.name("default/nobody")])
    #expect(result.snapshot.config?.value.vipRangeV4 == IPPrefix("240.240.0.0/16"))
    #expect(result.snapshot.config?.value.connectTimeoutMilliseconds == 10_000)
    #expect(result.problems.map(\.severity) == [.warning])
    #expect(result.problems.first?.message.contains("allows nothing") == true)
    #expect(result.summary.selected == [Samples.name("default/nobody"): 1])
  }

  @Test("a workload that resolves names says so, and whom to ask")
  func names() throws {
    let name = Samples.name("shop/web-1")
    let plain = try #require(Samples.compile(Samples.workload).snapshot.workloads[name]?.value)
    #expect(!plain.resolvesNames && plain.nameServers.isEmpty)
    let asking = Samples.workload.replacing(
      "weight: 3", with: "dns: true\n  nameServers: [10.0.0.53, 127.0.0.11, \"fd00::53\"]")
    let result = Samples.compile(asking)
    let workload = try #require(result.snapshot.workloads[name]?.value, "\(result.problems)")
    #expect(workload.resolvesNames)
    #expect(workload.nameServers.map(\.description) == ["10.0.0.53", "127.0.0.11", "fd00::53"])
  }

  @Test("an address is one workload's in its network and on its node; in other networks others may have it")
  func networks() throws {
    func workload(_ name: String, node: String, network: String? = nil) -> String {
      """
      apiVersion: martlet.dev/v1alpha1
      kind: Workload
      metadata: {name: \(name)}
      spec:
        node: \(node)
        addresses: [10.1.0.2]
        networkNamespace: /run/netns/\(name)
      """ + (network.map { "\n  network: \($0)" } ?? "")
    }
    func addresses(_ workloads: String...) -> [String: Int] {
      let result = Samples.compile(workloads.joined(separator: "\n---\n"))
      return Dictionary(
        uniqueKeysWithValues: result.snapshot.workloads.map { ($0.key.name, $0.value.value.addresses.count) })
    }
    let plain = Samples.compile(workload("a", node: "one"), workload("b", node: "two", network: "blue"))
    #expect(plain.problems.isEmpty)
    #expect(plain.snapshot.workloads[Samples.name("default/a")]?.value.network == "one")
    #expect(plain.snapshot.workloads[Samples.name("default/b")]?.value.network == "blue")
    #expect(addresses(workload("a", node: "one"), workload("b", node: "two")) == ["a": 1, "b": 1])
    #expect(
      addresses(workload("a", node: "one", network: "blue"), workload("b", node: "two", network: "blue"))
        == ["a": 0, "b": 0])
    #expect(addresses(workload("a", node: "one"), workload("b", node: "two", network: "one")) == ["a": 0, "b": 0])
    // The kernel of a node has one row for an address.
    #expect(
      addresses(workload("a", node: "one", network: "red"), workload("b", node: "one", network: "blue"))
        == ["a": 0, "b": 0])
    let problems = Samples.compile(
      workload("a", node: "one", network: "blue"), workload("b", node: "two", network: "blue")
    ).problems
    #expect(problems.count == 2 && problems.allSatisfy { $0.message.contains("in network blue") })
  }

  @Test("A List is its items, and a JSON file is YAML")
  func list() {
    let result = Samples.compile(
      """
      {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
      \t"items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
      \t\t{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}]}
      """)
    #expect(result.problems.map(\.description) == [])
    #expect(result.resources == [.namespace: 1, .service: 1])
  }

  @Test("A reference that does not resolve degrades what holds it and nothing else")
  func references() {
    let result = Samples.compile(Samples.route, Samples.service, Samples.slice)
    let port = result.snapshot.services[Samples.name("shop/web")]?.value.ports.last
    #expect(port?.backends.map(\.isValid) == [true, false])
    #expect(
      result.problems.map(\.description) == [
        "a.yaml:10:11: error: TCPRoute shop/split: spec.rules[0].backendRefs[1]: "
          + "backend Service stock/other does not exist: its share of the connections is refused; "
          + "create it, or correct the name",
        "a.yaml:30:1: error: EndpointSlice shop/manual-1: Service shop/manual does not exist; "
          + "create it, or correct label kubernetes.io/service-name",
      ])
    let ungranted = Samples.compile(Samples.route, Samples.service, Samples.stock)
    #expect(
      ungranted.snapshot.services[Samples.name("shop/web")]?.value.ports.last?.backends.map(\.isValid) == [true, false])
    #expect(ungranted.problems.contains { $0.message.contains("does not grant it") })
  }

  @Test(
    "BP-13: an endpoint that is a service's address is refused with its place, and the others are kept",
    arguments: [
      ("10.96.0.1", "Service shop/web"), ("240.1.2.3", "the range of service addresses, 240.1.0.0/16"),
      ("ITSELF", "Service shop/manual"),
    ])
  func serviceAsEndpoint(address: String, owner: String) throws {
    let alone = Samples.compile(Samples.config, Samples.namespace, Samples.manual)
    let itself = try #require(alone.snapshot.services[Samples.name("shop/manual")]?.value.addresses.first)
    let text = address == "ITSELF" ? itself.description : address
    let slice = Samples.slice.replacing("192.0.2.7", with: text)
    let result = Samples.compile(
      Samples.config, Samples.namespace, Samples.workload, Samples.service, Samples.manual, slice)
    let endpoints = result.snapshot.endpoints[Samples.name("shop/manual")]?.value.endpoints
    #expect(endpoints?.map(\.workload) == [Samples.name("shop/web-1")])
    let problem = try #require(result.problems.first { $0.object == "EndpointSlice shop/manual-1" })
    #expect(problem.severity == .error)
    #expect(
      problem.description.contains("EndpointSlice shop/manual-1: endpoints[0]: address \(text) belongs to \(owner)"))
  }

  @Test(
    "ports of UDP and SCTP are left out with a warning, the same number of TCP beside them is not; a Service may have none left"
  )
  func otherProtocols() {
    let both = Samples.service.replacing(
      "ports:\n",
      with: "ports:\n    - {name: datagrams, port: 80, protocol: UDP}\n    - {name: s, port: 9, protocol: SCTP}\n")
    let result = Samples.compile(both)
    let plain = Samples.compile(Samples.service)
    let web = Samples.name("shop/web")
    #expect(result.snapshot.services[web]?.value.ports == plain.snapshot.services[web]?.value.ports)
    #expect(
      result.problems.filter { $0.message.contains("the mesh carries TCP") }.map(\.severity) == [.warning, .warning])
    let none = Samples.compile(Samples.manual.replacing("port: 9000", with: "port: 9000, protocol: UDP"))
    #expect(none.snapshot.services[Samples.name("shop/manual")]?.value.ports.isEmpty == true && none.errors.isEmpty)
  }

  @Test("a slice without endpoints is one whose endpoints come later")
  func emptySlice() throws {
    let end = try #require(Samples.slice.firstRange(of: "endpoints:")).lowerBound
    let slice = String(Samples.slice[..<end])
    let result = Samples.compile(Samples.manual, slice)
    #expect(result.errors.isEmpty)
    #expect(result.snapshot.endpoints[Samples.name("shop/manual")]?.value.endpoints.isEmpty ?? true)
  }

  @Test("Of two routes for one port the first by name holds")
  func twoRoutes() {
    let second = Samples.route.replacing("name: split", with: "name: zebra")
    let result = Samples.compile(second, Samples.route, Samples.service, Samples.stock, Samples.grant)
    #expect(
      result.snapshot.services[Samples.name("shop/web")]?.value.ports.last?.route == Samples.name("shop/split"))
    #expect(result.problems.map(\.object) == ["TCPRoute shop/zebra"])
    let accepted = result.routes.map { $0.parents[0].conditions[0] }
    #expect(accepted.map(\.isTrue) == [true, true])
    #expect(accepted.map { $0.message.contains("routed by TCPRoute shop/split already") } == [false, true])
  }

  @Test("An address that two workloads of a node claim belongs to neither, and both are named")
  func duplicateAddress() {
    let second = Samples.workload.replacing("name: web-1", with: "name: web-2")
    let result = Samples.compile(Samples.workload, second)
    for name in ["shop/web-1", "shop/web-2"] {
      #expect(result.snapshot.workloads[Samples.name(name)]?.value.addresses == [])
    }
    #expect(result.problems.count == 4)
    #expect(result.problems.contains { $0.object == "Workload shop/web-1" && $0.message.contains("shop/web-2") })
    #expect(result.problems.contains { $0.object == "Workload shop/web-2" && $0.message.contains("shop/web-1") })
    let elsewhere = second.replacing("node: one", with: "node: two")
    #expect(Samples.compile(Samples.workload, elsewhere).problems == [])
  }

  @Test("Two services with one clusterIP: the first by name has it")
  func duplicateClusterIP() {
    let second = Samples.service.replacing("name: web, namespace", with: "name: zebra, namespace")
    let result = Samples.compile(second, Samples.service, Samples.workload)
    #expect(result.snapshot.services[Samples.name("shop/web")]?.value.addresses.count == 1)
    #expect(result.snapshot.services[Samples.name("shop/zebra")]?.value.addresses == [])
    #expect(result.problems.map(\.object) == ["Service shop/zebra"])
  }

  @Test("A named target port that a workload lacks leaves that port out, and says so")
  func namedPort() {
    let bare = Samples.workload.replacing("- {name: http, port: 8080}", with: "- {name: web, port: 8080}")
    let result = Samples.compile(bare, Samples.service)
    #expect(
      result.snapshot.endpoints[Samples.name("shop/web")]?.value.endpoints.first?.ports
        == [PortMapping(servicePort: 5432, targetPort: 5432)])
    #expect(result.problems.first?.position.path == "spec.ports[0]")
  }

  @Test("10,000 workloads in 1,000 services compile within seconds even without optimisation")
  func scale() {
    var compiler = Compiler()
    var text = ""
    for service in 0..<100 {
      for workload in 0..<10 {
        text += """
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: w-\(service)-\(workload), namespace: n, labels: {app: s\(service)}}
          spec: {node: one, networkNamespace: /run/netns/w-\(service)-\(workload)}

          """
      }
      text += """
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: s\(service), namespace: n}
        spec: {selector: {app: s\(service)}, ports: [{port: 80}]}

        """
    }
    for file in 0..<10 {
      compiler.update(
        file: "\(file).yaml", bytes: Array(text.replacing("namespace: n", with: "namespace: n\(file)").utf8))
    }
    let clock = ContinuousClock()
    var result = compiler.compile(now: 0)
    let time = clock.measure { result = compiler.compile(now: 0) }
    #expect(result.problems == [])
    #expect(result.snapshot.count == 12_001)
    #expect(time < .seconds(20))
  }
}
