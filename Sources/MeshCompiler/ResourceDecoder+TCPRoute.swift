import MeshBase

extension ResourceDecoder {
  private static let gatewayGroup = "gateway.networking.k8s.io"

  func tcpRoute(_ top: inout Fields) -> TCPRouteSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    var parents: [TCPRouteSpec.Parent] = []
    for field in spec.required("parentRefs")?.list() ?? [] {
      guard let parent = self.parent(field) else { continue }
      let isTwice = parents.contains {
        $0.service == parent.service && $0.port == parent.port && $0.portName == parent.portName
      }
      if isTwice { field.fail("the same parent stands twice", next: "remove one of them") }
      parents.append(parent)
    }
    var backends: [TCPRouteSpec.BackendRef] = []
    if let field = spec.required("rules"), let rules = field.list() {
      if rules.count > 1 {
        rules[1].fail(
          "TCP connections have nothing to choose a rule by, so that this one can never match",
          next: "write one rule with several weighted backendRefs")
      }
      if let rule = rules.first { backends = self.rule(rule) }
    }
    spec.refuse(["hostnames"], because: "TCP connections carry no host name")
    spec.finish()
    return TCPRouteSpec(parents: parents, backends: backends)
  }

  private func parent(_ field: Field) -> TCPRouteSpec.Parent? {
    guard var item = field.fields() else { return nil }
    let group = item.optional("group")?.text() ?? Self.gatewayGroup
    let kind = item.optional("kind")?.text() ?? "Gateway"
    if kind != "Service" || !group.isEmpty {
      field.fail(
        "the parent is a \(quotedForMessage(kind)) of group \(quotedForMessage(group)): the mesh has no gateways yet",
        next: "write group: \"\" and kind: Service")
    }
    if let field = item.optional("namespace"), let text = field.text(), let own = self.namespace, text != own {
      field.fail(
        "a consumer route (for a Service of another namespace, GEP-1294) is not supported for TCP",
        next: "put the route into the Service's namespace \(quotedForMessage(text))")
    }
    let name = Self.serviceName(&item)
    let port = item.optional("port")?.port()
    let section = item.optional("sectionName")?.text()
    if let section, port != nil {
      field.fail(
        "port and sectionName \(quotedForMessage(section)) both choose the port", next: "keep one of them")
    }
    item.finish()
    return name.map { .init(service: $0, port: port, portName: section, position: field.position) }
  }

  private func rule(_ field: Field) -> [TCPRouteSpec.BackendRef] {
    guard var rule = field.fields() else { return [] }
    rule.accept("name")
    var backends: [TCPRouteSpec.BackendRef] = []
    for field in rule.required("backendRefs")?.list() ?? [] {
      guard let backend = self.backend(field) else { continue }
      if backends.contains(where: { $0.service == backend.service && $0.port == backend.port }) {
        field.fail(
          "\(backend.service) port \(backend.port) stands twice", next: "write it once with the sum of the weights")
      }
      backends.append(backend)
    }
    rule.finish()
    if !backends.isEmpty, backends.allSatisfy({ $0.weight == 0 }) {
      field.warn("all weights are 0: every connection is refused", next: "give a backend a weight above 0")
    }
    return backends
  }

  private func backend(_ field: Field) -> TCPRouteSpec.BackendRef? {
    guard var item = field.fields() else { return nil }
    if let group = item.optional("group"), let text = group.text(), !text.isEmpty {
      group.fail("group \(quotedForMessage(text)) has no backends here", next: "write group: \"\" or remove it")
    }
    if let kind = item.optional("kind"), let text = kind.text(), text != "Service" {
      kind.fail("\(quotedForMessage(text)) cannot be a backend", next: "write kind: Service")
    }
    var namespace = self.namespace
    if let field = item.optional("namespace") { namespace = field.text() }
    let name = Self.serviceName(&item)
    let port = item.required("port")?.port()
    let weight = item.optional("weight").map { $0.number(0...1_000_000) } ?? 1
    item.finish()
    guard let namespace, let name, let port, let weight else { return nil }
    guard let service = ResourceName(namespace: namespace, name: name) else {
      field.fail("\(quotedForMessage(namespace)) is no namespace", next: "use lower case letters, digits and '-'")
      return nil
    }
    return .init(service: service, port: port, weight: UInt32(clamping: weight), position: field.position)
  }

  private static func serviceName(_ item: inout Fields) -> String? {
    guard let field = item.required("name"), let text = field.text() else { return nil }
    guard ResourceName.isSubdomain(text) else {
      field.fail("\(quotedForMessage(text)) is no name of a Service", next: "write the Service's metadata.name")
      return nil
    }
    return text
  }

  func referenceGrant(_ top: inout Fields) -> ReferenceGrantSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    var namespaces: [String] = []
    for field in spec.required("from")?.list() ?? [] {
      guard var item = field.fields() else { continue }
      Self.only(&item, "group", Self.gatewayGroup)
      Self.only(&item, "kind", ResourceKind.tcpRoute.rawValue)
      if let field = item.required("namespace"), let text = field.text() {
        if ResourceName.isLabel(text) {
          namespaces.append(text)
        } else {
          field.fail("\(quotedForMessage(text)) is no namespace", next: "use lower case letters, digits and '-'")
        }
      }
      item.finish()
    }
    var services: [String]? = []
    for field in spec.required("to")?.list() ?? [] {
      guard var item = field.fields() else { continue }
      Self.only(&item, "group", "")
      Self.only(&item, "kind", ResourceKind.service.rawValue)
      if let field = item.optional("name") {
        if let text = field.text() { services?.append(text) }
      } else {
        services = nil
      }
      item.finish()
      if services == nil { break }
    }
    spec.finish()
    return ReferenceGrantSpec(fromNamespaces: namespaces, services: services)
  }

  private static func only(_ item: inout Fields, _ name: String, _ value: String) {
    guard let field = item.required(name), let text = field.text(), text != value else { return }
    field.fail(
      "\(quotedForMessage(text)) is not supported: TCPRoutes to Services are granted",
      next: "write \(name): \(value.isEmpty ? "\"\"" : value)")
  }
}
