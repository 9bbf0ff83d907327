import MeshBase
import MeshSnapshot

struct RoutedBackends {
  var route: ResourceName
  var backends: [Backend]
}

extension Compilation {
  /// What TCPRoutes say about service ports. Of two routes for one port the first holds; a port whose requests are routed for
  /// all clients, or whose TLS connections are, has no connections to route (GEP-1294).
  mutating func compileConnectionRoutes(
    _ requests: RequestRouting, _ names: [PortKey: [TLSRule]]
  ) -> [PortKey: RoutedBackends] {
    var result: [PortKey: RoutedBackends] = [:]
    for route in self.routes {
      var status = RouteStatus(route.claim.resource.key, parents: route.spec.parents)
      let (backends, unresolved) = self.backends(route.spec.backends, of: route.claim)
      for (index, parent) in route.spec.parents.enumerated() {
        status.parents[index].unresolved = unresolved
        guard !backends.isEmpty else { continue }
        switch self.namedPorts(of: parent) {
        case .failure(let refusal):
          self.refuse(refusal, at: parent.position, route.claim, &status.parents[index])
        case .success(let ports):
          for port in ports {
            let key = PortKey(service: parent.service, port: port.port)
            if let refusal = self.conflict(of: route.name, at: key, result[key], requests, names) {
              self.report(
                route.claim, at: parent.position,
                "\(refusal.message): this route is not used there", next: refusal.next)
              status.parents[index].refusal = refusal
              // Of two of the same kind both are accepted, and the first holds (Gateway API, conflicts).
              if result[key] != nil { status.parents[index].isAccepted = true }
            } else {
              result[key] = RoutedBackends(route: route.name, backends: backends)
              status.parents[index].isAccepted = true
            }
          }
        }
      }
      self.routeStatuses.append(status)
    }
    return result
  }

  private func conflict(
    of route: ResourceName, at key: PortKey, _ other: RoutedBackends?, _ requests: RequestRouting,
    _ names: [PortKey: [TLSRule]]
  ) -> RouteRefusal? {
    if let first = names[key]?.first {
      return RouteRefusal(
        .conflicted, "Service \(key.service) port \(key.port) has TLSRoute \(first.route), which goes first",
        next: "give each its port, or remove one of the routes")
    }
    if requests.hasProducer(key) {
      return RouteRefusal(
        .conflicted,
        "Service \(key.service) port \(key.port) has a route of its requests, which goes first",
        next: "give each its port, or remove one of the routes")
    }
    guard let other, other.route != route else { return nil }
    return RouteRefusal(
      .conflicted,
      "Service \(key.service) port \(key.port) is routed by TCPRoute \(other.route) already",
      next: "join the two routes, or give each its port")
  }

  /// A backend that does not resolve stays, with its weight, and refuses its share (Gateway API, BackendRef).
  mutating func backends(
    _ refs: [TCPRouteSpec.BackendRef], of claim: Claim
  ) -> ([Backend], unresolved: RouteRefusal?) {
    var first: RouteRefusal?
    var backends: [Backend] = []
    for ref in refs {
      let reference = RouteReference(
        service: ref.service, port: ref.port, use: .backend, position: ref.position)
      let refusal = self.refusal(
        of: reference, claim, parentNamespace: claim.resource.key.namespace)
      if let refusal {
        self.report(
          claim, at: ref.position, "\(refusal.message): its share of the connections is refused",
          next: refusal.next)
      }
      first = first ?? refusal
      backends.append(
        Backend(service: ref.service, port: ref.port, weight: ref.weight, isValid: refusal == nil))
    }
    return (backends, first)
  }
}
