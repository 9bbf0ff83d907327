import MeshBase
import MeshSnapshot

extension Compilation {
  /// The ports of a parent that an HTTPRoute or GRPCRoute is attached to: those that are named, or all (GEP-1294), but for those
  /// whose Service says that they speak something else, by `appProtocol` or else by the beginning of their name (`tcp`, `tls`; as
  /// in Istio): bytes that are taken for HTTP would be lost.
  mutating func ports(of parent: RouteParent, _ claim: Claim) -> Result<[PortKey], RouteRefusal> {
    let all: [ServiceSpec.Port]
    switch self.namedPorts(of: parent) {
    case .failure(let refusal): return .failure(refusal)
    case .success(let ports): all = ports
    }
    if let refusal = self.headlessRefusal(of: parent) { return .failure(refusal) }
    let isNamed = parent.port != nil || parent.portName != nil
    let chosen = all.filter {
      $0.speaksHTTP ?? (isNamed || $0.isNamedForHTTP != false)
    }
    guard !chosen.isEmpty else {
      return .failure(
        RouteRefusal(
          .notAllowedByListeners,
          "Service \(parent.service) \(isNamed ? "says that the port does not speak HTTP" : "has no port that may speak HTTP")",
          next: "correct appProtocol of the port, or the route"))
    }
    let silent = chosen.filter { $0.speaksHTTP == nil && $0.isNamedForHTTP == nil }
    if !isNamed, !silent.isEmpty, silent.count < chosen.count {
      self.report(
        claim, at: parent.position, severity: .warning,
        "Service \(parent.service) does not say what \(Self.list(silent)) speaks: the route takes it for HTTP",
        next: "write appProtocol there, or the port in parentRefs")
    }
    return .success(chosen.map { PortKey(service: parent.service, port: $0.port) })
  }

  private static func list(_ ports: [ServiceSpec.Port]) -> String {
    "port\(ports.count == 1 ? "" : "s") \(ports.map { "\($0.port)" }.joined(separator: ", "))"
  }

  func headlessRefusal(of parent: RouteParent) -> RouteRefusal? {
    guard let index = self.serviceIndex[parent.service], self.services[index].spec.isHeadless else { return nil }
    return RouteRefusal(
      .noMatchingParent, "Service \(parent.service) has no address of its own, so that nothing can be routed there",
      next: "remove clusterIP: None")
  }

  /// The ports of the parent that have the number and the name, whatever they speak.
  func namedPorts(of parent: RouteParent) -> Result<[ServiceSpec.Port], RouteRefusal> {
    guard let index = self.serviceIndex[parent.service] else {
      return .failure(
        RouteRefusal(
          .noMatchingParent, "parent Service \(parent.service) does not exist",
          next: "create it, or correct the name"))
    }
    let all = self.services[index].spec.ports
    let ports = all.filter { port in
      (parent.port.map { $0 == port.port } ?? true)
        && (parent.portName.map { $0 == port.name } ?? true)
    }
    guard !ports.isEmpty else {
      return .failure(
        RouteRefusal(
          .noMatchingParent, "Service \(parent.service) has no such port",
          next: "its ports are \(all.map { "\($0.port)" }.joined(separator: ", "))"))
    }
    return .success(ports)
  }

  /// A route may lead to Services of its own namespace and of its parent's, whose clients go there anyway; other namespaces
  /// grant it.
  func resolve(
    _ references: [RouteReference], of claim: Claim, parentNamespace: String
  ) -> ResolvedReferences {
    var result = ResolvedReferences()
    for (index, reference) in references.enumerated() {
      if let refusal = self.refusal(of: reference, claim, parentNamespace: parentNamespace) {
        result.refuse(index, reference, refusal)
      }
    }
    return result
  }

  func refusal(of reference: RouteReference, _ claim: Claim, parentNamespace: String)
    -> RouteRefusal?
  {
    if let other = reference.otherKind {
      return RouteRefusal(
        .invalidKind, "a \(other) cannot be a backend", next: "write group: \"\" and kind: Service")
    }
    let key = claim.resource.key
    guard let index = self.serviceIndex[reference.service] else {
      return RouteRefusal(
        .backendNotFound, "backend Service \(reference.service) does not exist",
        next: "create it, or correct the name")
    }
    let ports = self.services[index].spec.ports
    guard let port = ports.first(where: { $0.port == reference.port }) else {
      return RouteRefusal(
        .backendNotFound, "backend Service \(reference.service) has no port \(reference.port)",
        next: "its ports are \(ports.map { "\($0.port)" }.joined(separator: ", "))")
    }
    if reference.service.namespace != parentNamespace, !self.isGranted(reference.service, to: key) {
      return RouteRefusal(
        .refNotPermitted,
        "Service \(reference.service) is of another namespace, which does not grant it",
        next:
          "add a ReferenceGrant in namespace \(reference.service.namespace) from \(key.kind.rawValue) of \(key.namespace)"
      )
    }
    if key.kind.routesRequests, port.appProtocol == .tls {
      return RouteRefusal(
        .unsupportedProtocol,
        "backend Service \(reference.service) port \(reference.port) wants TLS, which the mesh does not add",
        next: "lead to a port without TLS: the mesh encrypts between hosts")
    }
    return nil
  }

  func isGranted(_ service: ResourceName, to route: ResourceKey) -> Bool {
    service.namespace == route.namespace
      || self.grants.contains { grant in
        grant.name.namespace == service.namespace
          && grant.spec.from.contains { $0.kind == route.kind && $0.namespace == route.namespace }
          && grant.spec.services?.contains(service.name) ?? true
      }
  }
}

extension ServiceSpec.Port {
  /// As its Service says; nil: it says nothing.
  var speaksHTTP: Bool? { self.appProtocol?.needsProxy }

  /// By the beginning of its name, as Istio has it. Nil: the name tells nothing.
  var isNamedForHTTP: Bool? {
    switch self.name.prefix(while: { $0 != "-" }) {
    case "http", "http2", "grpc": true
    case "https", "tls", "tcp", "udp", "mongo", "mysql", "redis": false
    default: nil
    }
  }
}
