import MeshBase
import MeshSnapshot

// Filters and backends of HTTPRoute and GRPCRoute.

extension RequestRouteDecoder {
  private enum Kind: String, CaseIterable {
    case requestHeaders = "RequestHeaderModifier"
    case responseHeaders = "ResponseHeaderModifier"
    case mirror = "RequestMirror"
    case redirect = "RequestRedirect"
    case rewrite = "URLRewrite"
    case cors = "CORS"
    case externalAuth = "ExternalAuth"
    case extensionRef = "ExtensionRef"

    /// The field that says more.
    var field: String {
      switch self {
      case .requestHeaders: "requestHeaderModifier"
      case .responseHeaders: "responseHeaderModifier"
      case .mirror: "requestMirror"
      case .redirect: "requestRedirect"
      case .rewrite: "urlRewrite"
      case .cors: "cors"
      case .externalAuth: "externalAuth"
      case .extensionRef: "extensionRef"
      }
    }

    static let ofGRPC: [Kind] = [.requestHeaders, .responseHeaders, .mirror, .extensionRef]
  }

  /// `filters` of a rule, or of one of its backends.
  mutating func filters(_ owner: inout Fields, of rule: HTTPRule, isBackend: Bool = false)
    -> [HTTPFilter]
  {
    var seen: Set<Kind> = []
    var result: [HTTPFilter] = []
    for field in ResourceDecoder.items(owner.optional("filters"), 16) {
      guard var item = field.fields() else { continue }
      let kinds = self.origin.kind == .http ? Kind.allCases : Kind.ofGRPC
      let typeField = item.required("type")
      let kind = typeField.flatMap { ResourceDecoder.word($0, of: kinds.map(\.rawValue)) }.flatMap {
        Kind(rawValue: $0)
      }
      for other in kinds where other != kind {
        if let extra = item.optional(other.field) {
          extra.fail(
            "does not belong to a filter of this type",
            next: "write type: \(other.rawValue), or remove it")
        }
      }
      guard let typeField, let kind else { continue }
      if kind != .mirror, !seen.insert(kind).inserted {
        typeField.fail("a second \(kind.rawValue)", next: "join the two")
      }
      if let body = item.required(kind.field),
        let filter = self.filter(kind, typeField, body, rule, isBackend)
      {
        result.append(filter)
      }
      item.finish()
      if seen.isSuperset(of: [.redirect, .rewrite]) {
        typeField.fail("a redirect and a rewrite exclude each other", next: "remove one of them")
      }
    }
    return result
  }

  private mutating func filter(
    _ kind: Kind, _ type: Field, _ body: Field, _ rule: HTTPRule, _ isBackend: Bool
  ) -> HTTPFilter? {
    switch kind {
    case .requestHeaders: return Self.edit(body).map { .requestHeaders($0) }
    case .responseHeaders: return Self.edit(body).map { .responseHeaders($0) }
    case .mirror: return self.mirror(body).map { .mirror($0) }
    case .rewrite: return Self.rewrite(body, rule).map { .rewrite($0) }
    case .redirect: return Self.redirect(body, rule).map { .redirect($0) }
    case .cors:
      if isBackend {
        type.fail("answers before a backend is chosen", next: "write it in the rule's own filters")
      }
      return Self.cors(body).map { .cors($0) }
    case .externalAuth, .extensionRef:
      type.fail("not supported: requests would pass without it", next: "remove the filter")
      return nil
    }
  }

  private static func edit(_ field: Field) -> HeaderEdit? {
    guard var item = field.fields() else { return nil }
    var edit = HeaderEdit()
    var seen: Set<String> = []
    func name(_ field: Field) -> String? {
      guard let name = Self.token(field)?.lowercased() else { return nil }
      guard !HeaderEdit.untouchable.contains(name) else {
        field.fail(
          "\(name) belongs to the message's framing or to the hop",
          next: name == "host" ? "use URLRewrite" : "remove it")
        return nil
      }
      guard seen.insert(name).inserted else {
        field.fail("a second action for \(name)", next: "write one; join values with a comma")
        return nil
      }
      return name
    }
    func list(_ field: Field?) -> [HeaderField] {
      ResourceDecoder.items(field, 16).compactMap { field in
        guard var item = field.fields() else { return nil }
        let name = item.required("name").flatMap { name($0) }
        let value = item.required("value").flatMap { Self.text($0, limit: 4096, isTrimmed: true) }
        item.finish()
        guard let name, let value else { return nil }
        return HeaderField(name: name, value: value)
      }
    }
    edit.set = list(item.optional("set"))
    edit.add = list(item.optional("add"))
    edit.remove = ResourceDecoder.items(item.optional("remove"), 16).compactMap { name($0) }
    item.finish()
    return edit
  }

  private static func redirect(_ field: Field, _ rule: HTTPRule) -> HTTPRedirect? {
    guard var item = field.fields() else { return nil }
    let scheme = item.optional("scheme").flatMap {
      ResourceDecoder.word($0, of: ["http", "https"])
    }
    let hostname = item.optional("hostname").flatMap { ResourceDecoder.hostname($0) }
    let path = item.optional("path").flatMap { Self.path($0, rule) }
    let port = item.optional("port")?.port()
    var status: UInt16 = 302
    if let field = item.optional("statusCode"), let number = field.number(300...399) {
      status = UInt16(clamping: number)
      if !HTTPRedirect.statuses.contains(status) {
        field.fail("\(number) is no redirect here", next: "use 301, 302, 303, 307 or 308")
      }
    }
    item.finish()
    return HTTPRedirect(scheme: scheme, hostname: hostname, path: path, port: port, status: status)
  }

