package import MeshBase
package import MeshSnapshot

/// A request in words, to ask which rule it would meet.
package struct HTTPRouteQuestion: Sendable, Hashable {
  package var method: String
  /// Without a port.
  package var host: String
  /// With `?` and the query, if there is one.
  package var target: String
  package var headers: [HeaderField]

  package init(method: String = "GET", host: String, target: String = "/", headers: [HeaderField] = []) {
    self.method = method
    self.host = host
    self.target = target
    self.headers = headers
  }

  package enum Answer: Sendable {
    /// The rule that wins.
    case action(HTTPRouteAction)
    /// 404.
    case noMatch
    /// 400: the path has no canonical form.
    case refused(CanonicalPath.Refusal)
  }

  /// As the proxy does it: the path in its canonical form, `host` among the fields.
  package func answer(of table: HTTPRouteTable) -> Answer {
    let parts = self.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var path = Array((parts.first ?? "").utf8)
    var canonical: [UInt8] = []
    switch CanonicalPath.form(of: path.span, into: &canonical) {
    case .same: break
    case .rewritten: path = canonical
    case .refused(let refusal): return .refused(refusal)
    }
    var bytes: [UInt8] = []
    func put(_ text: some StringProtocol) -> Range<Int> {
      let first = bytes.count
      bytes += Array(text.utf8)
      return first..<bytes.count
    }
    let named = self.headers.contains { $0.name.lowercased() == "host" }
    let fields = (named ? [] : [HeaderField(name: "host", value: self.host)]) + self.headers
    let head = HTTPRequestHead(
      method: put(self.method), host: put(self.host), query: parts.count > 1 ? put(parts[1]) : nil,
      fields: fields.map { HTTPRequestHead.Field(name: put($0.name), value: put($0.value)) })
    guard let match = table.match(head, in: bytes.span, path: path.span) else { return .noMatch }
    return .action(table.actions[match.action])
  }
}
