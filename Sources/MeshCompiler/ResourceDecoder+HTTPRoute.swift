import MeshBase
import MeshSnapshot

/// An HTTPRoute or GRPCRoute being read: what its rules say goes into the entry, what they lead to is resolved later.
struct RequestRouteDecoder {
  let decoder: ResourceDecoder
  let origin: RouteOrigin
  private(set) var references: [RouteReference] = []
  private(set) var rules: [HTTPRule] = []
  private var names: Set<String> = []
  private var matches: Set<HTTPMatch> = []

  init(_ decoder: ResourceDecoder, _ kind: RouteOrigin.Kind, _ name: ResourceName) {
    self.decoder = decoder
    self.origin = RouteOrigin(kind: kind, name: name, rule: 0)
  }

  mutating func add(_ reference: RouteReference) { self.references.append(reference) }

  func origin(_ rule: inout Fields, _ number: Int, _ names: inout Set<String>) -> RouteOrigin {
    var origin = self.origin
    origin.rule = UInt32(clamping: number)
    origin.ruleName = ResourceDecoder.ruleName(&rule, &names)
    return origin
  }

  /// `rules`, each read by `read` after its name.
  mutating func rules(
    _ list: [Field], _ read: (inout RequestRouteDecoder, inout Fields, inout HTTPRule) -> Void
  ) {
    ResourceDecoder.limit(list, 16)
    var total = 0
    for (number, field) in list.enumerated() {
      guard var fields = field.fields() else { continue }
      var names = self.names
      var rule = HTTPRule(origin: self.origin(&fields, number, &names), matches: [])
      self.names = names
      read(&self, &fields, &rule)
      fields.finish()
      total += rule.matches.count
      if total > 128 { field.fail("more than 128 matches in one route", next: "split the route") }
      self.warn(about: rule, field)
      self.rules.append(rule)
    }
  }

  private mutating func warn(about rule: HTTPRule, _ field: Field) {
    if !rule.matches.isEmpty, rule.matches.allSatisfy({ self.matches.contains($0) }) {
      field.warn(
        "never reached: rules before it match the same", next: "remove it, or correct its matches")
    }
    self.matches.formUnion(rule.matches)
    let answers = rule.filters.contains { if case .redirect = $0 { true } else { false } }
    if answers { return }
    if rule.backends.isEmpty {
      field.warn(
        "no backendRefs: requests that match are answered with 500", next: "add backendRefs")
    } else if rule.backends.allSatisfy({ $0.weight == 0 }) {
      field.warn(
        "all weights are 0: requests that match are answered with 500",
        next: "give a backend a weight above 0")
    }
  }
}

extension ResourceDecoder {
  func httpRoute(_ top: inout Fields) -> RequestRouteSpec? {
    self.requestRoute(&top, .http) { route, spec in
      guard let field = spec.optional("rules") else {
        spec.owner.warn("no rules: every request is answered with 500", next: "add spec.rules")
        var rule = HTTPRule(origin: route.origin, matches: [])
        rule.matches = [.everything]
        return [rule]
      }
      route.rules(field.list() ?? []) { $0.httpRule(&$1, &$2) }
      return route.rules
    }
  }

  func requestRoute(
    _ top: inout Fields, _ kind: RouteOrigin.Kind,
    _ rules: (inout RequestRouteDecoder, inout Fields) -> [HTTPRule]
  ) -> RequestRouteSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    let parents = self.parents(&spec)
    if let field = spec.optional("hostnames"), let list = field.list(allowEmpty: true),
      !list.isEmpty
    {
      Self.limit(list, 16)
      for field in list { _ = Self.hostname(field, allowsWildcard: true) }
      field.warn(
        "host names are not looked at for a Service (GEP-1294): what is called decides",
        next: "match header Host, or remove the field")
    }
    guard let key = self.key, let name = ResourceName(namespace: key.namespace, name: key.name)
    else { return nil }
    var route = RequestRouteDecoder(self, kind, name)
    let found = rules(&route, &spec)
    spec.finish()
    return RequestRouteSpec(parents: parents, rules: found, references: route.references)
  }
}