  private static func rewrite(_ field: Field, _ rule: HTTPRule) -> HTTPRewrite? {
    guard var item = field.fields() else { return nil }
    let hostname = item.optional("hostname").flatMap { ResourceDecoder.hostname($0) }
    let path = item.optional("path").flatMap { Self.path($0, rule) }
    item.finish()
    return HTTPRewrite(hostname: hostname, path: path)
  }

  private static func path(_ field: Field, _ rule: HTTPRule) -> PathRewrite? {
    guard var item = field.fields() else { return nil }
    let type = item.required("type").flatMap {
      ResourceDecoder.word($0, of: ["ReplaceFullPath", "ReplacePrefixMatch"])
    }
    func text(_ name: String, of kind: String) -> String? {
      guard type == kind else {
        if let field = item.optional(name), type != nil {
          field.fail("does not belong to \(type ?? "")", next: "write type: \(kind), or remove it")
        }
        return nil
      }
      guard let field = item.required(name), let text = field.text(), Self.isPlain(field, text)
      else { return nil }
      guard text.utf8.count <= 1024 else {
        field.fail("longer than 1024 bytes", next: "shorten it")
        return nil
      }
      guard
        text.utf8.allSatisfy({
          $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
        })
      else {
        field.fail("holds what no path holds", next: "write a path, other bytes as %xx")
        return nil
      }
      return text
    }
    let full = text("replaceFullPath", of: "ReplaceFullPath")
    let prefix = text("replacePrefixMatch", of: "ReplacePrefixMatch")
    item.finish()
    if type == "ReplacePrefixMatch", !rule.hasOnePrefix {
      field.fail(
        "a prefix is replaced where exactly one PathPrefix match is given",
        next: "give the rule one match, of a prefix")
    }
    return full.map { .full($0) } ?? prefix.map { .prefix($0) }
  }

  private mutating func mirror(_ field: Field) -> HTTPMirror? {
    guard var item = field.fields() else { return nil }
    let backend = item.required("backendRef").flatMap { field -> HTTPBackend? in
      guard var reference = field.fields() else { return nil }
      let backend = self.reference(&reference, .mirror)
      reference.finish()
      return backend
    }
    let percentField = item.optional("percent")
    let percent = percentField?.number(0...100)
    var share: (UInt32, UInt32) = (UInt32(clamping: percent ?? 100), 100)
    if let fractionField = item.optional("fraction"), var fraction = fractionField.fields() {
      if percentField != nil {
        fractionField.fail("percent and fraction exclude each other", next: "keep one")
      }
      let range: ClosedRange<Int64> = 0...Int64(Int32.max)
      let numerator = fraction.required("numerator")?.number(range)
      let denominator =
        fraction.optional("denominator").map { $0.number(1...range.upperBound) } ?? 100
      fraction.finish()
      if let numerator, let denominator {
        if numerator > denominator {
          fractionField.fail("more than the whole", next: "write at most the denominator")
        }
        share = (UInt32(clamping: numerator), UInt32(clamping: denominator))
      }
    }
    item.finish()
    return backend.map { HTTPMirror(backend: $0, numerator: share.0, denominator: share.1) }
  }

  /// `backendRefs` of a rule.
  mutating func backends(_ owner: inout Fields, of rule: HTTPRule) -> [HTTPBackend] {
    var result: [HTTPBackend] = []
    for field in ResourceDecoder.items(owner.optional("backendRefs"), 16) {
      guard var item = field.fields() else { continue }
      let filters = self.filters(&item, of: rule, isBackend: true)
      let weight = item.optional("weight").map { $0.number(0...1_000_000) } ?? 1
      var backend = self.reference(&item, .backend)
      item.finish()
      let replacesBoth =
        (rule.filters + filters).filter { if case .rewrite = $0 { true } else { false } }.count > 1
      if replacesBoth {
        field.warn(
          "rewrites what the rule rewrites too: the backend's holds", next: "keep one of them")
      }
      guard let weight else { continue }
      backend?.weight = UInt32(clamping: weight)
      backend?.filters = filters
      if let backend { result.append(backend) }
    }
    return result
  }

  /// What is no Service stays in the route, and its share is answered with 500 (InvalidKind).
  private mutating func reference(_ item: inout Fields, _ use: RouteReference.Use) -> HTTPBackend? {
    let group = item.optional("group").map { $0.text() } ?? ""
    let kind = item.optional("kind").map { $0.text() } ?? "Service"
    let isService = group == "" && kind == "Service"
    let namespace = self.decoder.namespaceOfReference(&item)
    let name = ResourceDecoder.serviceName(&item)
    let port =
      (isService ? item.required("port") : item.optional("port")).map { $0.port() }
      ?? (isService ? nil : 1)
    guard let group, let kind, let namespace, let name, let port,
      let service = ResourceName(namespace: namespace, name: name)
    else { return nil }
    self.add(
      RouteReference(
        service: service, port: port, use: use,
        otherKind: isService
          ? nil : "\(quotedForMessage(kind)) of group \(quotedForMessage(group))",
        position: item.owner.position))
    return HTTPBackend(service: service, port: port, isValid: isService)
  }
}
