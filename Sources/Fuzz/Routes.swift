import MeshBase
import MeshRouting
import MeshSnapshot

/// Lines: method, host, path, query, then fields as `name: value`; or, for every fourth, an expression and a text.
func fuzzRoutes(_ bytes: [UInt8], cut: Int) {
  let lines = bytes.split(separator: 0x0a, maxSplits: 200, omittingEmptySubsequences: false)
  guard cut % 4 != 3 else { return fuzzExpression(lines) }
  guard lines.count >= 4 else { return }
  var path: [UInt8] = []
  switch CanonicalPath.form(of: Array(lines[2]).span, into: &path) {
  case .refused: return
  case .same: path = Array(lines[2])
  case .rewritten:
    var again: [UInt8] = []
    let form = CanonicalPath.form(of: path.span, into: &again)
    expect(form == .same || form == .rewritten && again == path, "a canonical path is not canonical:", text(path))
  }
  var input: [UInt8] = []
  func put(_ bytes: some Collection<UInt8>) -> Range<Int> {
    let first = input.count
    input += bytes
    return first..<input.count
  }
  let (method, host) = (put(lines[0]), put(lines[1]))
  let query = lines[3].isEmpty ? nil : put(lines[3])
  let fields = lines[4...].compactMap { line -> HTTPRequestHead.Field? in
    guard let colon = line.firstIndex(of: 0x3a) else { return nil }
    return .init(name: put(line[..<colon]), value: put(line[line.index(after: colon)...]))
  }
  let head = HTTPRequestHead(method: method, host: host, query: query, fields: fields)
  // The same rules, given in another order: precedence does not hang on it where matches differ.
  let first = table.match(head, in: input.span, path: path.span)
  let second = reversed.match(head, in: input.span, path: path.span)
  expect(
    first.map { table.actions[$0.action].rule.origin.ruleName }
      == second.map { reversed.actions[$0.action].rule.origin.ruleName }, "the order of rules decides:", text(bytes))
  guard let first else { return }
  for effects in [table.actions[first.action].effects] {
    guard let rewrite = effects.rewrite?.path else { continue }
    let changed = Array(rewrite.applied(to: String(decoding: path, as: UTF8.self), prefix: first.prefix).utf8)
    expect(changed.first == 0x2f, "a path that was rewritten is none:", text(changed))
  }
}

/// Compiling and matching end, and soon: the time is libFuzzer's to watch.
private func fuzzExpression(_ lines: [ArraySlice<UInt8>]) {
  guard let pattern = lines.first, pattern.count <= 256,
    let expression = try? LinearRegex(String(decoding: pattern, as: UTF8.self))
  else { return }
  for line in lines.dropFirst() { _ = expression.matches(Array(line).span) }
}

private let table = HTTPRouteTable(rules)
private let reversed = HTTPRouteTable(rules.reversed())

/// Every kind of match, no two that hold for one request with the same rank.
private let rules: [HTTPRule] = {
  guard let name = ResourceName("a/r") else { return [] }
  let matches: [(HTTPMatch, [HTTPFilter])] = [
    (HTTPMatch(path: .prefix("/")), []), (HTTPMatch(path: .prefix("/a")), [.rewrite(.init(path: .prefix("/z")))]),
    (HTTPMatch(path: .prefix("/a/b")), [.rewrite(.init(path: .full("/whole")))]),
    (HTTPMatch(path: .exact("/a/b/c")), []), (HTTPMatch(path: .exact("/a/b/c"), method: "POST"), []),
    (HTTPMatch(path: .regex("/[a-c]+/(x|yy)*")), []),
    (HTTPMatch(path: .prefix("/"), headers: [.init(name: "x-a", value: .exact("1"))]), []),
    (
      HTTPMatch(
        path: .prefix("/"),
        headers: [.init(name: "x-a", value: .exact("1")), .init(name: "x-b", value: .regex("[0-9]+"))]), []
    ),
    (HTTPMatch(path: .prefix("/"), query: [.init(name: "q", value: .exact("v w"))]), []),
  ]
  return matches.enumerated().map { index, match in
    HTTPRule(
      origin: RouteOrigin(kind: .http, name: name, rule: UInt32(index), ruleName: "\(index)"), matches: [match.0],
      filters: match.1, backends: [])
  }
}()
