import MeshBase

extension ResourceDecoder {
  func referenceGrant(_ top: inout Fields) -> ReferenceGrantSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    var from: [ReferenceGrantSpec.From] = []
    let sources = spec.required("from")?.list() ?? []
    Self.limit(sources, 16)
    for field in sources {
      guard var item = field.fields() else { continue }
      let group = item.required("group")?.text()
      let kind = item.required("kind")?.text()
      let namespaceField = item.required("namespace")
      let namespace = namespaceField?.text()
      item.finish()
      guard let group, let kind, let namespaceField, let namespace else { continue }
      guard ResourceName.isLabel(namespace) else {
        namespaceField.fail(
          "\(quotedForMessage(namespace)) is no namespace",
          next: "use lower case letters, digits and '-'")
        continue
      }
      let known = ResourceKind(rawValue: kind).flatMap { $0.isRoute ? $0 : nil }
      if group == Self.gatewayGroup, let known {
        from.append(.init(kind: known, namespace: namespace))
      } else {
        field.warn(
          "grants nothing here: a \(quotedForMessage(kind)) of group \(quotedForMessage(group)) leads to no Service",
          next:
            "write kind: HTTPRoute, GRPCRoute, TCPRoute or TLSRoute of group \(Self.gatewayGroup)")
      }
    }
    var services: [String]? = []
    let targets = spec.required("to")?.list() ?? []
    Self.limit(targets, 16)
    for field in targets {
      guard var item = field.fields() else { continue }
      let group = item.required("group")?.text()
      let kind = item.required("kind")?.text()
      let nameField = item.optional("name")
      let name = nameField?.text()
      item.finish()
      guard let group, let kind else { continue }
      if !group.isEmpty || kind != ResourceKind.service.rawValue {
        field.warn(
          "grants nothing here: no route leads to a \(quotedForMessage(kind)) of group \(quotedForMessage(group))",
          next: "write group: \"\" and kind: Service")
      } else if nameField == nil {
        services = nil
      } else if let name {
        services?.append(name)
      }
    }
    spec.finish()
    return ReferenceGrantSpec(from: from, services: services)
  }
}