extension HTTPMatch {
  static let everything = HTTPMatch(path: .prefix("/"))
}

extension RequestRouteDecoder {
  mutating func httpRule(_ fields: inout Fields, _ rule: inout HTTPRule) {
    let matches = ResourceDecoder.items(fields.optional("matches"), 64)
    rule.matches = matches.isEmpty ? [.everything] : matches.compactMap { Self.match($0) }
    rule.filters = self.filters(&fields, of: rule)
    rule.backends = self.backends(&fields, of: rule)
    if rule.hasRedirect, !rule.backends.isEmpty {
      fields.owner.fail(
        "a redirect stands beside backendRefs, which it would never reach",
        next: "remove one of the two")
    }
    if let timeouts = fields.optional("timeouts") { Self.timeouts(timeouts, &rule) }
    rule.retry = fields.optional("retry").flatMap { Self.retry($0) }
    rule.persistence = fields.optional("sessionPersistence").flatMap { self.persistence($0, rule) }
  }

  private static func match(_ field: Field) -> HTTPMatch? {
    guard var item = field.fields() else { return nil }
    let pathField = item.optional("path")
    let path = pathField.map { Self.path($0) } ?? .prefix("/")
    let headers = Self.headers(item.optional("headers"))
    let query = Self.query(item.optional("queryParams"))
    let method = item.optional("method").flatMap { ResourceDecoder.word($0, of: Self.methods) }
    item.finish()
    return path.map { HTTPMatch(path: $0, method: method, headers: headers, query: query) }
  }

