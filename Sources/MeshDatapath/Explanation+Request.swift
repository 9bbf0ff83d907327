import MeshBase
package import MeshSnapshot

/// What becomes of one request to a port whose requests are routed. Whoever asks says it: how requests are matched is the
/// business of another target of this floor.
package enum RoutedRequest: Sendable, Hashable {
  case rule(HTTPRule)
  /// All rules are of consumers in other namespaces: the request goes where connections go.
  case unrouted
  /// The proxy answers by itself.
  case answered(status: UInt16, reason: String)
}

extension Explanation {
  /// Where a request was asked for: what the proxy answers by itself, and why. Nil: it leads the request on.
  package struct Answered: Hashable, Sendable {
    package var status: UInt16
    package var reason: String
  }
}

extension ResolvedSnapshot {
  /// The port as the request's rule sees it. Nil: the proxy answers by itself.
  func lead(_ request: RoutedRequest, _ port: ServicePort, _ result: inout Explanation) -> ServicePort? {
    switch request {
    case .unrouted:
      result.steps.append(
        "the port's routes are for clients of other namespaces: the request goes to the Service's own endpoints")
      return port
    case .answered(let status, let reason):
      result.answer(status, reason, "no rule of the port's routes takes the request")
      return nil
    case .rule(let rule):
      result.rule = rule
      let title = "\(rule.origin.kind.rawValue) \(rule.origin.name), rule \(rule.origin.rule)"
      result.steps.append("\(title)\(rule.origin.ruleName.isEmpty ? "" : " (\(rule.origin.ruleName))") decides")
      for case .redirect(let redirect) in rule.filters {
        result.answer(redirect.status, "redirect", "the rule redirects")
        return nil
      }
      let weighted = rule.backends.filter { $0.weight > 0 }
      let redirects = weighted.compactMap(\.redirect)
      if let redirect = redirects.first, redirects.count == weighted.count {
        result.answer(redirect.status, "redirect", "each backend of the rule redirects")
        return nil
      }
      var port = port
      port.backends = weighted.map {
        Backend(service: $0.service, port: $0.port, weight: $0.weight, isValid: $0.isValid)
      }
      guard !port.backends.isEmpty else {
        result.answer(500, "no_backend", "the rule has no backend with weight")
        return nil
      }
      return port
    }
  }
}

extension Explanation {
  mutating func answer(_ status: UInt16, _ reason: String, _ why: String) {
    self.answered = Answered(status: status, reason: reason)
    self.verdict = .allowed
    self.steps.append("\(why): the node proxy answers requests by itself, with \(status) (\(reason))")
  }
}

extension HTTPBackend {
  /// What its share of the requests is answered with.
  fileprivate var redirect: HTTPRedirect? {
    for case .redirect(let redirect) in self.filters { return redirect }
    return nil
  }
}
