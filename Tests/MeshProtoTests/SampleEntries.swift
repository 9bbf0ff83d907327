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
        connectTimeoutMilliseconds: 2500, proxy: try self.settings()))
  }

  static func settings() throws -> ProxySettings {
    var settings = ProxySettings(
      accessLog: AccessLogSettings(format: .combined, sampled: 250, errorsFrom: 500, slowMilliseconds: 1000),
      fields: [try ForwardingField("via", "mesh"), try ForwardingField("x-request-id", "remove")])
    settings.limits.headBytes = 8192
    settings.limits.fieldCount = 64
    settings.limits.headMilliseconds = 1000
    settings.limits.stallMilliseconds = 2000
    settings.limits.idleMilliseconds = 3000
    settings.limits.upstreamIdleMilliseconds = 4000
    return settings
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
          port: 8080,
          probe: .http(
            ReadinessCheck.HTTPProbe(
              path: "/healthz?a=b", host: "web.example:80", headers: [HeaderField(name: "x-a", value: "1")],
              expected: [200...299, 404...404])), periodMilliseconds: 5500, timeoutMilliseconds: 2000,
          failureThreshold: 4, successThreshold: 3, jitterPercent: 25),
        isHealthy: false, network: "blue"))
  }

  static func endpoints() throws -> Entry {
    .endpoints(
      EndpointsEntry(
        service: try name("shop/web"),
        endpoints: [
          Endpoint(
            workload: try name("shop/web-1"), isReady: false, weight: 0,
            ports: [PortMapping(servicePort: 80, targetPort: 8080)], needsTunnel: true,
            locality: Locality(region: "eu", zone: "eu-a", subzone: "rack-1")),
          Endpoint(addresses: [try #require(IPAddress("192.0.2.7"))], weight: 5, ports: []),
        ]))
  }

  static func service() throws -> Entry {
    let web = try name("shop/web")
    let backup = try name("shop/web-next")
    return .service(
      ServiceEntry(
        name: try name("shop/web"), addresses: [try #require(IPAddress("240.0.0.9"))],
        ports: try AppProtocol.allCases.enumerated().map { index, appProtocol in
          ServicePort(
            port: UInt16(80 + index), name: "p\(index)", appProtocol: appProtocol,
            backends: [
              Backend(service: web, port: 80, weight: 9),
              Backend(service: backup, port: 81, weight: 0, isValid: false),
            ], route: index == 0 ? nil : backup, routing: try self.routing(appProtocol),
            tlsRules: appProtocol != .tls
              ? []
              : [
                TLSRule(
                  route: backup, hostnames: ["a.example.com", "*.example.com"],
                  backends: [Backend(service: backup, port: 443, weight: 3, isValid: false)])
              ], traffic: appProtocol == .http ? try self.traffic() : nil)
        }))
  }

  /// Every field.
  static func traffic() throws -> TrafficSettings {
    TrafficSettings(
      origin: try name("shop/web-traffic"), balancer: .maglev([.header("x-user"), .cookie("S"), .query("Q"), .source]),
      locality: LocalityPreference(minimum: 60, failover: ["eu", "us"]),
      slowStart: SlowStart(windowMilliseconds: 30_000, minimum: 5), panicThreshold: 40,
      outliers: OutlierDetection(
        consecutiveErrors: 4, consecutiveGatewayErrors: 3,
        successRate: .init(endpoints: 6, requests: 50, deviations: 2500), intervalMilliseconds: 5000,
        baseEjectionMilliseconds: 10_000, maximumEjectionMilliseconds: 60_000, maximumEjectionPercent: 20),
      limits: ConnectionLimits(connections: 100, pendingRequests: 0, requests: 200, retries: 3),
      pool: PoolSettings(
        idleMilliseconds: 1000, lifetimeMilliseconds: 60_000, requestsPerConnection: 1000, streamsPerConnection: 50,
        warmConnections: 2),
      retries: RetrySettings(
        budget: .init(percent: 25, perSecond: 5),
        rule: HTTPRetry(codes: [503], attempts: 3, backoffMilliseconds: 10), repeatsAll: true,
        perTryMilliseconds: 250, bodyBytes: 1024),
      faults: [
        Fault(.delay(milliseconds: 100), share: 125, headers: [FieldMatch(name: "x-f", value: .exact("1"))]),
        Fault(.abort(status: 503), share: 10_000),
      ])
  }

  /// Every field and every case. None for protocols without requests, no rules for one.
  static func routing(_ appProtocol: AppProtocol) throws -> HTTPRouting? {
    let next = HTTPBackend(service: try name("shop/web-next"), port: 81)
    let edit = HeaderEdit(
      set: [HeaderField(name: "x-a", value: "1")], add: [HeaderField(name: "x-b", value: "")], remove: ["x-c"])
    switch appProtocol {
    case .tcp, .tls: return nil
    case .http2: return HTTPRouting(rules: [])
    case .http:
      let filters: [HTTPFilter] = [
        .requestHeaders(edit), .responseHeaders(edit),
        .redirect(
          HTTPRedirect(scheme: "https", hostname: "example.com", path: .full("/x"), port: 8443, status: 301)),
        .rewrite(HTTPRewrite(hostname: "example.org", path: .prefix(""))), .redirect(HTTPRedirect(status: 307)),
        .rewrite(HTTPRewrite()), .mirror(HTTPMirror(backend: next, numerator: 1, denominator: 3)),
        .cors(
          CORSPolicy(
            origins: ["https://*.example.com", "*"], allowsCredentials: true, methods: ["GET", "*"], headers: ["X-D"],
            exposedHeaders: ["x-e"], maxAgeSeconds: 5)),
      ]
      let rule = HTTPRule(
        origin: RouteOrigin(kind: .http, name: try name("shop/split"), rule: 2, ruleName: "canary"),
        consumerNamespace: "till", hostnames: ["a.example.com", "*.example.com"],
        matches: [
          HTTPMatch(
            path: .exact("/a"), method: "GET", headers: [FieldMatch(name: "x-a", value: .exact("1"))],
            query: [FieldMatch(name: "Q", value: .regex("a+"))]), HTTPMatch(path: .prefix("/")),
          HTTPMatch(path: .regex("/[0-9]+")),
        ], filters: filters,
        backends: [
          next,
          HTTPBackend(
            service: try name("shop/web"), port: 80, weight: 0, isValid: false, filters: [.requestHeaders(edit)]),
        ], requestTimeoutMilliseconds: 0, backendTimeoutMilliseconds: 250,
        retry: HTTPRetry(codes: [500, 503], attempts: 3, backoffMilliseconds: 100),
        persistence: SessionPersistence(
          name: "sticky", kind: .cookie(isPermanent: true), absoluteTimeoutSeconds: 60, idleTimeoutSeconds: 0))
      return HTTPRouting(rules: [rule])
    case .grpc:
      func rule(_ path: HTTPMatch.Path, _ kind: SessionPersistence.Kind) throws -> HTTPRule {
        HTTPRule(
          origin: RouteOrigin(kind: .grpc, name: try name("shop/calls"), rule: 0), matches: [HTTPMatch(path: path)],
          backends: [next], persistence: SessionPersistence(name: "x-session", kind: kind))
      }
      return HTTPRouting(rules: [
        try rule(.grpc(service: .exact("p.S"), method: nil), .header),
        try rule(.grpc(service: nil, method: .regex("Get.*")), .cookie(isPermanent: false)),
        try rule(.grpc(service: nil, method: nil), .header),
      ])
    }
  }

  static func all() throws -> [Entry] {
    [try self.config(), try self.policy(), try self.workload(), try self.endpoints(), try self.service()]
  }

  static func snapshot() throws -> Snapshot { Snapshot(try self.all().map { VersionedEntry($0) }) }
}
