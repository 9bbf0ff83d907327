package import MeshSnapshot

/// The HTTP routing of a service port: a table for the clients of each namespace that has consumer rules, and one for all others.
/// A connection's client does not change, so its table is looked up once.
package struct HTTPRoutes: Sendable {
  private let others: HTTPRouteTable?
  private let consumers: [String: HTTPRouteTable]
  /// What the tables' numbers of upstreams mean.
  package let upstreams: [HTTPUpstreams.Target]

  package init(_ routing: HTTPRouting) {
    var consumers: [String: [HTTPRule]] = [:]
    var others: [HTTPRule] = []
    for rule in routing.rules {
      if let namespace = rule.consumerNamespace {
        consumers[namespace, default: []].append(rule)
      } else {
        others.append(rule)
      }
    }
    var upstreams = HTTPUpstreams()
    self.others = others.isEmpty ? nil : HTTPRouteTable(others, &upstreams)
    self.consumers = consumers.mapValues { HTTPRouteTable($0, &upstreams) }
    self.upstreams = upstreams.targets
  }

  /// Whether a client's namespace makes a difference.
  package var hasConsumers: Bool { !self.consumers.isEmpty }

  /// Nil: there are rules for others only, so that this client's requests go where connections go. `namespace`: nil: it is not
  /// known; asked only where it makes a difference.
  package func table(forClientsIn namespace: @autoclosure () -> String?) -> HTTPRouteTable? {
    guard self.hasConsumers else { return self.others }
    return namespace().flatMap { self.consumers[$0] } ?? self.others
  }

  /// Rules with a match that could not be compiled, and why; that match never holds.
  package var unusable: [HTTPRouteTable.Unusable] {
    (self.others?.unusable ?? []) + self.consumers.sorted { $0.key < $1.key }.flatMap { $0.value.unusable }
  }
}
