import MeshBase
import MeshProto
import MeshSnapshot
import Testing

func name(_ text: String) throws -> ResourceName { try #require(ResourceName(text)) }

/// One entry of each kind, with every field set.
enum Sample {
  static func config() throws -> Entry {
    .config(
      ConfigEntry(
        trustDomain: "mesh.example", vipRangeV4: IPPrefix("240.0.0.0/8"), vipRangeV6: IPPrefix("fd00:1::/32"),
        connectTimeoutMilliseconds: 2500))
  }

  static func policy() throws -> Entry {
    let source = SourceMatch(
      principals: [.exact("mesh.example/ns/a/sa/b"), .prefix("mesh"), .suffix("/sa/b"), .present],
      notPrincipals: [.exact("x")], namespaces: [.exact("a")], notNamespaces: [.present],
      serviceAccounts: [ServiceAccountMatch(namespace: "a", name: "b")],
      notServiceAccounts: [ServiceAccountMatch(namespace: "a", name: "c.d")],
      ipBlocks: [try #require(IPPrefix("10.0.0.0/8")), try #require(IPPrefix("::/0"))],
      notIPBlocks: [try #require(IPPrefix("10.1.2.3"))])
    let operation = OperationMatch(ports: [80, 65535], notPorts: [1])
    return .policy(
      PolicyEntry(
        name: try name("shop/deny-all"), action: .deny,
        rules: [
          PolicyRule(from: [source], to: [operation], whenSource: [source], whenOperation: [operation]),
          PolicyRule(),
        ]))
  }

  static func workload() throws -> Entry {
    .workload(
      WorkloadEntry(
        name: try name("shop/web-1"), node: "host-a",
        identity: try #require(SPIFFEID("spiffe://mesh.example/ns/shop/sa/web")),
        addresses: [try #require(IPAddress("10.0.0.1")), try #require(IPAddress("fd00::1"))],
        location: .networkNamespace(path: "/run/netns/web"), failureMode: .open,
        policies: [try name("shop/a"), try name("shop/b")], app: "web", appVersion: "v2", resolvesNames: true,
        nameServers: [try #require(IPAddress("127.0.0.11")), try #require(IPAddress("fd00::53"))],
        readiness: ReadinessCheck(
          port: 8080, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 4, successThreshold: 3),
        isHealthy: false, network: "blue"))
  }

  static func endpoints() throws -> Entry {
    .endpoints(
      EndpointsEntry(
        service: try name("shop/web"),
        endpoints: [
          Endpoint(
            workload: try name("shop/web-1"), isReady: false, weight: 0,
            ports: [PortMapping(servicePort: 80, targetPort: 8080)], needsTunnel: true),
          Endpoint(addresses: [try #require(IPAddress("192.0.2.7"))], weight: 5, ports: []),
        ]))
  }

  static func service() throws -> Entry {
    let web = try name("shop/web")
    let backup = try name("shop/web-next")
    return .service(
      ServiceEntry(
        name: try name("shop/web"), addresses: [try #require(IPAddress("240.0.0.9"))],
        ports: AppProtocol.allCases.enumerated().map { index, appProtocol in
          ServicePort(
            port: UInt16(80 + index), name: "p\(index)", appProtocol: appProtocol,
            backends: [
              Backend(service: web, port: 80, weight: 9),
              Backend(service: backup, port: 81, weight: 0, isValid: false),
            ], route: index == 0 ? nil : backup)
        }))
  }

  static func all() throws -> [Entry] {
    [try self.config(), try self.policy(), try self.workload(), try self.endpoints(), try self.service()]
  }

  static func snapshot() throws -> Snapshot { Snapshot(try self.all().map { VersionedEntry($0) }) }
}
