import MeshBase

// Routes of connections: TCPRoute and TLSRoute.

extension ResourceDecoder {
  func tcpRoute(_ top: inout Fields) -> TCPRouteSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    let parents = self.parents(&spec)
    self.refuseConsumers(parents)
    let backends = self.connectionRule(&spec)
    spec.refuse(["hostnames"], because: "TCP connections carry no host name")
    spec.finish()
    return TCPRouteSpec(parents: parents, backends: backends)
  }

  func tlsRoute(_ top: inout Fields) -> TLSRouteSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    let parents = self.parents(&spec)
    self.refuseConsumers(parents)
    var hostnames: [String] = []
    if let list = spec.required("hostnames")?.list() {
      Self.limit(list, 1024)
      for field in list {
        guard let name = Self.hostname(field, allowsWildcard: true) else { continue }
        if hostnames.contains(name) {
          field.fail("\(quotedForMessage(name)) stands twice", next: "remove one of them")
        }
        hostnames.append(name)
      }
    }
    let backends = self.connectionRule(&spec)
    spec.finish()
    return TLSRouteSpec(parents: parents, hostnames: hostnames, backends: backends)
  }

  private func refuseConsumers(_ parents: [RouteParent]) {
    for parent in parents where parent.service.namespace != self.namespace {
      self.sink.add(
        .error, parent.position,
        "a consumer route (for a Service of another namespace, GEP-1294) is not supported for connections",
        next: "put the route into the Service's namespace \(quotedForMessage(parent.service.namespace))")
    }
  }

  /// `rules`: one, because nothing chooses between several.
  private func connectionRule(_ spec: inout Fields) -> [TCPRouteSpec.BackendRef] {
    guard let rules = spec.required("rules")?.list() else { return [] }
    if rules.count > 1 {
      rules[1].fail(
        "\(self.kind == .tcpRoute ? "TCP" : "TLS") connections have nothing to choose a rule by, so that this one can never match",
        next: "write one rule with several weighted backendRefs")
    }
    guard let first = rules.first, var rule = first.fields() else { return [] }
    var names: Set<String> = []
    _ = Self.ruleName(&rule, &names)
    var backends: [TCPRouteSpec.BackendRef] = []
    let list = rule.required("backendRefs")?.list() ?? []
    Self.limit(list, 16)
    for field in list {
      guard let backend = self.connectionBackend(field) else { continue }
      if backends.contains(where: { $0.service == backend.service && $0.port == backend.port }) {
        field.fail(
          "\(backend.service) port \(backend.port) stands twice", next: "write it once with the sum of the weights")
      }
      backends.append(backend)
    }
    rule.finish()
    if !backends.isEmpty, backends.allSatisfy({ $0.weight == 0 }) {
      first.warn("all weights are 0: every connection is refused", next: "give a backend a weight above 0")
    }
    return backends
  }

  private func connectionBackend(_ field: Field) -> TCPRouteSpec.BackendRef? {
    guard var item = field.fields() else { return nil }
    if let group = item.optional("group"), let text = group.text(), !text.isEmpty {
      group.fail("group \(quotedForMessage(text)) has no backends here", next: "write group: \"\" or remove it")
    }
    if let kind = item.optional("kind"), let text = kind.text(), text != "Service" {
      kind.fail("\(quotedForMessage(text)) cannot be a backend", next: "write kind: Service")
    }
    let namespace = self.namespaceOfReference(&item)
    let name = Self.serviceName(&item)
    let port = item.required("port")?.port()
    let weight = item.optional("weight").map { $0.number(0...1_000_000) } ?? 1
    item.finish()
    guard let namespace, let name, let port, let weight,
      let service = ResourceName(namespace: namespace, name: name)
    else { return nil }
    return .init(service: service, port: port, weight: UInt32(clamping: weight), position: field.position)
  }
}
