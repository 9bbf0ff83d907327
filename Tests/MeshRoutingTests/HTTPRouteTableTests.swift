import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite struct HTTPRouteTableTests {
  @Test("a prefix matches whole elements, and the longest wins; exact before all")
  func paths() throws {
    let table = HTTPRouteTable([
      try rule("root"), try rule("ab", [HTTPMatch(path: .prefix("/a/b/"))]),
      try rule("a", [HTTPMatch(path: .prefix("/a"))]),
      try rule("exact", [HTTPMatch(path: .exact("/a/b"))]),
      try rule("expression", [HTTPMatch(path: .regex("/c/.*[.]png"))]),
      try rule("c", [HTTPMatch(path: .prefix("/c/d"))]),
    ])
    let expected = [
      "/": "root", "/a": "a", "/a/": "a", "/ab": "root", "/a/b": "exact", "/a/b/": "ab", "/a/b/c": "ab", "/a/bc": "a",
      "/c/d/x.png": "expression", "/c/d/x.jpg": "c", "/A": "root",
    ]
    for (path, expected) in expected { #expect(HTTPRequest(path: path).rule(table) == expected, "\(path)") }
    #expect(HTTPRequest(path: "/a/b/c").match(table)?.prefix == 4)
    #expect(HTTPRequest(path: "/x").match(table)?.prefix == 0)
    #expect(HTTPRequest(path: "/a/b").match(table)?.prefix == nil)
    #expect(HTTPRouteTable([]).actions.isEmpty && HTTPRequest().match(HTTPRouteTable([])) == nil)
  }

  @Test("a rule's path is canonical before it is compared")
  func canonicalRules() throws {
    let table = HTTPRouteTable([try rule("a", [HTTPMatch(path: .exact("/%61%7b"))])])
    #expect(HTTPRequest(path: "/a%7B").rule(table) == "a")
  }

  @Test("method, then headers, then query parameters decide between equal paths, then the order given")
  func precedence() throws {
    let header = FieldMatch(name: "x-v", value: .exact("2"))
    let other = FieldMatch(name: "x-w", value: .regex("[0-9]+"))
    let query = FieldMatch(name: "q", value: .exact("1"))
    let path = HTTPMatch.Path.prefix("/")
    let table = HTTPRouteTable([
      try rule("plain"), try rule("query", [HTTPMatch(path: path, query: [query])]),
      try rule("header", [HTTPMatch(path: path, headers: [header])]),
      try rule("two", [HTTPMatch(path: path, headers: [header, other])]),
      try rule("method", [HTTPMatch(path: path, method: "PUT")]), try rule("late"),
    ])
    #expect(HTTPRequest().rule(table) == "plain")
    #expect(HTTPRequest(query: "a=b&q=1").rule(table) == "query")
    #expect(HTTPRequest(query: "q=1", headers: [("X-V", "2")]).rule(table) == "header")
    #expect(HTTPRequest(headers: [("x-w", "12"), ("x-v", "2")]).rule(table) == "two")
    #expect(HTTPRequest(headers: [("x-w", "1a"), ("x-v", "2")]).rule(table) == "header")
    #expect(HTTPRequest(method: "PUT", headers: [("x-w", "1"), ("x-v", "2")]).rule(table) == "method")
    #expect(HTTPRequest(method: "put").rule(table) == "plain")
  }

  @Test("HN-03, HN-04: fields of one name, whatever its case, are one list; of equal names in a match the first counts")
  func headers() throws {
    let table = HTTPRouteTable([
      try rule(
        "joined",
        [
          HTTPMatch(
            path: .prefix("/"),
            headers: [
              FieldMatch(name: "x-v", value: .exact("a,b")), FieldMatch(name: "x-v", value: .exact("never")),
            ])
        ]),
      try rule(
        "expression", [HTTPMatch(path: .prefix("/"), headers: [FieldMatch(name: "x-v", value: .regex("a(,c)+"))])]),
    ])
    #expect(HTTPRequest(headers: [("x-v", "a"), ("x-y", "1"), ("X-V", "b")]).rule(table) == "joined")
    #expect(HTTPRequest(headers: [("x-v", "a,b")]).rule(table) == "joined")
    #expect(HTTPRequest(headers: [("x-v", "a"), ("x-v", "c"), ("x-v", "c")]).rule(table) == "expression")
    #expect(HTTPRequest(headers: [("x-v", "a")]).rule(table) == nil)
    #expect(HTTPRequest().rule(table) == nil)
  }

  @Test(
    "the first query parameter of a name counts, with its escapes undone",
    arguments: [
      ("v=a b", false), ("v=a%20b", true), ("%76=a%20b", true), ("v=x&v=a%20b", false), ("w&v=a%20b&x", true),
      ("v=a+b", false), ("v", false), ("", false), ("vv=a%20b", false), ("v=a%20b%2", false), ("&&=&v=a%20b", true),
    ])
  func query(text: String, expected: Bool) throws {
    let match = HTTPMatch(path: .prefix("/"), query: [FieldMatch(name: "v", value: .exact("a b"))])
    let literal = text == "v=a b"
    #expect((HTTPRequest(query: text).rule(HTTPRouteTable([try rule("q", [match])])) == "q") == (expected || literal))
  }

  @Test("host names: the longest without wildcard, then the longest with, then none; case does not count")
  func hosts() throws {
    let table = HTTPRouteTable([
      try rule("any", [HTTPMatch(path: .exact("/"))]), try rule("wide", hosts: ["*.example.com"]),
      try rule("narrow", hosts: ["*.b.example.com", "other"]), try rule("full", hosts: ["A.b.example.com"]),
    ])
    let expected = [
      "x.example.com": "wide", "x.b.example.com": "narrow", "a.B.example.com": "full", "example.com": "any",
      ".example.com": "any", "other": "narrow", "b.example.com": "wide",
    ]
    for (host, expected) in expected { #expect(HTTPRequest(host: host).rule(table) == expected, "\(host)") }
  }

  @Test("GRPCRoute: a service before none, a method before none, headers; the path has two elements")
  func grpc() throws {
    func match(_ service: ValueMatch?, _ method: ValueMatch?, _ headers: [FieldMatch] = []) -> [HTTPMatch] {
      [HTTPMatch(path: .grpc(service: service, method: method), headers: headers)]
    }
    let header = FieldMatch(name: "v", value: .exact("1"))
    let table = HTTPRouteTable([
      try rule("any", match(nil, nil)), try rule("any+h", match(nil, nil, [header])),
      try rule("method", match(nil, .exact("Get"))), try rule("service", match(.exact("p.S"), nil)),
      try rule("service+h", match(.exact("p.S"), nil, [header])), try rule("both", match(.exact("p.S"), .exact("Get"))),
      try rule("expression", match(.regex("p\\..*"), .regex("L.*"))),
    ])
    #expect(HTTPRequest(path: "/p.S/Get", headers: [("v", "1")]).rule(table) == "both")
    #expect(HTTPRequest(path: "/p.S/List").rule(table) == "service")
    #expect(HTTPRequest(path: "/p.S/List", headers: [("v", "1")]).rule(table) == "service+h")
    #expect(HTTPRequest(path: "/p.T/List").rule(table) == "expression")
    #expect(HTTPRequest(path: "/q.T/Get", headers: [("v", "1")]).rule(table) == "method")
    #expect(HTTPRequest(path: "/q.T/Put", headers: [("v", "1")]).rule(table) == "any+h")
    for path in ["/p.S", "/p.S/", "/p.S/Get/x", "//Get", "/"] { #expect(HTTPRequest(path: path).rule(table) == "any") }
  }

  @Test("a client to whose namespace a consumer rule applies is routed by consumer rules alone")
  func consumers() throws {
    let consumer = try rule("consumer", [HTTPMatch(path: .exact("/x"))], consumer: "b")
    let routes = HTTPRoutes(HTTPRouting(rules: [try rule("producer"), consumer]))
    let (a, b) = (try #require(routes.table(forClientsIn: "a")), try #require(routes.table(forClientsIn: "b")))
    #expect(HTTPRequest(path: "/x").rule(a) == "producer")
    #expect(HTTPRequest(path: "/x").rule(b) == "consumer")
    #expect(HTTPRequest(path: "/y").rule(b) == nil)
    #expect(HTTPRequest(path: "/y").rule(try #require(routes.table(forClientsIn: nil))) == "producer")
    let alone = HTTPRoutes(HTTPRouting(rules: [consumer]))
    #expect(alone.table(forClientsIn: "b") != nil)
    #expect(alone.table(forClientsIn: "a") == nil && alone.table(forClientsIn: nil) == nil)
  }

  @Test("a match with an expression that cannot be compiled never holds, and says why")
  func unusable() throws {
    let routes = HTTPRoutes(
      HTTPRouting(rules: [
        try rule("bad", [HTTPMatch(path: .regex("(")), HTTPMatch(path: .exact("/x"))], consumer: "b"), try rule("all"),
      ]))
    #expect(routes.unusable.map(\.why) == ["regular expression: missing ) (at 1)"])
    let table = try #require(routes.table(forClientsIn: "b"))
    #expect(HTTPRequest(path: "/x").rule(table) == "bad")
    #expect(HTTPRequest(path: "(").rule(table) == nil)
  }
}
