import MeshBase
import MeshSnapshot
import MeshTelemetry
import MeshTestSupport
import Testing

@testable import MeshAgent

@Suite("Rules in words")
struct RuleReportTests {
  private func backend(_ name: String, _ weight: UInt32, isValid: Bool = true) -> HTTPBackend {
    HTTPBackend(service: resourceName(name), port: 80, weight: weight, isValid: isValid)
  }

  @Test("a rule says whom it is for, what it takes, what it changes, and where it leads")
  func rule() {
    let port = ServicePort(port: 80, appProtocol: .http, backends: [])
    let service = ServiceEntry(name: resourceName("shop/web"), addresses: [address("240.0.0.1")], ports: [port])
    let rule = HTTPRule(
      origin: RouteOrigin(kind: .http, name: resourceName("shop/canary"), rule: 2, ruleName: "new"),
      consumerNamespace: "client",
      matches: [
        HTTPMatch(
          path: .prefix("/a"), method: "GET", headers: [FieldMatch(name: "x-v", value: .exact("2"))],
          query: [FieldMatch(name: "q", value: .regex("a+"))]),
        HTTPMatch(path: .exact("/b")),
      ],
      filters: [
        .requestHeaders(HeaderEdit(set: [HeaderField(name: "x-a", value: "1")], remove: ["x-b"])),
        .rewrite(HTTPRewrite(hostname: "h", path: .prefix("/n"))),
      ],
      backends: [self.backend("shop/one", 9), self.backend("shop/gone", 1, isValid: false)],
      requestTimeoutMilliseconds: 1000, retry: HTTPRetry(codes: [500, 503], attempts: 2, backoffMilliseconds: 25),
      persistence: SessionPersistence(name: "s", kind: .cookie(isPermanent: true)))
    let report = RuleReport(rule, of: Versioned(service, version: ContentVersion(value: 0xab)), port) { backend in
      backend.isValid ? 3 : 0
    }
    #expect(
      report
        == RuleReport(
          service: "shop/web", addresses: ["240.0.0.1:80"], port: 80, route: "shop/canary", rule: 2, ruleName: "new",
          clients: "client", matches: ["GET /a/* header x-v=2 query q~a+", "=/b"],
          filters: [
            "request headers x-a=1,-x-b", "rewrite h prefix /n", "retry 2 times after 25ms codes 500,503",
            "session permanent cookie s",
          ],
          backends: [
            .init(service: "shop/one", port: 80, weight: 9, ready: 3),
            .init(service: "shop/gone", port: 80, weight: 1, valid: false, ready: 0),
          ], requestTimeoutMilliseconds: 1000, version: "00000000000000ab"))
  }
}
