import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

/// One row for each field and way to get it wrong: what is replaced in a right document, and the problem that follows.
@Suite("Each field refuses what it cannot mean")
struct FieldTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var base: String
    var old: String
    var new: String
    var path: String
    var message: String
    var testDescription: String { "\(self.path): \(self.message)" }

    init(_ base: String, _ old: String, _ new: String, _ path: String, _ message: String) {
      self.base = base
      self.old = old
      self.new = new
      self.path = path
      self.message = message
    }
  }

  static let metadata: [Row] = [
    Row(Samples.service, "name: web, n", "name: Web, n", "metadata.name", "no name"),
    Row(Samples.service, "name: web, n", "nam: web, n", "metadata", "name is missing"),
    Row(Samples.service, "namespace: shop", "namespace: -a", "metadata.namespace", "no namespace"),
    Row(Samples.service, "namespace: shop", "generateName: a", "metadata.generateName", "fixed name"),
    Row(Samples.namespace, "name: shop", "name: a.b", "metadata.name", "no name"),
    Row(Samples.namespace, "name: shop", "name: shop\n  namespace: a", "metadata.namespace", "has no namespace"),
    Row(Samples.namespace, "{team: a}", "{team: 1}", "metadata.labels[team]", "the number 1"),
    Row(Samples.namespace, "spec: {finalizers", "spec: {finalisers", "spec.finalisers", "unknown field"),
    Row(Samples.namespace, "kind: Namespace", "kind: namespace", "kind", "unknown kind"),
    Row(Samples.config, "name: mesh", "name: other", "", "its name is mesh"),
    Row(Samples.config, "example.org", "Example.org", "spec.trustDomain", "no trust domain"),
    Row(Samples.config, "rootNamespace: mesh-root", "rootNamespace: a.b", "spec.rootNamespace", "no namespace"),
    Row(Samples.config, "240.1.0.0/16", "240.1.0.0/33", "spec.vipRanges[0]", "no range"),
    Row(Samples.config, "240.1.0.0/16", "240.1.0.0/25", "spec.vipRanges[0]", "fewer than 256"),
    Row(Samples.config, "240.1.0.0/16", "127.0.0.0/8", "spec.vipRanges[0]", "cannot hold"),
    Row(Samples.config, "\"fd00:1::/64\"", "10.0.0.0/16", "spec.vipRanges[1]", "second IPv4"),
    Row(Samples.config, "[240.1.0.0/16, \"fd00:1::/64\"]", "[]", "spec.vipRanges", "an empty list"),
    Row(Samples.config, "1m30s500ms", "10", "spec.connectTimeout", "the number 10"),
    Row(Samples.config, "1m30s500ms", "-1s", "spec.connectTimeout", "no duration"),
    Row(Samples.config, "1m30s500ms", "1.5s", "spec.connectTimeout", "no duration"),
    Row(Samples.config, "1m30s500ms", "2h", "spec.connectTimeout", "no duration"),
    Row(Samples.config, "connectTimeout", "connecttimeout", "spec.connecttimeout", "unknown field"),
  ]

  static let workload: [Row] = [
    Row(Samples.workload, "  node: one\n", "", "spec", "node is missing"),
    Row(Samples.workload, "node: one", "node: \"one two\"", "spec.node", "no name of a node"),
    Row(Samples.workload, "serviceAccount: web", "serviceAccount: a/b", "spec.serviceAccount", "no name"),
    Row(Samples.workload, "/run/netns/web", "netns/web", "spec.networkNamespace", "no absolute path"),
    Row(Samples.workload, "/run/netns/web", "/run/../web", "spec.networkNamespace", "no absolute path"),
    Row(Samples.workload, "10.1.0.2", "10.1.0.300", "spec.addresses[0]", "no IP address"),
    Row(Samples.workload, "10.1.0.2", "127.0.0.1", "spec.addresses[0]", "cannot be called"),
    Row(Samples.workload, "10.1.0.2", "\"fd00::2\"", "spec.addresses[1]", "stands twice"),
    Row(Samples.workload, "weight: 3", "weight: -3", "spec.weight", "the number -3"),
    Row(Samples.workload, "weight: 3", "weight: 18446744073709551616", "spec.weight", "the number 1844"),
    Row(Samples.workload, "weight: 3", "weight: 0x3", "spec.weight", "the number 0x3"),
    Row(Samples.workload, "weight: 3", "weight: 3.0", "spec.weight", "the number 3.0"),
    Row(Samples.workload, "weight: 3", "weight: .nan", "spec.weight", "the number .nan"),
    Row(Samples.workload, "weight: 3", "weight: \"3\"", "spec.weight", "the text \"3\""),
    Row(Samples.workload, "weight: 3", "weight: 65536", "spec.weight", "from 0 to 65535"),
    Row(Samples.workload, "failureMode: Open", "failureMode: open", "spec.failureMode", "no failure mode"),
    Row(Samples.workload, "{name: http, port", "{name: HTTP, port", "spec.ports[0].name", "no name of a port"),
    Row(Samples.workload, "port: 8080", "port: 15001", "spec.ports[0].port", "belongs to the mesh"),
    Row(Samples.workload, "port: 8080", "port: 0", "spec.ports[0].port", "from 1 to 65535"),
    Row(Samples.workload, "weight: 3", "exclude: {ports: [1]}", "spec.exclude", "not supported"),
    Row(Samples.workload, "weight: 3", "network: a_b", "spec.network", "no name of a network"),
    Row(Samples.workload, "weight: 3", "network: [a]", "spec.network", "text"),
    Row(Samples.workload, "weight: 3", "systemdUnit: a", "spec.systemdUnit", "no name of a unit"),
    Row(Samples.workload, "weight: 3", "systemdUnit: ../a.service", "spec.systemdUnit", "no name of a unit"),
    Row(Samples.workload, "weight: 3", "systemdUnit: a@.service", "spec.systemdUnit", "no name of a unit"),
    Row(Samples.workload, "weight: 3", "systemdUnit: a.service", "spec.systemdUnit", "in one way"),
    Row(Samples.workload, "weight: 3", "cgroup: a/b", "spec.cgroup", "no absolute path"),
    Row(Samples.workload, "weight: 3", "cgroup: /a/../b", "spec.cgroup", "no absolute path"),
    Row(Samples.workload, "weight: 3", "container: a", "spec.container", "the text"),
    Row(Samples.workload, "weight: 3", "container: {name: web}", "spec.container", "in one way"),
    Row(Samples.workload, "weight: 3", "container: {name: a/b}", "spec.container.name", "no container's name"),
    Row(Samples.workload, "weight: 3", "container: {id: abc}", "spec.container.id", "no container's id"),
    Row(Samples.workload, "weight: 3", "container: {labels: {}}", "spec.container.labels", "no labels"),
    Row(Samples.workload, "weight: 3", "container: {labels: {a: true}}", "spec.container.labels[a]", "the boolean"),
    Row(Samples.workload, "weight: 3", "container: {image: a}", "spec.container.image", "unknown field"),
    Row(Samples.workload, "weight: 3", "container: {name: a, id: 0123456789ab}", "spec.container", "in one way"),
    Row(Samples.workload, "weight: 3", "locality: /a", "spec.locality", "no place"),
    Row(Samples.workload, "weight: 3", "labels: {a: b}", "spec.labels", "metadata.labels"),
    Row(Samples.workload, "weight: 3", "dns: \"true\"", "spec.dns", "the text"),
    Row(Samples.workload, "weight: 3", "nameServers: [10.0.0.53]", "spec.nameServers", "without dns: true"),
    Row(
      Samples.workload, "weight: 3", "dns: false\n  nameServers: [10.0.0.53]", "spec.nameServers", "without dns: true"),
    Row(Samples.workload, "weight: 3", "dns: true\n  nameServers: [ns.a]", "spec.nameServers[0]", "no IP address"),
    Row(
      Samples.workload, "weight: 3", "dns: true\n  nameServers: [\"fe80::1\"]", "spec.nameServers[0]", "no address of"),
    Row(
      Samples.workload, "weight: 3", "dns: true\n  nameServers: [1.1.1.1, 1.1.1.1]", "spec.nameServers[1]",
      "stands twice"),
    Row(
      Samples.workload, "weight: 3", "dns: true\n  nameServers: [1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4]",
      "spec.nameServers", "too many"),
    Row(
      Samples.workload, "networkNamespace: /run/netns/web", "systemdUnit: web.service\n  dns: true", "spec.dns",
      "as the host does"),
    Row(Samples.workload, "networkNamespace: /run/netns/web", "dns: true", "spec.dns", "no network namespace"),
    Row(Samples.workload, "weight: 3", "wieght: 3", "spec.wieght", "unknown field"),
    Row(
      Samples.workload, "  networkNamespace: /run/netns/web\n  addresses: [10.1.0.2, \"fd00::2\"]\n", "", "spec",
      "how the node finds"),
  ]

  static let service: [Row] = [
    Row(Samples.service, "type: ClusterIP", "type: ExternalName", "spec.type", "not supported"),
    Row(Samples.service, "type: ClusterIP", "type: NodePort", "spec.type", "not supported"),
    Row(Samples.service, "sessionAffinity: None", "sessionAffinity: ClientIP", "spec.sessionAffinity", "not supported"),
    Row(Samples.service, "Policy: Cluster", "Policy: Local", "spec.internalTrafficPolicy", "not supported"),
    Row(Samples.service, "10.96.0.1", "10.96.0", "spec.clusterIP", "no IP address"),
    Row(Samples.service, "10.96.0.1", "10.96.0.1\n  clusterIPs: [10.96.0.2]", "spec.clusterIP", "differs"),
    Row(
      Samples.service, "clusterIP: 10.96.0.1", "clusterIPs: [10.96.0.1, 10.96.0.2]", "spec.clusterIPs[1]",
      "second address of one family"),
    Row(Samples.service, "{app: web}", "{}", "spec.selector", "empty selector"),
    Row(Samples.service, "{app: web}", "{app: true}", "spec.selector[app]", "the boolean"),
    Row(Samples.service, "type: ClusterIP", "externalIPs: [1.2.3.4]", "spec.externalIPs", "not supported"),
    Row(Samples.service, "type: ClusterIP", "ipFamilies: [IPv5]", "spec.ipFamilies[0]", "no address family"),
    Row(
      Samples.service, "type: ClusterIP", "publishNotReadyAddresses: true", "spec.publishNotReadyAddresses",
      "not supported"),
    Row(
      Samples.service, "type: ClusterIP", "publishNotReadyAddresses: yes", "spec.publishNotReadyAddresses",
      "true or false"),
    Row(Samples.service, "targetPort: http", "targetPort: 70000", "spec.ports[0].targetPort", "no port"),
    Row(Samples.service, "targetPort: http", "targetPort: -1", "spec.ports[0].targetPort", "no port"),
    Row(Samples.service, "targetPort: http", "targetPort: \"80\"", "spec.ports[0].targetPort", "no name of a port"),
    Row(Samples.service, "targetPort: http", "targetPort: 15008", "spec.ports[0].targetPort", "belongs to the mesh"),
    Row(Samples.service, "port: 5432", "port: 15008", "spec.ports[1]", "belongs to the mesh"),
    Row(Samples.service, "port: 5432", "port: 80", "spec.ports[1]", "port 80 stands twice"),
    Row(Samples.service, "name: db", "name: http", "spec.ports[1]", "name http stands twice"),
    Row(Samples.service, "{name: db, ", "{", "spec.ports[1]", "without a name"),
    Row(Samples.service, "protocol: TCP", "protocol: ICMP", "spec.ports[0].protocol", "no protocol"),
    Row(Samples.service, "kubernetes.io/h2c", "htpp", "spec.ports[0].appProtocol", "unknown protocol"),
    Row(Samples.service, "protocol: TCP", "nodePort: 30000", "spec.ports[0].nodePort", "not supported"),
    Row(Samples.manual, "spec:\n  ports: [{port: 9000}]", "spec: {}", "spec", "ports is missing"),
    Row(Samples.slice, "{kubernetes.io/service-name: manual}", "{a: b}", "", "is missing"),
    Row(Samples.slice, "addressType: IPv4", "addressType: FQDN", "addressType", "not supported"),
    Row(Samples.slice, "addressType: IPv4", "addressType: IPv6", "endpoints[0].addresses", "another family"),
    Row(Samples.slice, "port: 9001", "port: 15021", "ports[0].port", "belongs to the mesh"),
    Row(Samples.slice, "protocol: TCP", "protocol: tcp", "ports[0].protocol", "no protocol"),
    Row(Samples.slice, "ready: true", "ready: on", "endpoints[1].conditions.ready", "true or false"),
    Row(Samples.slice, "kind: Workload", "kind: Pod", "endpoints[1].targetRef.kind", "nothing that the mesh knows"),
    Row(Samples.slice, "nodeName: one", "nodename: one", "endpoints[1].nodename", "unknown field"),
    Row(Samples.slice, "- addresses: [192.0.2.7]", "- hostname: a", "endpoints[0]", "addresses is missing"),
  ]

  static let route: [Row] = [
    Row(Samples.route, "v1alpha2", "v1beta1", "kind", "no apiVersion"),
    Row(Samples.route, "{group: \"\", kind: Service, name: web", "{name: web", "spec.parentRefs[0]", "no gateways"),
    Row(
      Samples.route, "name: web, port: 5432}", "namespace: b, name: web}", "spec.parentRefs[0]", "consumer"),
    Row(Samples.route, "port: 5432}\n", "port: 5432, sectionName: A}\n", "spec.parentRefs[0].sectionName", "no name"),
    Row(
      Samples.route, "port: 5432}\n", "port: 5432}\n    - {group: \"\", kind: Service, name: web}\n",
      "spec.parentRefs[1]", "stands twice, with port"),
    Row(Samples.route, "port: 7000", "prot: 7000", "spec.rules[0].backendRefs[1]", "port is missing"),
    Row(Samples.route, "weight: 9", "weight: 1000001", "spec.rules[0].backendRefs[0].weight", "to 1000000"),
    Row(
      Samples.route, "name: other, namespace: stock, port: 7000", "name: web, port: 5432",
      "spec.rules[0].backendRefs[1]", "stands twice"),
    Row(
      Samples.route, "{name: web, port: 5432, w", "{kind: Pod, name: web, port: 5432, w",
      "spec.rules[0].backendRefs[0].kind", "cannot be a backend"),
    Row(Samples.route, "  rules:", "  hostnames: [a]\n  rules:", "spec.hostnames", "no host name"),
    Row(
      Samples.route, "  rules:\n", "  rules:\n    - {backendRefs: [{name: a, port: 1}]}\n", "spec.rules[1]",
      "never match"),
    Row(Samples.grant, "namespace: shop}]", "namespace: \"*\"}]", "spec.from[0].namespace", "no namespace"),
  ]

  static let policy: [Row] = [
    Row(Samples.policy, "action: DENY", "action: AUDIT", "spec.action", "not supported"),
    Row(Samples.policy, "action: DENY", "action: CUSTOM", "spec.action", "not supported"),
    Row(Samples.policy, "action: DENY", "action: deny", "spec.action", "no action"),
    Row(Samples.policy, "action: DENY", "targetRefs: [a]", "spec.targetRefs", "not supported"),
    Row(Samples.policy, "action: DENY", "provider: {name: a}", "spec.provider", "not supported"),
    Row(Samples.policy, "{app: web}", "{app: \"*\"}", "spec.selector", "selects nothing"),
    Row(Samples.policy, "matchLabels: {", "matchExpressions: {", "spec.selector.matchExpressions", "not supported"),
    Row(
      Samples.policy, "principals: [\"c", "principals: [\"spiffe://c", "spec.rules[0].from[0].source.principals[0]",
      "without the scheme"),
    Row(Samples.policy, "\"*/sa/b\"", "\"a*b\"", "spec.rules[0].from[0].source.principals[1]", "at one end"),
    Row(Samples.policy, "\"*/sa/b\"", "\"A*\"", "spec.rules[0].from[0].source.principals[1]", "never match"),
    Row(Samples.policy, "\"*/sa/b\"", "b", "spec.rules[0].from[0].source.principals[1]", "no principal"),
    Row(Samples.policy, "[shop, \"st*\"]", "[\"\"]", "spec.rules[0].from[0].source.namespaces[0]", "never match"),
    Row(Samples.policy, "10.9.0.0/16", "10.9.0.0/64", "spec.rules[0].from[0].source.notIpBlocks[0]", "no address"),
    Row(
      Samples.policy, "stock/other", "a/b/c", "spec.rules[0].from[1].source.serviceAccounts[1]", "no service account"),
    Row(
      Samples.policy, "notServiceAccounts: [bad]", "namespaces: [a]", "spec.rules[0].from[1].source", "Istio does not"),
    Row(
      Samples.policy, "notServiceAccounts: [bad]", "remoteIpBlocks: [a]",
      "spec.rules[0].from[1].source.remoteIpBlocks", "header"),
    Row(
      Samples.policy, "notServiceAccounts: [bad]", "requestPrincipals: [a]",
      "spec.rules[0].from[1].source.requestPrincipals", "HTTP"),
    Row(
      Samples.policy, "ports: [\"80\", \"5432\"]", "ports: [80]", "spec.rules[0].to[0].operation.ports[0]", "the number"
    ),
    Row(
      Samples.policy, "ports: [\"80\", \"5432\"]", "ports: []", "spec.rules[0].to[0].operation.ports", "an empty list"),
    Row(
      Samples.policy, "ports: [\"80\", \"5432\"]", "ports: [\"080\"]", "spec.rules[0].to[0].operation.ports[0]",
      "no port"),
    Row(Samples.policy, "ports: [\"80\", \"5432\"]", "paths: [\"/a\"]", "spec.rules[0].to[0].operation.paths", "HTTP"),
    Row(Samples.policy, "ports: [\"80\", \"5432\"]", "methods: [GET]", "spec.rules[0].to[0].operation.methods", "HTTP"),
    Row(Samples.policy, "ports: [\"80\", \"5432\"]", "hosts: [a]", "spec.rules[0].to[0].operation.hosts", "HTTP"),
    Row(Samples.policy, "key: source.ip", "key: \"request.headers[a]\"", "spec.rules[0].when[0].key", "HTTP"),
    Row(Samples.policy, "key: source.ip", "key: source.ipp", "spec.rules[0].when[0].key", "not supported"),
    Row(
      Samples.policy, "key: source.principal, values: [\"*\"]", "key: source.principal", "spec.rules[0].when[2]",
      "without values"),
  ]

  /// Rules that can never match (CF-04).
  static let never: [Row] = [
    Row(
      Samples.policy, "[\"cluster.local/ns/x/*\"]", "[\"*\"]", "spec.rules[0].from[0].source",
      "excludes every principal"),
    Row(Samples.policy, "[\"*-test\"]", "[\"s*\"]", "spec.rules[0].from[0].source", "excludes every namespace"),
    Row(Samples.policy, "10.9.0.0/16", "10.0.0.0/7, \"fd00::/8\"", "spec.rules[0].from[0].source", "every block"),
    Row(Samples.policy, "[bad]", "[own, stock/other]", "spec.rules[0].from[1].source", "every service account"),
    Row(Samples.policy, "\"*/sa/b\"", "cluster.local/ns/shop/sa/c", "", ""),
    Row(
      Samples.policy,
      "/a\", \"*/sa/b\"]\n            notPrincipals: [\"cluster.local/ns/x/*\"]\n            namespaces: [shop",
      "/a\"]\n            namespaces: [shed", "spec.rules[0].from[0].source", "no principal is of"),
    Row(
      Samples.policy, "notPorts: [\"80\"]", "notPorts: [\"80\", \"5432\"]", "spec.rules[0].to[0].operation",
      "every port"),
    Row(
      Samples.policy, "values: [\"5432\"], notValues: [\"22\"]", "values: [\"81\"]", "spec.rules[0]",
      "no port satisfies"),
    Row(
      Samples.policy, "values: [\"5432\"], notValues: [\"22\"]", "values: [\"22\"], notValues: [\"22\"]",
      "spec.rules[0].when[3]", "every port"),
  ].filter { !$0.message.isEmpty }

  @Test("A wrong value is one error with its path", arguments: metadata + workload + service + route + policy + never)
  func row(_ row: Row) throws {
    try #require(row.base.contains(row.old), "the row does not apply")
    let result = Samples.compile(row.base.replacing(row.old, with: row.new))
    let problem = try #require(
      result.errors.first { $0.position.path == row.path && $0.message.contains(row.message) },
      "\(result.problems.map(\.description))")
    #expect(problem.next?.isEmpty == false)
    #expect(problem.position.line > 1 || row.path.isEmpty)
    #expect(result.resourceCount == 0)
  }

  @Test("All problems of a document are found at once, each at its place")
  func allAtOnce() {
    let bad = Samples.service.replacing("type: ClusterIP", with: "type: NodePort")
      .replacing("port: 80\n", with: "port: 0\n").replacing("name: db", with: "nmae: db").replacing(
        "app: web", with: "app: 1")
    let result = Samples.compile(bad)
    #expect(
      result.errors.map { "\($0.position.line):\($0.position.column) \($0.position.path)" } == [
        "5:9 spec.type", "10:19 spec.selector[app]", "13:13 spec.ports[0].port", "17:7 spec.ports[1]",
        "17:8 spec.ports[1].nmae",
      ])
  }

  @Test("DENY without rules is refused; ALLOW without rules, and rules without conditions, say what they mean")
  func emptyRules() {
    func policy(_ spec: String) -> CompileResult {
      Samples.compile(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: \(spec)\n")
    }
    #expect(policy("{action: DENY}").errors.last?.message == "DENY without rules can never match")
    for spec in ["{}", "{rules: []}", "{action: ALLOW, rules: []}"] {
      #expect(policy(spec).problems.map(\.severity) == [.warning])
      #expect(policy(spec).problems.first?.message.contains("allows nothing") == true)
      #expect(policy(spec).snapshot.policies.values.first?.value.rules == [])
    }
    for spec in ["{rules: [{}]}", "{action: DENY, rules: [{}]}"] {
      #expect(policy(spec).problems.first?.message == "a rule without conditions matches every connection")
      #expect(policy(spec).snapshot.policies.values.first?.value.rules == [PolicyRule()])
    }
    #expect(policy("{rules: [{from: []}]}").errors.last?.position.path == "spec.rules[0].from")
    #expect(policy("{rules: [{from: [{source: {}}]}]}").errors.last?.message == "source without a condition")
    #expect(policy("{rules: [null]}").errors.last?.position.path == "spec.rules[0]")
    #expect(policy("null").errors.last?.message == "the field has no value")
  }

  @Test("A dry-run annotation is refused, because the policy would be enforced")
  func dryRun() {
    let result = Samples.compile(
      Samples.root.replacing("mesh-root}", with: "mesh-root, annotations: {istio.io/dry-run: \"true\"}}"))
    #expect(result.errors.last?.position.path == "metadata.annotations")
  }

  @Test("Every appProtocol that is accepted, and what it means")
  func appProtocols() {
    let expected: [String: AppProtocol] = [
      "tcp": .tcp, "tls": .tls, "https": .tls, "http": .http, "http2": .http2, "grpc": .grpc,
      "kubernetes.io/h2c": .http2, "kubernetes.io/ws": .http, "kubernetes.io/wss": .tls, "redis": .tcp,
    ]
    for (text, value) in expected {
      let result = Samples.compile(
        Samples.service.replacing("kubernetes.io/h2c", with: text), Samples.workload)
      #expect(result.snapshot.services.values.first?.value.ports.first?.appProtocol == value)
    }
  }
}
