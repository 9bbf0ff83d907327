import MeshBase
import MeshRouting
import MeshSnapshot

/// A request as text, and as the table takes it.
struct HTTPRequest {
  var method = "GET"
  var host = "web.a"
  var path = "/"
  var query: String?
  var headers: [(String, String)] = []

  func match(_ table: HTTPRouteTable) -> HTTPRouteTable.Match? {
    var bytes: [UInt8] = []
    func put(_ text: String) -> Range<Int> {
      let first = bytes.count
      bytes += Array(text.utf8)
      return first..<bytes.count
    }
    let head = HTTPRequestHead(
      method: put(self.method), host: put(self.host), query: self.query.map { put($0) },
      fields: self.headers.map { HTTPRequestHead.Field(name: put($0.0), value: put($0.1)) })
    let path = Array(self.path.utf8)
    return table.match(head, in: bytes.span, path: path.span)
  }

  /// The name of the rule that wins.
  func rule(_ table: HTTPRouteTable) -> String? {
    self.match(table).map { table.actions[$0.action].rule.origin.ruleName }
  }
}

func rule(
  _ ruleName: String, _ matches: [HTTPMatch] = [HTTPMatch(path: .prefix("/"))], hosts: [String] = [],
  consumer: String? = nil, filters: [HTTPFilter] = [], backends: [HTTPBackend] = [], kind: RouteOrigin.Kind = .http
) throws -> HTTPRule {
  HTTPRule(
    origin: RouteOrigin(kind: kind, name: try name("a/r"), rule: 0, ruleName: ruleName),
    consumerNamespace: consumer, hostnames: hosts, matches: matches, filters: filters, backends: backends)
}
