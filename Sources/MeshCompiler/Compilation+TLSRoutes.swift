import MeshBase
import MeshSnapshot

extension Compilation {
  /// What TLSRoutes say about service ports: of each port the rules of all its routes, older first. A port whose requests are
  /// routed has no connections to route; TLSRoute goes before TCPRoute (GEP-1294).
  mutating func compileTLSRoutes(_ requests: RequestRouting) -> [PortKey: [TLSRule]] {
    var result: [PortKey: [TLSRule]] = [:]
    for route in self.tlsRoutes {
      var status = RouteStatus(route.claim.resource.key, parents: route.spec.parents)
      let (backends, unresolved) = self.backends(route.spec.backends, of: route.claim)
      for (index, parent) in route.spec.parents.enumerated() {
        status.parents[index].unresolved = unresolved
        guard !backends.isEmpty, !route.spec.hostnames.isEmpty else { continue }
        switch self.tlsPorts(of: parent) {
        case .failure(let refusal):
          self.refuse(refusal, at: parent.position, route.claim, &status.parents[index])
        case .success(let ports):
          for port in ports {
            let key = PortKey(service: parent.service, port: port.port)
            // Two parents of one route may name one port.
            if result[key]?.contains(where: { $0.route == route.name }) == true {
              status.parents[index].isAccepted = true
              continue
            }
            switch self.freeNames(of: route, at: key, result[key] ?? [], requests) {
            case .failure(let refusal):
              self.report(
                route.claim, at: parent.position, "\(refusal.message): this route is not used there",
                next: refusal.next)
              if !status.parents[index].isAccepted { status.parents[index].refusal = refusal }
            case .success(let names):
              result[key, default: []].append(TLSRule(route: route.name, hostnames: names, backends: backends))
              status.parents[index].isAccepted = true
            }
          }
        }
      }
      self.routeStatuses.append(status)
    }
    return result
  }

  /// A port that is named is taken unless its Service says that its requests are parsed. Where none is named, those that speak TLS
  /// are taken, by `appProtocol` or by the beginning of their name; where none says so, those that say nothing.
  private func tlsPorts(of parent: RouteParent) -> Result<[ServiceSpec.Port], RouteRefusal> {
    let all: [ServiceSpec.Port]
    switch self.namedPorts(of: parent) {
    case .failure(let refusal): return .failure(refusal)
    case .success(let ports): all = ports
    }
    if let refusal = self.headlessRefusal(of: parent) { return .failure(refusal) }
    if parent.port != nil || parent.portName != nil {
      let ports = all.filter { $0.speaksHTTP != true }
      return ports.isEmpty
        ? .failure(
          RouteRefusal(
            .notAllowedByListeners,
            "Service \(parent.service) says that the port speaks HTTP without TLS",
            next: "correct appProtocol of the port, or write an HTTPRoute"))
        : .success(ports)
    }
    let speaking = all.filter { $0.appProtocol == .tls || $0.appProtocol == nil && $0.isNamedForTLS }
    let ports =
      speaking.isEmpty
      ? all.filter { $0.appProtocol == nil && $0.isNamedForHTTP == nil } : speaking
    return ports.isEmpty
      ? .failure(
        RouteRefusal(
          .notAllowedByListeners, "Service \(parent.service) has no port that may speak TLS",
          next: "write appProtocol: tls at the port, or the port in parentRefs"))
      : .success(ports)
  }

  /// The names that no route before it has.
  private mutating func freeNames(
    of route: Placed<TLSRouteSpec>, at key: PortKey, _ before: [TLSRule], _ requests: RequestRouting
  ) -> Result<[String], RouteRefusal> {
    guard requests.rules[key] == nil else {
      return .failure(
        RouteRefusal(
          .conflicted, "Service \(key.service) port \(key.port) has a route of its requests, which goes first",
          next: "give each its port, or remove one of the routes"))
    }
    var free: [String] = []
    var taken: (name: String, by: ResourceName)?
    for name in route.spec.hostnames {
      if let other = before.first(where: { $0.hostnames.contains(name) }) {
        taken = taken ?? (name, other.route)
      } else {
        free.append(name)
      }
    }
    guard let taken else { return .success(free) }
    let message =
      "Service \(key.service) port \(key.port): TLSRoute \(taken.by) routes \(quotedForMessage(taken.name)) already"
    let next = "name each host in one route"
    if free.isEmpty { return .failure(RouteRefusal(.conflicted, message, next: next)) }
    self.report(route.claim, message, next: next)
    return .success(free)
  }
}

extension ServiceSpec.Port {
  /// By the beginning of its name, as Istio has it.
  var isNamedForTLS: Bool { ["tls", "https"].contains(self.name.prefix { $0 != "-" }) }
}
