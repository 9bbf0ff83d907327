import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("Fields of routes of requests")
struct RouteFieldTests {
  @Test("every field of an HTTPRoute comes into the entry")
  func http() throws {
    let result = Samples.compile(RouteSamples.http, RouteSamples.web, RouteSamples.next)
    #expect(
      result.errors.map(\.message) == [
        "backend Service shop/gone does not exist: nothing is mirrored to it",
        "a \"Bucket\" of group \"example.com\" cannot be a backend: its share of the requests is answered with 500",
      ])
    let port = try #require(result.snapshot.services[Samples.name("shop/web")]?.value.ports.first)
    let rules = try #require(port.routing?.rules)
    let next = HTTPBackend(service: Samples.name("shop/next"), port: 80)
    var gone = HTTPBackend(service: Samples.name("shop/gone"), port: 80)
    gone.isValid = false
    let filters: [HTTPFilter] = [
      .requestHeaders(
        HeaderEdit(
          set: [HeaderField(name: "x-set", value: "a")],
          add: [HeaderField(name: "x-add", value: "b")],
          remove: ["x-gone"])),
      .responseHeaders(HeaderEdit(remove: ["server"])),
      .rewrite(HTTPRewrite(hostname: "example.com", path: .prefix("/b"))),
      .mirror(HTTPMirror(backend: next, numerator: 20, denominator: 100)),
      .mirror(HTTPMirror(backend: gone, numerator: 1, denominator: 3)),
      .cors(
        CORSPolicy(
          origins: ["https://*.example.com:8443", "http://*"], allowsCredentials: true,
          methods: ["GET", "PUT"],
          headers: ["X-D"], exposedHeaders: ["x-e", "*"], maxAgeSeconds: 9)),
    ]
    var weightless = next
    weightless.weight = 0
    weightless.filters = [.requestHeaders(HeaderEdit(set: [HeaderField(name: "x-b", value: "c")]))]
    #expect(
      rules.first
        == HTTPRule(
          origin: RouteOrigin(
            kind: .http, name: Samples.name("shop/split"), rule: 0, ruleName: "canary"),
          matches: [
            HTTPMatch(
              path: .prefix("/a"), method: "GET",
              headers: [
                FieldMatch(name: "x-version", value: .exact("one")),
                FieldMatch(name: "b", value: .regex("v[0-9]+")),
              ], query: [FieldMatch(name: "Q", value: .exact("whale"))])
          ], filters: filters,
          backends: [
            HTTPBackend(service: Samples.name("shop/web"), port: 80, weight: 9), weightless,
            HTTPBackend(service: Samples.name("shop/files"), port: 1, isValid: false),
          ], requestTimeoutMilliseconds: 10_000, backendTimeoutMilliseconds: 1500,
          retry: HTTPRetry(codes: [500, 503], attempts: 3, backoffMilliseconds: 100),
          persistence: SessionPersistence(
            name: "sticky", kind: .cookie(isPermanent: true), absoluteTimeoutSeconds: 3600)))
    #expect(
      rules.last
        == HTTPRule(
          origin: RouteOrigin(kind: .http, name: Samples.name("shop/split"), rule: 1),
          matches: [HTTPMatch(path: .exact("/old")), HTTPMatch(path: .regex("/[0-9]+"))],
          filters: [
            .redirect(
              HTTPRedirect(
                scheme: "https", hostname: "example.org", path: .full("/new"), port: 8443,
                status: 308))
          ]))
    #expect(port.appProtocol == .http && port.backends.map(\.service) == [Samples.name("shop/web")])
  }

  @Test("every field of a GRPCRoute comes into the entry")
  func grpc() throws {
    let result = Samples.compile(RouteSamples.grpc, RouteSamples.web, RouteSamples.next)
    #expect(result.problems.map(\.description) == [])
    let ports = try #require(result.snapshot.services[Samples.name("shop/web")]?.value.ports)
    #expect(ports.filter { $0.routing != nil }.map(\.port) == [90])
    let rules = try #require(ports[2].routing?.rules)
    #expect(
      rules.first?.matches == [
        HTTPMatch(
          path: .grpc(service: .exact("p.Store"), method: .exact("Get")),
          headers: [FieldMatch(name: "tenant", value: .exact("a"))]),
        HTTPMatch(path: .grpc(service: .regex("p[.].*"), method: nil)),
      ])
    #expect(rules.first?.persistence == SessionPersistence(name: "x-session", kind: .header))
    #expect(rules.last?.matches == [HTTPMatch(path: .grpc(service: nil, method: nil))])
    #expect(rules.map(\.origin.kind) == [.grpc, .grpc])
  }

  @Test("what is left out has the schema's defaults")
  func defaults() throws {
    let text = RouteSamples.simple("plain").replacing(
      "backendRefs:",
      with:
        "matches: [{headers: [{name: a, value: b}]}, {path: {value: /x}}], retry: {}, sessionPersistence: {cookie: {}}, "
        + "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: next, port: 80}}}, {type: CORS, cors: {allowOrigins: [\"*\"]}}], "
        + "backendRefs:")
    let result = Samples.compile(text, RouteSamples.web, RouteSamples.next)
    #expect(result.problems.map(\.description) == [])
    let rule = try #require(
      result.snapshot.services[Samples.name("shop/web")]?.value.ports.first?.routing?.rules.first)
    #expect(
      rule.matches == [
        HTTPMatch(path: .prefix("/"), headers: [FieldMatch(name: "a", value: .exact("b"))]),
        HTTPMatch(path: .prefix("/x")),
      ])
    #expect(rule.retry == HTTPRetry(codes: [], attempts: 2, backoffMilliseconds: 25))
    #expect(rule.persistence?.kind == .cookie(isPermanent: false))
    #expect(rule.persistence?.name.hasPrefix("martlet-") == true)
    #expect(rule.backends.map(\.weight) == [1])
    guard case .mirror(let mirror) = rule.filters.first, case .cors(let cors) = rule.filters.last
    else {
      return #expect(Bool(false), "\(rule.filters)")
    }
    #expect((mirror.numerator, mirror.denominator) == (100, 100))
    #expect(cors.maxAgeSeconds == 5 && !cors.allowsCredentials)
  }

  typealias Row = FieldTests.Row
  private static let rule = "spec.rules[0]"

  static let rows: [Row] = [
    Row(
      RouteSamples.http, "2026-01-31T00:00:00Z", "yesterday", "metadata.creationTimestamp",
      "no time"),
    Row(
      RouteSamples.http, "kind: Service, n", "kind: Gateway, n", "spec.parentRefs[0]", "no gateways"
    ),
    Row(RouteSamples.http, "name: canary", "name: Canary", "spec.rules[0].name", "no name"),
    Row(
      RouteSamples.http, "- matches:\n", "- name: canary\n      matches:\n", "spec.rules[1].name",
      "second rule"),
    Row(
      RouteSamples.http, "type: PathPrefix", "type: Prefix", "\(rule).matches[0].path.type",
      "is unknown"),
    Row(
      RouteSamples.http, "type: PathPrefix", "type: pathPrefix", "\(rule).matches[0].path.type",
      "is unknown"),
    Row(
      RouteSamples.http, "value: /a}", "value: a}", "\(rule).matches[0].path.value",
      "does not begin with /"),
    Row(
      RouteSamples.http, "value: /a}", "value: /a//b}", "\(rule).matches[0].path.value", "holds //"),
    Row(
      RouteSamples.http, "value: /a}", "value: /a/../b}", "\(rule).matches[0].path.value",
      "holds /../"),
    Row(
      RouteSamples.http, "value: /a}", "value: /a/..}", "\(rule).matches[0].path.value",
      "ends with /.."),
    Row(
      RouteSamples.http, "value: /a}", "value: /a%2Fb}", "\(rule).matches[0].path.value",
      "holds %2f"),
    Row(
      RouteSamples.http, "value: /a}", "value: /a%zz}", "\(rule).matches[0].path.value",
      "hexadecimal"),
    Row(
      RouteSamples.http, "value: /a}", "value: \"/a?b\"}", "\(rule).matches[0].path.value",
      "no path holds"),
    Row(
      RouteSamples.http, "/[0-9]+", "/[0-9", "spec.rules[1].matches[1].path.value",
      "regular expression"),
    Row(
      RouteSamples.http, "v[0-9]+", "(?=a)", "\(rule).matches[0].headers[1].value",
      "regular expression"),
    Row(RouteSamples.http, "method: GET", "method: get", "\(rule).matches[0].method", "is unknown"),
    Row(
      RouteSamples.http, "name: X-Version", "name: \"X Version\"",
      "\(rule).matches[0].headers[0].name", "no name"),
    Row(
      RouteSamples.http, "name: b, v", "name: X-Version, v", "\(rule).matches[0].headers[1].name",
      "stands twice"),
    Row(
      RouteSamples.http, "value: one}", "value: \" one\"}", "\(rule).matches[0].headers[0].value",
      "space at an end"),
    Row(
      RouteSamples.http, "value: whale", "value: \"\"", "\(rule).matches[0].queryParams[0].value",
      "0 bytes"),
    Row(RouteSamples.http, "queryParams", "query", "\(rule).matches[0].query", "unknown field"),
    Row(
      RouteSamples.http, "type: RequestHeaderModifier\n", "type: ResponseHeaderModifier\n",
      "\(rule).filters[0].requestHeaderModifier", "does not belong"),
    Row(
      RouteSamples.http, "type: ResponseHeaderModifier\n          responseHeaderModifier:",
      "type: RequestHeaderModifier\n          requestHeaderModifier:", "\(rule).filters[1].type",
      "a second"),
    Row(
      RouteSamples.http, "name: X-Set", "name: Content-Length",
      "\(rule).filters[0].requestHeaderModifier.set[0].name", "framing"),
    Row(
      RouteSamples.http, "name: x-add", "name: x-set",
      "\(rule).filters[0].requestHeaderModifier.add[0].name",
      "second action"),
    Row(
      RouteSamples.http, "set: [{name: X-Set,", "set: [{type: Exact, name: X-Set,",
      "\(rule).filters[0].requestHeaderModifier.set[0].type", "unknown field"),
    Row(
      RouteSamples.http, "- type: URLRewrite\n          urlRewrite: {hostname: example.com, path",
      "- type: RequestRedirect\n          requestRedirect: {hostname: example.com, path",
      "spec.rules[0]",
      "stands beside backendRefs"),
    Row(
      RouteSamples.http, "- type: RequestRedirect",
      "- {type: URLRewrite, urlRewrite: {}}\n        - type: RequestRedirect",
      "spec.rules[1].filters[1].type", "exclude each other"),
    Row(
      RouteSamples.http, "type: ReplaceFullPath, r", "type: ReplacePrefixMatch, r",
      "spec.rules[1].filters[0].requestRedirect.path", "exactly one PathPrefix"),
    Row(
      RouteSamples.http, "replaceFullPath: /new", "replaceFullPath: \"/a b\"",
      "spec.rules[1].filters[0].requestRedirect.path.replaceFullPath", "no path holds"),
    Row(
      RouteSamples.http, "statusCode: 308", "statusCode: 304",
      "spec.rules[1].filters[0].requestRedirect.statusCode",
      "no redirect"),
    Row(
      RouteSamples.http, "scheme: https", "scheme: HTTPS",
      "spec.rules[1].filters[0].requestRedirect.scheme",
      "is unknown"),
    Row(
      RouteSamples.http, "hostname: example.org", "hostname: \"*.example.org\"",
      "spec.rules[1].filters[0].requestRedirect.hostname", "no name of a host"),
    Row(
      RouteSamples.http, "percent: 20}", "percent: 20, fraction: {numerator: 1}}",
      "\(rule).filters[3].requestMirror.fraction", "exclude each other"),
    Row(
      RouteSamples.http, "numerator: 1,", "numerator: 4,",
      "\(rule).filters[4].requestMirror.fraction",
      "more than the whole"),
    Row(
      RouteSamples.http, "\"http://*\"", "\"ftp://a\"", "\(rule).filters[5].cors.allowOrigins[1]",
      "no origin"),
    Row(
      RouteSamples.http, "\"http://*\"", "\"http://a:99999\"",
      "\(rule).filters[5].cors.allowOrigins[1]", "no origin"),
    Row(
      RouteSamples.http, "[GET, PUT]", "[GET, \"*\"]", "\(rule).filters[5].cors.allowMethods",
      "stands beside"),
    Row(RouteSamples.http, "maxAge: 9", "maxAge: 0", "\(rule).filters[5].cors.maxAge", "from 1"),
    Row(
      RouteSamples.http, "- type: CORS",
      "- {type: ExtensionRef, extensionRef: {group: a, kind: b, name: c}}\n        - type: CORS",
      "\(rule).filters[5].type", "would pass without it"),
    Row(
      RouteSamples.http, "- type: CORS",
      "- {type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a, port: 1}}}\n        - type: CORS",
      "\(rule).filters[5].type", "would pass without it"),
    Row(RouteSamples.http, "weight: 9", "weight: -1", "\(rule).backendRefs[0].weight", "from 0"),
    Row(
      RouteSamples.http, "{name: web, port: 80, weight: 9}", "{name: web}",
      "\(rule).backendRefs[0]", "port is missing"),
    Row(
      RouteSamples.http,
      "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-b, value: c}]}}",
      "{type: CORS, cors: {allowOrigins: [\"*\"]}}", "\(rule).backendRefs[1].filters[0].type",
      "before a backend"),
    Row(
      RouteSamples.http, "request: 10s", "request: 10", "\(rule).timeouts.request", "the number 10"),
    Row(
      RouteSamples.http, "request: 10s", "request: 1.5s", "\(rule).timeouts.request", "no duration"),
    Row(
      RouteSamples.http, "request: 10s", "request: 1s", "\(rule).timeouts.backendRequest",
      "longer than the request"),
    Row(
      RouteSamples.http, "request: 10s", "request: 99999h", "\(rule).timeouts.request", "49 days"),
    Row(RouteSamples.http, "[500, 503]", "[500, 200]", "\(rule).retry.codes[1]", "from 400 to 599"),
    Row(RouteSamples.http, "attempts: 3", "attempts: 0", "\(rule).retry.attempts", "from 1"),
    Row(
      RouteSamples.http, "absoluteTimeout: 1h\n", "idleTimeout: 1h\n",
      "\(rule).sessionPersistence.cookie", "without a lifetime"),
    Row(
      RouteSamples.http, "path: /, l", "path: /a, l", "\(rule).sessionPersistence.cookie.path",
      "not supported"),
    Row(
      RouteSamples.http, "type: Cookie", "type: Header", "\(rule).sessionPersistence.cookie",
      "beside type Header"),
    Row(
      RouteSamples.grpc, "service: p.Store", "service: p/Store",
      "\(rule).matches[0].method.service", "no service"),
    Row(
      RouteSamples.grpc, "method: Get", "method: p.Get", "\(rule).matches[0].method.method",
      "no method"),
    Row(
      RouteSamples.grpc, "{service: p.Store, method: Get}", "{}", "\(rule).matches[0].method",
      "neither service"),
    Row(
      RouteSamples.grpc, "p[.].*", "p[", "\(rule).matches[1].method.service", "regular expression"),
    Row(
      RouteSamples.grpc,
      "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-a, value: b}]}}",
      "{type: URLRewrite, urlRewrite: {}}", "\(rule).filters[0].type", "is unknown"),
    Row(
      RouteSamples.grpc, "backendRefs: [{name: next",
      "timeouts: {request: 1s}\n      backendRefs: [{name: next", "\(rule).timeouts",
      "no such field"),
    Row(RouteSamples.tls, "*.example.com", "a.*.com", "spec.hostnames[1]", "no name of a host"),
    Row(RouteSamples.tls, "a.example.com", "10.0.0.1", "spec.hostnames[0]", "an address"),
    Row(
      RouteSamples.tls, "  hostnames: [a.example.com, \"*.example.com\"]\n", "", "spec",
      "hostnames is missing"),
  ]

  @Test("each field refuses what it cannot mean, with its place", arguments: rows)
  func refusals(row: Row) throws {
    #expect(row.base.contains(row.old), "the row replaces nothing")
    let result = Samples.compile(row.base.replacing(row.old, with: row.new, maxReplacements: 1))
    let found = result.errors.first {
      $0.position.path == row.path && $0.message.contains(row.message)
    }
    #expect(found != nil, "\(result.errors)")
    #expect(result.resources.isEmpty, "\(result.resources)")
    #expect(result.routes.map(\.parents.count) == [0] && result.routes.first?.problem != nil)
  }

  @Test("all that is wrong is found at once")
  func allAtOnce() {
    let text = RouteSamples.http.replacing("method: GET", with: "method: get").replacing(
      "308", with: "304"
    )
    .replacing("attempts: 3", with: "attempts: 0")
    #expect(Samples.compile(text).errors.count == 3)
  }

  @Test("what holds, but may surprise, is a warning")
  func warnings() throws {
    func warning(_ old: String, _ new: String) -> [String] {
      let text = RouteSamples.simple("plain").replacing(old, with: new)
      let result = Samples.compile(text, RouteSamples.web, RouteSamples.next)
      #expect(
        result.errors.map(\.description) == []
          && result.routes.first?.parents.first?.isAccepted == true)
      return result.problems.map(\.message)
    }
    #expect(
      warning("  rules:", "  hostnames: [a.example.com]\n  rules:").first?.contains("GEP-1294")
        == true)
    #expect(warning("[{name: next, port: 80}]", "[]").first?.contains("answered with 500") == true)
    #expect(
      warning("name: next, port: 80", "name: next, port: 80, weight: 0").first?.contains(
        "all weights") == true)
    #expect(
      warning("rules: [", "rules: [{backendRefs: [{name: web, port: 80}]}, ").first?.contains(
        "never reached") == true)
    #expect(
      warning(
        "backendRefs",
        "matches: [{headers: [{name: A, value: b}, {name: a, value: c}]}], backendRefs"
      ).first?
      .contains("not looked at") == true)
    #expect(
      warning("parentRefs: [", "parentRefs: [{name: edge}, ").first?.contains("no gateways") == true
    )
  }

  @Test(
    "durations of GEP-2257",
    arguments: [
      ("1h", 3_600_000), ("1m30s", 90_000), ("0s", 0), ("1h1m1s1ms", 3_661_001), ("250ms", 250),
      ("99999ms", 99_999),
      ("", nil), ("1", nil), ("s", nil), ("1d", nil), ("100000s", nil), ("1s1s1s1s1s", nil),
      ("-1s", nil), ("1 s", nil),
    ] as [(String, Int64?)])
  func durations(text: String, expected: Int64?) {
    #expect(ResourceDecoder.milliseconds(of: text) == expected)
  }
}
