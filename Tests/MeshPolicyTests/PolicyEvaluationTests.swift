import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@Suite("Policy evaluation")
struct PolicyEvaluationTests {
  let web: PolicySource
  let outside: PolicySource

  init() throws {
    let identity = SPIFFEID(trustDomain: "mesh.local", namespace: "shop", serviceAccount: "web")
    self.web = PolicySource(
      identity: identity,
      address: try #require(IPAddress("10.1.2.3")))
    self.outside = PolicySource(identity: nil, address: try #require(IPAddress("192.168.1.1")))
  }

  func policy(_ name: String, _ action: PolicyEntry.Action, _ rules: [PolicyRule]) throws -> Versioned<PolicyEntry> {
    Versioned(
      PolicyEntry(name: try #require(ResourceName(namespace: "shop", name: name)), action: action, rules: rules),
      version: ContentVersion(of: name.utf8))
  }

  @Test("Without policies everything is allowed and nobody is named")
  func none() {
    #expect(evaluate(policies: [], source: self.web, port: 80) == .allowed)
  }

  @Test("A DENY rule wins over an ALLOW rule, and the first policy by name is the one that is named")
  func denyFirst() throws {
    let allow = try self.policy("a", .allow, [PolicyRule()])
    let denyB = try self.policy("b", .deny, [PolicyRule(to: [OperationMatch(ports: [81])]), PolicyRule()])
    let denyC = try self.policy("c", .deny, [PolicyRule()])
    let verdict = evaluate(policies: [denyC, allow, denyB], source: self.web, port: 80)
    #expect(verdict == .denied(by: PolicyReference(denyB), rule: 1))
    #expect(verdict.reason == .policyDenied)
  }

  @Test("ALLOW policies of which none matches do not allow; an ALLOW without rules allows nobody")
  func notAllowed() throws {
    let empty = try self.policy("a", .allow, [])
    #expect(
      evaluate(policies: [empty], source: self.web, port: 80) == .notAllowed(first: PolicyReference(empty)))
    let other = try self.policy("b", .allow, [PolicyRule(from: [SourceMatch(namespaces: [.exact("shop")])])])
    #expect(
      evaluate(policies: [empty, other], source: self.web, port: 80)
        == .allowed(by: PolicyReference(other), rule: 0))
    #expect(
      evaluate(policies: [empty, other], source: self.outside, port: 80)
        == .notAllowed(first: PolicyReference(empty)))
  }

  @Test("A DENY without rules denies nobody")
  func emptyDeny() throws {
    #expect(evaluate(policies: [try self.policy("a", .deny, [])], source: self.web, port: 80) == .allowed)
  }

  @Test("Principals are compared without the scheme, with the trust domain, with wildcards at either end")
  func principals() {
    func matches(_ match: StringMatch) -> Bool { SourceMatch(principals: [match]).matches(self.web) }
    #expect(matches(.exact("mesh.local/ns/shop/sa/web")))
    #expect(!matches(.exact("spiffe://mesh.local/ns/shop/sa/web")))
    #expect(!matches(.exact("cluster.local/ns/shop/sa/web")))
    #expect(matches(.prefix("mesh.local/ns/shop/")))
    #expect(!matches(.prefix("mesh.local/ns/sho/")))
    #expect(matches(.suffix("/sa/web")))
    #expect(!matches(.suffix("/sa/we")))
    #expect(matches(.present))
  }

  @Test("Without identity no principal, namespace or account matches, and each of the not fields holds")
  func withoutIdentity() {
    #expect(!SourceMatch(principals: [.present]).matches(self.outside))
    #expect(!SourceMatch(namespaces: [.present]).matches(self.outside))
    #expect(
      !SourceMatch(serviceAccounts: [ServiceAccountMatch(namespace: "shop", name: "web")]).matches(self.outside))
    #expect(SourceMatch(notPrincipals: [.present]).matches(self.outside))
    #expect(SourceMatch(notNamespaces: [.present]).matches(self.outside))
    #expect(
      SourceMatch(notServiceAccounts: [ServiceAccountMatch(namespace: "shop", name: "web")]).matches(self.outside))
  }

  @Test("All fields of a source have to hold, one value of a field suffices")
  func fields() throws {
    let block = try #require(IPPrefix("10.1.0.0/16"))
    let hole = try #require(IPPrefix("10.1.2.0/24"))
    let match = SourceMatch(namespaces: [.exact("x"), .exact("shop")], ipBlocks: [block])
    #expect(match.matches(self.web))
    #expect(!SourceMatch(namespaces: [.exact("shop")], ipBlocks: [block], notIPBlocks: [hole]).matches(self.web))
    #expect(!match.matches(PolicySource(identity: self.web.identity, address: self.outside.address)))
    #expect(!SourceMatch(ipBlocks: [try #require(IPPrefix("::/0"))]).matches(self.web))
  }

  @Test("Conditions all have to hold, sources and operations need one each, and notPorts holds without ports")
  func rules() throws {
    let rule = PolicyRule(
      from: [SourceMatch(namespaces: [.exact("x")]), SourceMatch(namespaces: [.exact("shop")])],
      to: [OperationMatch(ports: [80]), OperationMatch(notPorts: [80, 81])],
      whenSource: [SourceMatch(principals: [.suffix("web")]), SourceMatch(notNamespaces: [.exact("x")])],
      whenOperation: [OperationMatch(notPorts: [443])])
    let policy = try self.policy("p", .deny, [rule])
    func isDenied(_ port: UInt16) -> Bool { !evaluate(policies: [policy], source: self.web, port: port).isAllowed }
    #expect(isDenied(80))
    #expect(!isDenied(81))
    #expect(isDenied(82))
    #expect(!isDenied(443))
  }

  @Test("Reasons have the words that are printed, and parse back")
  func reasons() {
    #expect(Reason.allCases.map(\.rawValue) == Array(0...17))
    for reason in Reason.allCases { #expect(Reason(word: reason.word) == reason) }
    #expect(Reason.policyDenied.word == "policy_denied")
    #expect(Reason(word: "nonsense") == nil)
  }

  @Test("A policy reference prints and parses back")
  func reference() throws {
    let reference = PolicyReference(try self.policy("p", .deny, []))
    #expect(PolicyReference(reference.description) == reference)
    #expect(PolicyReference("shop/p@12") == nil)
    #expect(PolicyReference("shop/p") == nil)
  }
}
