import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("PeerAuthentication")
struct PeerAuthenticationTests {
  private static func workload(_ name: String, in namespace: String = "shop", app: String = "web") -> String {
    """
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata: {name: \(name), namespace: \(namespace), labels: {app: \(app)}}
    spec: {node: one, serviceAccount: \(app), addresses: [10.1.0.\(name.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) % 200 } + 2)]}
    """
  }

  private static func peer(_ name: String, in namespace: String = "shop", created: String? = nil, _ spec: String)
    -> String
  {
    """
    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata: {name: \(name), namespace: \(namespace)\(created.map { ", creationTimestamp: \"\($0)\"" } ?? "")}
    spec: \(spec)
    """
  }

  private func compile(_ documents: String...) -> CompileResult {
    var compiler = Compiler()
    compiler.update(file: "mesh.yaml", bytes: Array(documents.joined(separator: "\n---\n").utf8))
    return compiler.compile(now: 0)
  }

  private func verdict(
    _ result: CompileResult, _ workload: String, port: UInt16, identity: SPIFFEID? = nil
  ) throws -> PolicyVerdict {
    let entry = try #require(result.snapshot.workloads[Samples.name(workload)]?.value)
    let policies = entry.policies.compactMap { result.snapshot.policies[$0] }
    #expect(policies.count == entry.policies.count)
    let address = try #require(IPAddress("192.0.2.1"))
    return evaluate(policies: policies, source: PolicySource(identity: identity, address: address), port: port)
  }

  private func modes(_ result: CompileResult, _ workload: String) -> PeerModes? {
    result.snapshot.workloads[Samples.name(workload)]?.value.peerModes
  }

  @Test("Without one everything is permissive, and no policy stands for it")
  func nothing() throws {
    let result = self.compile(Self.workload("a"))
    #expect(self.modes(result, "shop/a") == .permissive)
    #expect(result.snapshot.policies.isEmpty)
  }

  @Test("STRICT refuses whoever has no identity, by a policy that bears its name, and nobody else")
  func strict() throws {
    let result = self.compile(Self.workload("a"), Self.peer("default", "{mtls: {mode: STRICT}}"))
    #expect(result.problems.isEmpty)
    let refused = try self.verdict(result, "shop/a", port: 80)
    #expect(refused.reason == .policyDenied)
    #expect(refused.policy?.name == Samples.name("shop/peerauthentication.default"))
    let caller = SPIFFEID("spiffe://cluster.local/ns/other/sa/x")
    #expect(try self.verdict(result, "shop/a", port: 80, identity: caller).isAllowed)
    #expect(self.modes(result, "shop/a") == PeerModes(mode: .strict))
  }

