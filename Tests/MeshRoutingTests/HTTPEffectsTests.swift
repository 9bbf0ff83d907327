import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite struct HTTPEffectsTests {
  private func backend(_ service: String, weight: UInt32, isValid: Bool = true, filters: [HTTPFilter] = []) throws
    -> HTTPBackend
  {
    HTTPBackend(service: try name(service), port: 80, weight: weight, isValid: isValid, filters: filters)
  }

  private func action(filters: [HTTPFilter] = [], _ backends: [HTTPBackend]) throws -> HTTPRouteAction {
    try #require(HTTPRouteTable([try rule("r", filters: filters, backends: backends)]).actions.first)
  }

  @Test("a canary's shares are within two points over 10,000 picks; weight 0 gets nothing")
  func weights() throws {
    let action = try self.action([
      try self.backend("a/zero", weight: 0), try self.backend("a/main", weight: 90),
      try self.backend("a/canary", weight: 10),
    ])
    var random = Steps()
    var counts: [String: Int] = [:]
    for _ in 0..<10_000 {
      guard case .backend(let index) = action.pick(using: &random, isReady: { _ in true }) else { continue }
      counts[action.backends[index].service.name, default: 0] += 1
    }
    #expect(counts["zero"] == nil && (8800...9200).contains(counts["main"] ?? 0))
    #expect((800...1200).contains(counts["canary"] ?? 0))
  }

  @Test("no backend and an invalid one are 500, none ready is 503, no route 404")
  func refusals() throws {
    var random = Steps()
    let none = try self.action([try self.backend("a/x", weight: 0)])
    #expect(none.pick(using: &random, isReady: { _ in true }) == .refused(.noBackend))
    let invalid = try self.action([try self.backend("a/x", weight: 1, isValid: false)])
    #expect(invalid.pick(using: &random, isReady: { _ in true }) == .refused(.invalidBackend))
    let idle = try self.action([try self.backend("a/x", weight: 1)])
    #expect(idle.pick(using: &random, isReady: { _ in false }) == .refused(.noEndpoint))
    #expect(HTTPRefusal.allCases.map(\.status) == [404, 500, 500, 503])
  }

  @Test("edits of the rule come before the backend's, as one pass over the fields")
  func edits() throws {
    let ofRule = HeaderEdit(
      set: [HeaderField(name: "X-Set", value: "1")], add: [HeaderField(name: "x-add", value: "2")], remove: ["x-gone"])
    let ofBackend = HeaderEdit(
      set: [HeaderField(name: "x-add", value: "3")], add: [HeaderField(name: "x-gone", value: "back")],
      remove: ["x-set"])
    let action = try self.action(
      filters: [.requestHeaders(ofRule)], [try self.backend("a/x", weight: 1, filters: [.requestHeaders(ofBackend)])])
    func apply(_ changes: HeaderChanges, _ fields: [(String, String)]) -> [String] {
      fields.filter { field in
        let name = Array(field.0.utf8)
        return !changes.drops(name.span)
      }.map { "\($0.0): \($0.1)" }
        + changes.added.map { String(decoding: $0.name + Array(": ".utf8) + $0.value, as: UTF8.self) }
    }
    let fields = [("X-Add", "0"), ("x-Gone", "0"), ("x-set", "0"), ("other", "0")]
    #expect(apply(action.effects.request, fields) == ["X-Add: 0", "other: 0", "x-set: 1", "x-add: 2"])
    #expect(apply(action.backends[0].effects.request, fields) == ["other: 0", "x-add: 3", "x-gone: back"])
    #expect(action.effects.response.isEmpty)
  }

  @Test("no edit reaches the fields that frame a message, or ends a field")
  func untouchable() {
    var changes = HeaderChanges()
    changes.append(
      HeaderEdit(
        set: [HeaderField(name: "Content-Length", value: "5"), HeaderField(name: "host", value: "x")],
        add: [
          HeaderField(name: ":path", value: "/"), HeaderField(name: "x", value: "a\r\nb: c"),
          HeaderField(name: "a b", value: "c"),
        ], remove: ["Transfer-Encoding", ""]))
    #expect(changes.isEmpty)
  }

  @Test(
    "the specification's table of ReplacePrefixMatch",
    arguments: [
      ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
      ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
      ("/foo", "/foo", "/xyz", "/xyz"),
      ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"), ("/foo/", "/foo", "", "/"),
      ("/foo", "/foo", "", "/"),
      ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"), ("/a", "/", "/xyz", "/xyz/a"),
    ])
  func prefixes(path: String, prefix: String, replacement: String, expected: String) throws {
    let table = HTTPRouteTable([try rule("r", [HTTPMatch(path: .prefix(prefix))])])
    let match = try #require(HTTPRequest(path: path).match(table))
    #expect(PathRewrite.prefix(replacement).applied(to: path, prefix: match.prefix) == expected)
    #expect(PathRewrite.full("/new").applied(to: path, prefix: match.prefix) == "/new")
    #expect(PathRewrite.prefix(replacement).applied(to: path, prefix: nil) == path)
  }

  @Test("where a redirect leads: scheme, host, port, path")
  func locations() {
    func location(
      _ redirect: HTTPRedirect, port: UInt16 = 8080, query: String? = nil, scheme: String = "http"
    ) -> String {
      redirect.location(for: .init(scheme: scheme, host: "web", port: port, path: "/a/b", query: query), prefix: 2)
    }
    #expect(location(HTTPRedirect(status: 302)) == "http://web:8080/a/b")
    #expect(location(HTTPRedirect(status: 302), port: 80, query: "x=1") == "http://web/a/b?x=1")
    #expect(location(HTTPRedirect(scheme: "https", status: 301)) == "https://web/a/b")
    #expect(location(HTTPRedirect(scheme: "https", port: 8443, status: 301)) == "https://web:8443/a/b")
    #expect(location(HTTPRedirect(scheme: "https", port: 443, status: 301)) == "https://web/a/b")
    #expect(location(HTTPRedirect(scheme: "ws", status: 301)) == "ws://web:8080/a/b")
    #expect(location(HTTPRedirect(port: 80, status: 301)) == "http://web/a/b")
    #expect(location(HTTPRedirect(status: 301), port: 443, scheme: "https") == "https://web/a/b")
    #expect(location(HTTPRedirect(hostname: "other", path: .full("/z"), status: 301), port: 80) == "http://other/z")
    #expect(location(HTTPRedirect(path: .prefix("/z"), status: 301), port: 80) == "http://web/z/b")
  }

  @Test("mirrors take their fraction of the requests")
  func mirrors() throws {
    var random = Steps()
    let backend = try self.backend("a/m", weight: 1)
    for (numerator, denominator, range) in [
      (1, 4, 2300...2700), (0, 100, 0...0), (100, 100, 10_000...10_000), (1, 0, 0...0),
    ] as [(UInt32, UInt32, ClosedRange<Int>)] {
      let mirror = HTTPMirror(backend: backend, numerator: numerator, denominator: denominator)
      var count = 0
      for _ in 0..<10_000 where mirror.takes(using: &random) { count += 1 }
      #expect(range.contains(count))
    }
  }

  @Test("CORS: who is allowed is told what is allowed, and nobody else anything")
  func cors() {
    func policy(_ origins: [String], credentials: Bool = false, methods: [String] = ["GET", "PUT"]) -> CORSPolicy {
      CORSPolicy(
        origins: origins, allowsCredentials: credentials, methods: methods, headers: ["x-a"],
        exposedHeaders: ["x-b", "x-c"],
        maxAgeSeconds: 5)
    }
    func text(_ fields: [HeaderField]) -> [String] { fields.map { "\($0.name): \($0.value)" } }
    let preflight = CORSPolicy.Preflight(origin: "https://a.x.com", method: "PUT", headers: "x-a")
    #expect(
      text(policy(["https://*.x.com"]).answer(to: preflight)) == [
        "access-control-allow-origin: https://a.x.com", "vary: Origin", "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: x-a", "access-control-expose-headers: x-b, x-c", "access-control-max-age: 5",
      ])
    #expect(
      text(policy(["*"], credentials: true, methods: ["*"]).answer(to: preflight)) == [
        "access-control-allow-origin: https://a.x.com", "access-control-allow-credentials: true", "vary: Origin",
        "access-control-allow-methods: PUT", "access-control-allow-headers: x-a",
        "access-control-expose-headers: x-b, x-c", "access-control-max-age: 5",
      ])
    #expect(
      text(policy(["*"], methods: ["*"]).answerFields(for: "https://q")) == [
        "access-control-allow-origin: *", "access-control-expose-headers: x-b, x-c",
      ])
    for origin in ["https://x.com", "http://a.x.com", "https://a.x.com:444", "https://ax.com", "https://e/.x.com", ""] {
      #expect(policy(["https://*.x.com"]).answerFields(for: origin).isEmpty, "\(origin)")
    }
    #expect(policy(["https://*"]).answerFields(for: "https://any.org").count == 3)
    #expect(policy(["*"], credentials: true).answerFields(for: "https://a\r\nb: c").isEmpty)
  }
}
