import MeshBase
import MeshSnapshot

/// What HTTPRoutes and GRPCRoutes say about service ports.
struct RequestRouting {
  var rules: [PortKey: [HTTPRule]] = [:]
  /// What a port speaks whose Service does not say it. No consumer does: the others' connections there stay bytes.
  var protocols: [PortKey: AppProtocol] = [:]

  /// A route of the Service's own namespace: it is for every client.
  func hasProducer(_ key: PortKey) -> Bool {
    self.rules[key]?.contains { $0.consumerNamespace == nil } ?? false
  }
}

extension Compilation {
  /// Routes that were attached, before those of different kinds for one port are told apart.
  private struct Attachment {
    var route: Int
    var parent: Int
    var key: PortKey
  }

  /// Who is routed by a route: all clients of a port, or those of one namespace.
  private struct Scope: Hashable {
    var key: PortKey
    var consumers: String?
  }

  /// Rules of several routes for a port in the order of the routes: older first, then by namespace and name. Where routes of
  /// both kinds are attached for the same clients, GRPCRoute has the port (GEP-1294).
  mutating func compileRequestRoutes() -> RequestRouting {
    var statuses = self.requestRoutes.map {
      RouteStatus($0.claim.resource.key, parents: $0.spec.parents)
    }
    var attachments: [Attachment] = []
    for (number, route) in self.requestRoutes.enumerated() {
      for (index, parent) in route.spec.parents.enumerated() {
        switch self.ports(of: parent, route.claim) {
        case .failure(let refusal):
          self.refuse(refusal, at: parent.position, route.claim, &statuses[number].parents[index])
        case .success(let keys):
          attachments += keys.map { Attachment(route: number, parent: index, key: $0) }
        }
      }
    }
    func scope(_ attachment: Attachment) -> Scope {
      let own = self.requestRoutes[attachment.route].name.namespace
      return Scope(
        key: attachment.key, consumers: own == attachment.key.service.namespace ? nil : own)
    }
    let calls = Set(attachments.filter { self.kind($0.route) == .grpc }.map { scope($0) })
    var routing = RequestRouting()
    var resolved: [[String: ResolvedReferences]] = self.requestRoutes.map { _ in [:] }
    attachments.sort { ($0.route, $0.parent, $0.key.port) < ($1.route, $1.parent, $1.key.port) }
    var conflicts: [Attachment] = []
    var seen: Set<Scope> = []
    var last = -1
    for attachment in attachments {
      let scope = scope(attachment)
      if self.kind(attachment.route) == .http, calls.contains(scope) {
        conflicts.append(attachment)
        continue
      }
      statuses[attachment.route].parents[attachment.parent].isAccepted = true
      if last != attachment.route { seen = [] }
      last = attachment.route
      guard seen.insert(scope).inserted else { continue }
      let route = self.requestRoutes[attachment.route]
      let namespace = attachment.key.service.namespace
      let references: ResolvedReferences
      if let known = resolved[attachment.route][namespace] {
        references = known
      } else {
        references = self.resolve(
          route.spec.references, of: route.claim, parentNamespace: namespace)
        resolved[attachment.route][namespace] = references
      }
      routing.rules[attachment.key, default: []] += route.spec.rules.map {
        references.apply(to: $0, consumers: scope.consumers)
      }
      if scope.consumers == nil, routing.protocols[attachment.key] == nil {
        routing.protocols[attachment.key] = self.kind(attachment.route) == .grpc ? .grpc : .http
      }
    }
    for conflict in conflicts {
      let route = self.requestRoutes[conflict.route]
      let parent = route.spec.parents[conflict.parent]
      let refusal = RouteRefusal(
        .conflicted,
        "Service \(conflict.key.service) port \(conflict.key.port) has a GRPCRoute, which goes first",
        next: "give each its port, or write one GRPCRoute")
      self.report(
        route.claim, at: parent.position, "\(refusal.message): this route is not used there",
        next: refusal.next)
      if !statuses[conflict.route].parents[conflict.parent].isAccepted {
        statuses[conflict.route].parents[conflict.parent].refusal = refusal
      }
    }
    self.finish(&statuses, resolved)
    return routing
  }

  private func kind(_ route: Int) -> RouteOrigin.Kind {
    self.requestRoutes[route].claim.resource.key.kind == .grpcRoute ? .grpc : .http
  }

  /// References are resolved for every parent, those that did not accept the route too.
  private mutating func finish(
    _ statuses: inout [RouteStatus], _ resolved: [[String: ResolvedReferences]]
  ) {
    for number in statuses.indices {
      let route = self.requestRoutes[number]
      var known = resolved[number]
      for index in statuses[number].parents.indices {
        let namespace = statuses[number].parents[index].parent.service.namespace
        let references =
          known[namespace]
          ?? self.resolve(route.spec.references, of: route.claim, parentNamespace: namespace)
        known[namespace] = references
        statuses[number].parents[index].unresolved = references.first
      }
      self.reportReferences(Array(known.values), of: route)
    }
    self.routeStatuses += statuses
  }

  /// Each problem once, however many parents have it.
  private mutating func reportReferences(
    _ resolved: [ResolvedReferences], of route: Placed<RequestRouteSpec>
  ) {
    for (index, reference) in route.spec.references.enumerated() {
      guard let refusal = resolved.lazy.compactMap({ $0.refusals[index] }).first else { continue }
      let effect =
        reference.use == .backend
        ? "its share of the requests is answered with 500" : "nothing is mirrored to it"
      self.report(
        route.claim, at: reference.position, "\(refusal.message): \(effect)", next: refusal.next)
    }
  }

  mutating func refuse(
    _ refusal: RouteRefusal, at position: FieldPosition, _ claim: Claim,
    _ status: inout RouteStatus.Parent
  ) {
    status.refusal = refusal
    self.report(claim, at: position, refusal.message, next: refusal.next)
  }
}

/// Which references of a route lead somewhere.
struct ResolvedReferences {
  private(set) var refusals: [Int: RouteRefusal] = [:]
  private var invalid: Set<PortKey> = []

  mutating func refuse(_ index: Int, _ reference: RouteReference, _ refusal: RouteRefusal) {
    self.refusals[index] = refusal
    // What is no Service is marked in the rule already, and a Service may have its name.
    if reference.otherKind == nil {
      self.invalid.insert(PortKey(service: reference.service, port: reference.port))
    }
  }

  /// The first, as written.
  var first: RouteRefusal? { self.refusals.min { $0.key < $1.key }?.value }

  /// The rule as it is distributed.
  func apply(to rule: HTTPRule, consumers: String?) -> HTTPRule {
    var rule = rule
    rule.consumerNamespace = consumers
    self.apply(to: &rule.filters)
    for index in rule.backends.indices {
      self.apply(to: &rule.backends[index])
      self.apply(to: &rule.backends[index].filters)
    }
    return rule
  }

  private func apply(to filters: inout [HTTPFilter]) {
    for index in filters.indices {
      guard case .mirror(var mirror) = filters[index] else { continue }
      self.apply(to: &mirror.backend)
      filters[index] = .mirror(mirror)
    }
  }

  private func apply(to backend: inout HTTPBackend) {
    if self.invalid.contains(PortKey(service: backend.service, port: backend.port)) {
      backend.isValid = false
    }
  }
}