  static let methods = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
  ]

  private static func path(_ field: Field) -> HTTPMatch.Path? {
    guard var item = field.fields() else { return nil }
    let type =
      item.optional("type").map {
        ResourceDecoder.word($0, of: ["Exact", "PathPrefix", "RegularExpression"])
      } ?? "PathPrefix"
    let valueField = item.optional("value")
    let value = valueField.map { $0.text() } ?? "/"
    item.finish()
    guard let type, let value else { return nil }
    let place = valueField ?? field
    guard value.utf8.count <= 1024 else {
      place.fail("longer than 1024 bytes", next: "shorten it")
      return nil
    }
    if type == "RegularExpression" { return Self.expression(place, value).map { .regex($0) } }
    if let problem = Self.problem(ofPath: value) {
      place.fail(
        "\(quotedForMessage(value)) \(problem)", next: "write a path as requests have it, like /a/b"
      )
      return nil
    }
    return type == "Exact" ? .exact(value) : .prefix(value)
  }

  /// What the schema of HTTPPathMatch says of exact paths and prefixes.
  private static func problem(ofPath path: String) -> String? {
    if !path.hasPrefix("/") { return "does not begin with /" }
    let lower = path.lowercased()
    for part in ["//", "/./", "/../", "%2f", "#"] where lower.contains(part) {
      return "holds \(part)"
    }
    for end in ["/.", "/.."] where path.hasSuffix(end) { return "ends with \(end)" }
    var bytes = Array(path.utf8)[...]
    while let byte = bytes.popFirst() {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: continue
      case UInt8(ascii: "%"):
        let digits = bytes.prefix(2)
        guard digits.count == 2, UInt8(String(decoding: digits, as: UTF8.self), radix: 16) != nil,
          !digits.contains(UInt8(ascii: "+")), !digits.contains(UInt8(ascii: "-"))
        else { return "holds % without two hexadecimal digits" }
        bytes = bytes.dropFirst(2)
      default:
        guard "-/._~!$&'()*+,;=:@".utf8.contains(byte) else { return "holds what no path holds" }
      }
    }
    return nil
  }

  /// The pattern, if our engine, which takes linear time, can run it.
  static func expression(_ field: Field, _ pattern: String) -> String? {
    guard !pattern.isEmpty else {
      field.fail("an empty expression", next: "write one, or remove the match")
      return nil
    }
    do throws(LinearRegex.Failure) {
      _ = try LinearRegex(pattern)
    } catch {
      field.fail(
        "regular expression: \(error.message) (at \(error.offset))",
        next: "use RE2's syntax: no look-around, no back references")
      return nil
    }
    return Self.isPlain(field, pattern) ? pattern : nil
  }

  static func isPlain(_ field: Field, _ text: String) -> Bool {
    guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return true }
    field.fail("holds control characters", next: "write printable characters")
    return false
  }

  /// `{type, name, value}`.
  static func value(_ item: inout Fields, limit: Int, isTrimmed: Bool) -> ValueMatch? {
    let type =
      item.optional("type").map { ResourceDecoder.word($0, of: ["Exact", "RegularExpression"]) }
      ?? "Exact"
    guard let field = item.required("value"), let type else { return nil }
    guard type == "RegularExpression" else {
      return Self.text(field, limit: limit, isTrimmed: isTrimmed).map { .exact($0) }
    }
    return field.text().flatMap { Self.expression(field, $0) }.map { .regex($0) }
  }

  /// A value that is compared, or written.
  static func text(_ field: Field, limit: Int, isTrimmed: Bool) -> String? {
    guard let text = field.text() else { return nil }
    guard (1...limit).contains(text.utf8.count) else {
      field.fail("\(text.utf8.count) bytes", next: "write 1 to \(limit)")
      return nil
    }
    guard Self.isPlain(field, text) else { return nil }
    if isTrimmed, text.hasPrefix(" ") || text.hasSuffix(" ") {
      field.fail(
        "\(quotedForMessage(text)) has a space at an end, which values of headers never have",
        next: "remove the space")
      return nil
    }
    return text
  }

  static func headers(_ field: Field?) -> [FieldMatch] {
    var result: [FieldMatch] = []
    var written: Set<String> = []
    for field in ResourceDecoder.items(field, 16) {
      guard var item = field.fields() else { continue }
      let nameField = item.required("name")
      let name = nameField.flatMap { Self.token($0) }
      let value = Self.value(&item, limit: 4096, isTrimmed: true)
      item.finish()
      guard let nameField, let name else { continue }
      if !written.insert(name).inserted {
        nameField.fail("\(name) stands twice", next: "remove one of them")
      } else if result.contains(where: { $0.name == name.lowercased() }) {
        nameField.warn(
          "names of headers differ in more than case: this one is not looked at", next: "remove it")
        continue
      }
      if let value { result.append(FieldMatch(name: name.lowercased(), value: value)) }
    }
    return result
  }

  private static func query(_ field: Field?) -> [FieldMatch] {
    var result: [FieldMatch] = []
    for field in ResourceDecoder.items(field, 16) {
      guard var item = field.fields() else { continue }
      let nameField = item.required("name")
      let name = nameField.flatMap { Self.token($0) }
      let value = Self.value(&item, limit: 1024, isTrimmed: false)
      item.finish()
      guard let nameField, let name, let value else { continue }
      if result.contains(where: { $0.name == name }) {
        nameField.fail("\(name) stands twice", next: "remove one of them")
      }
      result.append(FieldMatch(name: name, value: value))
    }
    return result
  }

  static func token(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    guard HTTPText.isToken(text), text.utf8.count <= 256 else {
      field.fail(
        "\(quotedForMessage(text)) is no name",
        next: "use at most 256 letters, digits and !#$%&'*+-.^_`|~")
      return nil
    }
    return text
  }
}

extension HTTPRule {
  var hasRedirect: Bool { self.filters.contains { if case .redirect = $0 { true } else { false } } }

  /// A rule's one match is of a prefix: only then is it known what a prefix is replaced in.
  var hasOnePrefix: Bool {
    guard self.matches.count == 1, case .prefix = self.matches[0].path else { return false }
    return true
  }
}
