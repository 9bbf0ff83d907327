import MeshBase
import MeshSnapshot

extension ResourceDecoder {
  func grpcRoute(_ top: inout Fields) -> RequestRouteSpec? {
    self.requestRoute(&top, .grpc) { route, spec in
      route.rules(spec.required("rules")?.list() ?? []) { $0.grpcRule(&$1, &$2) }
      return route.rules
    }
  }
}

extension RequestRouteDecoder {
  mutating func grpcRule(_ fields: inout Fields, _ rule: inout HTTPRule) {
    let matches = ResourceDecoder.items(fields.optional("matches"), 64)
    rule.matches =
      matches.isEmpty
      ? [HTTPMatch(path: .grpc(service: nil, method: nil))]
      : matches.compactMap { Self.grpcMatch($0) }
    rule.filters = self.filters(&fields, of: rule)
    rule.backends = self.backends(&fields, of: rule)
    rule.persistence = fields.optional("sessionPersistence").flatMap { self.persistence($0, rule) }
    fields.refuse(
      ["timeouts", "retry"], because: "GRPCRoute has no such field; grpc-timeout of the call holds")
  }

  private static func grpcMatch(_ field: Field) -> HTTPMatch? {
    guard var item = field.fields() else { return nil }
    var path: HTTPMatch.Path? = .grpc(service: nil, method: nil)
    if let field = item.optional("method") { path = Self.grpcPath(field) }
    let headers = Self.headers(item.optional("headers"))
    item.finish()
    return path.map { HTTPMatch(path: $0, headers: headers) }
  }

  private static func grpcPath(_ field: Field) -> HTTPMatch.Path? {
    guard var item = field.fields() else { return nil }
    let type =
      item.optional("type").map { ResourceDecoder.word($0, of: ["Exact", "RegularExpression"]) }
      ?? "Exact"
    let serviceField = item.optional("service")
    let methodField = item.optional("method")
    item.finish()
    if serviceField == nil, methodField == nil {
      field.fail("neither service nor method", next: "add one of them, or remove method")
    }
    guard let type else { return nil }
    func value(_ field: Field?, isService: Bool) -> ValueMatch? {
      guard let field, let text = field.text() else { return nil }
      guard (1...1024).contains(text.utf8.count) else {
        field.fail("\(text.utf8.count) bytes", next: "write 1 to 1024")
        return nil
      }
      if type == "RegularExpression" { return Self.expression(field, text).map { .regex($0) } }
      // A service may begin with a dot.
      var parts = text.split(separator: ".", omittingEmptySubsequences: false)
      if isService, text.hasPrefix(".") { parts.removeFirst() }
      guard isService || parts.count == 1, parts.allSatisfy({ Self.isIdentifier($0) }) else {
        field.fail(
          "\(quotedForMessage(text)) is no \(isService ? "service" : "method") of gRPC",
          next: isService ? "write package.Service" : "write the method's name")
        return nil
      }
      return .exact(text)
    }
    let service = value(serviceField, isService: true)
    let method = value(methodField, isService: false)
    // A value with a problem is not the same as none.
    guard (service == nil) == (serviceField == nil), (method == nil) == (methodField == nil) else {
      return nil
    }
    return .grpc(service: service, method: method)
  }

  private static func isIdentifier(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return text.utf8.allSatisfy {
      switch $0 {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "_"): true
      default: false
      }
    }
  }
}
