package import MeshBase
package import MeshSnapshot

extension Explanation {
  /// What of a connection is asked about beside its two ends. How it is matched is the business of another target of this floor, so
  /// whoever asks says it.
  package struct Inside {
    package static var nothing: Inside { Inside() }

    /// What becomes of the request, at a port whose requests are routed.
    package var request: ((HTTPRouting, _ source: ResourceName) -> RoutedRequest)?
    package var server: Server?

    /// The name in a ClientHello, and which of a port's rules is for it.
    package struct Server {
      package var name: String
      package var rule: ([TLSRule]) -> TLSRule?

      package init(name: String, rule: @escaping ([TLSRule]) -> TLSRule?) {
        self.name = name
        self.rule = rule
      }
    }

    package init(
      request: ((HTTPRouting, _ source: ResourceName) -> RoutedRequest)? = nil, server: Server? = nil
    ) {
      self.request = request
      self.server = server
    }
  }
}

extension ResolvedSnapshot {
  /// The port as the name's rule sees it. Nil: the proxy closes the connection.
  func lead(_ server: Explanation.Inside.Server, _ port: ServicePort, _ result: inout Explanation) -> ServicePort? {
    guard let rule = server.rule(port.tlsRules) else {
      result.closed = "tls_no_route"
      result.steps.append(
        "no TLSRoute of the port is for \(server.name): the node proxy closes the connection (tls_no_route)")
      return nil
    }
    result.tlsRule = rule
    result.steps.append("TLSRoute \(rule.route) (\(rule.hostnames.joined(separator: ", "))) decides for \(server.name)")
    var port = port
    port.backends = rule.backends.filter { $0.weight > 0 }
    return port
  }
}
