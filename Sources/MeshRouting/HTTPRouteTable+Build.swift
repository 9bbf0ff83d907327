import MeshBase
package import MeshSnapshot

extension HTTPRouteTable {
  /// `rules` in the order in which they win where matches are equally specific.
  package init(_ rules: [HTTPRule]) {
    var upstreams = HTTPUpstreams()
    self.init(rules, &upstreams)
  }

  init(_ rules: [HTTPRule], _ upstreams: inout HTTPUpstreams) {
    var builder = Builder()
    for (number, rule) in rules.enumerated() { builder.add(rule, number) }
    let order = builder.found.indices.sorted {
      let (a, b) = (builder.found[$0].precedence, builder.found[$1].precedence)
      return a == b ? $0 < $1 : b.lexicographicallyPrecedes(a)
    }
    var exact: [UInt64: [Int]] = [:]
    var prefixes: [UInt64: [Int]] = [:]
    var longestPrefix = 0
    var others: [Int] = []
    let candidates = order.map { builder.found[$0].candidate }
    for (index, candidate) in candidates.enumerated() {
      switch candidate.path {
      case .exact(let path): exact[PathHash(path).value, default: []].append(index)
      case .prefix(let prefix):
        prefixes[PathHash(prefix).value, default: []].append(index)
        longestPrefix = max(longestPrefix, prefix.count)
      case .regex, .grpc: others.append(index)
      }
    }
    self.init(
      actions: rules.map { HTTPRouteAction($0, &upstreams) }, unusable: builder.unusable, candidates: candidates,
      exact: exact,
      prefixes: prefixes, longestPrefix: longestPrefix, others: others)
  }

  private struct Builder {
    var found: [(precedence: [Int], candidate: Candidate)] = []
    var unusable: [Unusable] = []

    mutating func add(_ rule: HTTPRule, _ number: Int) {
      for match in rule.matches {
        do throws(LinearRegex.Failure) {
          let (path, kind, length) = try Self.path(match.path)
          let headers = try HTTPRouteTable.FieldTest.tests(match.headers)
          let query = try HTTPRouteTable.FieldTest.tests(match.query)
          for host in rule.hostnames.isEmpty ? [nil] : rule.hostnames.map(Optional.some) {
            let (host, exactLength, hostLength) = Self.host(host)
            self.found.append(
              (
                [
                  exactLength, hostLength, kind, length, match.method == nil ? 0 : 1, headers.count, query.count,
                ],
                Candidate(
                  action: number, host: host, path: path, method: match.method.map { Array($0.utf8) },
                  headers: headers, query: query)
              ))
          }
        } catch {
          self.unusable.append(
            Unusable(origin: rule.origin, why: "regular expression: \(error.message) (at \(error.offset))"))
        }
      }
    }

    private static func host(_ name: String?) -> (Candidate.Host?, exact: Int, any: Int) {
      guard let name = name?.lowercased() else { return (nil, 0, 0) }
      if name.hasPrefix("*.") { return (.suffix(Array(name.utf8.dropFirst())), 0, name.utf8.count) }
      return (.exact(Array(name.utf8)), name.utf8.count, name.utf8.count)
    }

    /// With the place of its kind in the order, and its length.
    private static func path(
      _ path: HTTPMatch.Path
    ) throws(LinearRegex.Failure) -> (Candidate.Path, kind: Int, length: Int) {
      switch path {
      case .exact(let path): return (.exact(self.canonical(path)), 20, 0)
      case .prefix(let prefix):
        var prefix = self.canonical(prefix)
        while prefix.last == 0x2f { prefix.removeLast() }
        return (.prefix(prefix), 2, prefix.count)
      case .regex(let pattern): return (.regex(try LinearRegex(pattern)), 3, pattern.utf8.count)
      case .grpc(.exact(let service), .exact(let method)): return (.exact(Array("/\(service)/\(method)".utf8)), 20, 0)
      case .grpc(let service, let method):
        let kind = 3 * self.rank(service) + self.rank(method)
        return (
          .grpc(service: try self.test(service), method: try self.test(method)), kind == 0 ? 1 : 10 + kind, 0
        )
      }
    }

    private static func rank(_ value: ValueMatch?) -> Int {
      switch value {
      case nil: 0
      case .regex: 1
      case .exact: 2
      }
    }

    private static func test(_ match: ValueMatch?) throws(LinearRegex.Failure) -> ValueTest? {
      if let match { try ValueTest(match) } else { nil }
    }

    /// A rule's path is brought into the form that requests have. One that no request can have stays as it is.
    private static func canonical(_ path: String) -> [UInt8] {
      let bytes = Array(path.utf8)
      var output: [UInt8] = []
      return CanonicalPath.form(of: bytes.span, into: &output) == .rewritten ? output : bytes
    }
  }
}

extension HTTPRouteTable.FieldTest {
  /// The first of equal names counts.
  static func tests(_ matches: [FieldMatch]) throws(LinearRegex.Failure) -> [Self] {
    var tests: [Self] = []
    for match in matches {
      let name = Array(match.name.utf8)
      if !tests.contains(where: { $0.name == name }) {
        tests.append(Self(name: name, value: try ValueTest(match.value)))
      }
    }
    return tests
  }
}

extension ValueTest {
  init(_ match: ValueMatch) throws(LinearRegex.Failure) {
    switch match {
    case .exact(let text): self = .exact(Array(text.utf8))
    case .regex(let pattern): self = .regex(try LinearRegex(pattern))
    }
  }
}
