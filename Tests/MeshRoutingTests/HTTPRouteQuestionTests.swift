import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

@Suite("A request in words")
struct HTTPRouteQuestionTests {
  private func asked(_ question: HTTPRouteQuestion, _ rules: [HTTPRule]) throws -> String {
    let table = try #require(HTTPRoutes(HTTPRouting(rules: rules)).table(forClientsIn: nil))
    switch question.answer(of: table) {
    case .action(let action): return action.rule.origin.ruleName
    case .noMatch: return "no match"
    case .refused(let refusal): return refusal.rawValue
    }
  }

  @Test("it meets the rule that the proxy would take: canonical path, query, fields, host among them")
  func rules() throws {
    let rules = [
      try rule("a", [HTTPMatch(path: .prefix("/a"))]),
      try rule("header", [HTTPMatch(path: .prefix("/h"), headers: [FieldMatch(name: "x-v", value: .exact("2"))])]),
      try rule("query", [HTTPMatch(path: .prefix("/q"), query: [FieldMatch(name: "v", value: .exact("a b"))])]),
      try rule("host", [HTTPMatch(path: .prefix("/"), headers: [FieldMatch(name: "host", value: .exact("web.test"))])]),
      try rule("post", [HTTPMatch(path: .exact("/p"), method: "POST")]),
    ]
    let cases: [(HTTPRouteQuestion, String)] = [
      (HTTPRouteQuestion(host: "x", target: "/b/../a/%61"), "a"),
      (HTTPRouteQuestion(host: "x", target: "/ab"), "no match"),
      (HTTPRouteQuestion(host: "x", target: "/h", headers: [HeaderField(name: "X-V", value: "2")]), "header"),
      (HTTPRouteQuestion(host: "x", target: "/h", headers: [HeaderField(name: "X-V", value: "3")]), "no match"),
      (HTTPRouteQuestion(host: "x", target: "/q?u&v=a%20b"), "query"), (HTTPRouteQuestion(host: "web.test"), "host"),
      (HTTPRouteQuestion(host: "x", headers: [HeaderField(name: "Host", value: "web.test")]), "host"),
      (HTTPRouteQuestion(method: "POST", host: "x", target: "/p"), "post"),
      (HTTPRouteQuestion(host: "x", target: "/a%2fb"), "path_escaped_slash"),
    ]
    for (question, answer) in cases { #expect(try self.asked(question, rules) == answer, "\(question)") }
  }
}