  @Test("The narrower goes before the wider: workload, namespace, mesh; UNSET is what the next wider one says")
  func precedence() throws {
    let mesh = Self.peer("default", in: "istio-system", "{mtls: {mode: STRICT}}")
    let workloads = [
      Self.workload("a"), Self.workload("b", app: "db"), Self.workload("c", in: "plain"),
      Self.workload("d", in: "none"),
    ]
    let result = self.compile(
      workloads.joined(separator: "\n---\n"), mesh, Self.peer("default", "{mtls: {mode: PERMISSIVE}}"),
      Self.peer("db", "{selector: {matchLabels: {app: db}}, mtls: {mode: DISABLE}}"),
      Self.peer("default", in: "plain", "{mtls: {mode: UNSET}}"))
    #expect(result.problems.isEmpty)
    #expect(self.modes(result, "shop/a")?.mode == .permissive)
    #expect(self.modes(result, "shop/b")?.mode == .disable)
    #expect(self.modes(result, "plain/c")?.mode == .strict)
    #expect(self.modes(result, "none/d")?.mode == .strict)
    #expect(try self.verdict(result, "shop/a", port: 1).isAllowed)
    #expect(try self.verdict(result, "shop/b", port: 1).isAllowed)
    #expect(
      try self.verdict(result, "plain/c", port: 1).policy?.name
        == Samples.name("istio-system/peerauthentication.default"))
  }

  @Test("Ports that differ: some open in a strict workload, some strict in an open one")
  func ports() throws {
    let result = self.compile(
      Self.workload("a"), Self.workload("b", app: "db"),
      Self.peer(
        "web",
        "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}, \"9090\": {mode: DISABLE}}}"
      ),
      Self.peer("db", "{selector: {matchLabels: {app: db}}, portLevelMtls: {5432: {mode: STRICT}, 1: {mode: UNSET}}}"))
    #expect(result.problems.isEmpty)
    #expect(try !self.verdict(result, "shop/a", port: 80).isAllowed)
    #expect(try self.verdict(result, "shop/a", port: 8080).isAllowed)
    #expect(try self.verdict(result, "shop/a", port: 9090).isAllowed)
    #expect(self.modes(result, "shop/a")?.mode(at: 9090) == .disable)
    #expect(try self.verdict(result, "shop/b", port: 80).isAllowed)
    let refused = try self.verdict(result, "shop/b", port: 5432)
    #expect(!refused.isAllowed)
    #expect(refused.policy?.name == Samples.name("shop/peerauthentication.db"))
    #expect(self.modes(result, "shop/b") == PeerModes(mode: .permissive, ports: [5432: .strict]))
  }

  @Test("Of two for the same the older holds, and the younger is told of")
  func rivals() throws {
    let result = self.compile(
      Self.workload("a"), Self.workload("b", app: "db"),
      Self.peer("a-young", created: "2026-02-01T00:00:00Z", "{mtls: {mode: PERMISSIVE}}"),
      Self.peer("b-old", created: "2026-01-01T00:00:00Z", "{mtls: {mode: STRICT}}"),
      Self.peer("db1", "{selector: {matchLabels: {app: db}}, mtls: {mode: PERMISSIVE}}"),
      Self.peer("db2", "{selector: {matchLabels: {app: db}}, mtls: {mode: STRICT}}"))
    #expect(self.modes(result, "shop/a")?.mode == .strict)
    #expect(self.modes(result, "shop/b")?.mode == .permissive)
    #expect(
      result.problems.map(\.object).sorted() == ["PeerAuthentication shop/a-young", "PeerAuthentication shop/db2"])
    #expect(result.problems.map(\.severity) == [.warning, .warning])
  }

  @Test("What cannot be read refuses plaintext to those whom it selects, while no earlier version is known")
  func broken() throws {
    let result = self.compile(
      Self.workload("a"), Self.workload("b", app: "db"),
      Self.peer("db", "{selector: {matchLabels: {app: db}}, mtls: {mode: STRIKT}}"))
    #expect(result.problems.contains { $0.message.contains("\"STRIKT\" is no mode") })
    #expect(
      result.problems.contains { $0.message.contains("plaintext from outside to workloads with app=db is refused") })
    #expect(try !self.verdict(result, "shop/b", port: 1).isAllowed)
    #expect(try self.verdict(result, "shop/a", port: 1).isAllowed)
    let caller = SPIFFEID("spiffe://cluster.local/ns/other/sa/x")
    #expect(try self.verdict(result, "shop/b", port: 1, identity: caller).isAllowed)
  }

  @Test(
    "What it may not say is told with its place",
    arguments: [
      ("{mtls: {mode: strict}}", "spec.mtls.mode"),
      ("{mtls: {}, portLevelMtls: {80: {mode: STRICT}}}", "spec.portLevelMtls"),
      ("{selector: {matchLabels: {app: web}}, portLevelMtls: {http: {mode: STRICT}}}", "spec.portLevelMtls[http]"),
      ("{selector: {matchLabels: {app: web}}, portLevelMtls: {70000: {mode: STRICT}}}", "spec.portLevelMtls[70000]"),
      ("{mtls: {mode: STRICT, x: 1}}", "spec.mtls.x"), ("{targetRef: {}}", "spec.targetRef"),
    ])
  func refused(_ spec: String, _ path: String) throws {
    let result = self.compile(Self.workload("a"), Self.peer("web", spec))
    #expect(result.problems.contains { $0.severity == .error && $0.position.path == path })
  }

  @Test("No AuthorizationPolicy may take the name of what a PeerAuthentication becomes")
  func reserved() throws {
    let result = self.compile(
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: peerauthentication.default, namespace: shop}
      spec: {rules: [{}]}
      """)
    #expect(result.problems.contains { $0.severity == .error && $0.message.contains("PeerAuthentications become") })
  }
}
