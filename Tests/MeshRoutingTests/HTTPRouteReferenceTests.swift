import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

/// The specification's text, slowly: every rule is looked at, the better of two is kept.
private enum Reference {
  static func rule(_ rules: [HTTPRule], _ request: HTTPRequest) -> String? {
    var best: (rank: [Int], name: String)?
    for rule in rules {
      for match in rule.matches where self.holds(match, request) {
        for host in rule.hostnames.isEmpty ? [""] : rule.hostnames where self.host(host, request.host) {
          let rank = self.rank(match, host)
          if best.map({ $0.rank.lexicographicallyPrecedes(rank) }) ?? true { best = (rank, rule.origin.ruleName) }
        }
      }
    }
    return best?.name
  }

  static func host(_ pattern: String, _ host: String) -> Bool {
    if pattern.isEmpty || pattern == host { return true }
    return pattern.hasPrefix("*.") && host.hasSuffix(pattern.dropFirst()) && host.count > pattern.count - 1
  }

  static func elements(_ path: String) -> [Substring] {
    var path = path[...]
    while path.hasSuffix("/") { path.removeLast() }
    return path.split(separator: "/", omittingEmptySubsequences: false)
  }

  static func value(_ match: ValueMatch, _ value: String?) -> Bool {
    switch match {
    case .exact(let expected): value == expected
    // Swift's own engine.
    case .regex(let pattern):
      value.flatMap { text in (try? Regex(pattern)).flatMap { try? $0.wholeMatch(in: text) } } != nil
    }
  }

  static func holds(_ match: HTTPMatch, _ request: HTTPRequest) -> Bool {
    switch match.path {
    case .exact(let path): if path != request.path { return false }
    case .prefix(let prefix):
      let prefix = self.elements(prefix)
      if Array(request.path.split(separator: "/", omittingEmptySubsequences: false).prefix(prefix.count)) != prefix {
        return false
      }
    case .regex(let pattern): if !self.value(.regex(pattern), request.path) { return false }
    case .grpc: return false
    }
    if let method = match.method, method != request.method { return false }
    for (index, header) in match.headers.enumerated() {
      if match.headers[..<index].contains(where: { $0.name == header.name }) { continue }
      let values = request.headers.filter { $0.0.lowercased() == header.name }.map(\.1)
      if !self.value(header.value, values.isEmpty ? nil : values.joined(separator: ",")) { return false }
    }
    for parameter in match.query {
      let pairs = (request.query ?? "").split(separator: "&").map { $0.split(separator: "=", maxSplits: 1) }
      let first = pairs.first { $0.first.map(String.init) == parameter.name }
      if !self.value(parameter.value, first.map { $0.count == 2 ? String($0[1]) : "" }) { return false }
    }
    return true
  }

  static func rank(_ match: HTTPMatch, _ host: String) -> [Int] {
    let kind: [Int] =
      switch match.path {
      case .exact: [3, 0]
      case .regex(let pattern): [2, pattern.count]
      case .prefix(let prefix): [1, self.elements(prefix).joined(separator: "/").count]
      case .grpc: [0, 0]
      }
    let names = Set(match.headers.map(\.name)).count
    return [host.hasPrefix("*") ? 0 : host.count, host.count] + kind
      + [match.method == nil ? 0 : 1, names, match.query.count]
  }
}

@Suite struct HTTPRouteReferenceTests {
  private static let paths = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/b/a", "/b/a/"]
  private static let hosts = ["x.com", "a.x.com", "b.a.x.com", "y"]

  private func rules(_ random: inout Steps) throws -> [HTTPRule] {
    try (0..<Int.random(in: 1...8, using: &random)).map { number in
      let matches = (0..<Int.random(in: 1...3, using: &random)).map { _ in self.match(&random) }
      let hosts = ["x.com", "*.x.com", "a.x.com", "*.a.x.com", "y"].filter { _ in
        UInt8.random(in: 0...9, using: &random) == 0
      }
      return try rule("\(number)", matches, hosts: hosts)
    }
  }

  private func value(_ random: inout Steps) -> ValueMatch {
    [ValueMatch.exact("1"), .exact("2"), .exact("1,2"), .regex("[12]"), .regex("(1|2)(,.)*")]
      .randomElement(using: &random) ?? .exact("1")
  }

  private func match(_ random: inout Steps) -> HTTPMatch {
    let path = Self.paths.randomElement(using: &random) ?? "/"
    let kinds: [HTTPMatch.Path] = [
      .exact(path), .prefix(path), .prefix(path), .regex("/[ab]"), .regex("/a(/.*)?"), .regex(".*/a"),
    ]
    func fields(_ names: [String]) -> [FieldMatch] {
      (0..<Int.random(in: 0...2, using: &random)).compactMap { _ in
        names.randomElement(using: &random).map { FieldMatch(name: $0, value: self.value(&random)) }
      }
    }
    var query: [FieldMatch] = []
    for field in fields(["p", "q"]) where !query.contains(where: { $0.name == field.name }) { query.append(field) }
    return HTTPMatch(
      path: kinds.randomElement(using: &random) ?? .exact("/"),
      method: [nil, nil, "GET", "PUT"].randomElement(using: &random) ?? nil,
      headers: fields(["h", "k"]), query: query)
  }

  private func request(_ random: inout Steps) -> HTTPRequest {
    func pairs(_ names: [String]) -> [(String, String)] {
      (0..<Int.random(in: 0...3, using: &random)).map { _ in
        (names.randomElement(using: &random) ?? "", ["1", "2"].randomElement(using: &random) ?? "")
      }
    }
    let query = pairs(["p", "q"]).map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    return HTTPRequest(
      method: ["GET", "PUT", "POST"].randomElement(using: &random) ?? "GET",
      host: Self.hosts.randomElement(using: &random) ?? "y",
      path: Self.paths.randomElement(using: &random) ?? "/", query: query, headers: pairs(["h", "H", "k"]))
  }

  @Test("the table picks what the specification's text picks, for any rules and requests")
  func property() throws {
    var random = Steps(state: 42)
    var matched = 0
    for _ in 0..<400 {
      let rules = try self.rules(&random)
      let table = HTTPRouteTable(rules)
      #expect(table.unusable.isEmpty)
      for _ in 0..<20 {
        let request = self.request(&random)
        let expected = Reference.rule(rules, request)
        if expected != nil { matched += 1 }
        #expect(request.rule(table) == expected, "\(request) by \(rules)")
      }
    }
    #expect(matched > 1000)
  }
}
