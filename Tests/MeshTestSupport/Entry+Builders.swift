package import MeshBase
package import MeshSnapshot

// Texts that are not valid end the test run: they are written in the test itself.

extension Entry {
  package static func config(trustDomain: String = "mesh.test", vips: String? = nil, vips6: String? = nil) -> Entry {
    .config(
      ConfigEntry(trustDomain: trustDomain, vipRangeV4: vips.map(prefix), vipRangeV6: vips6.map(prefix)))
  }

  /// The identity is that of the service account `account` in the workload's namespace.
  package static func workload(
    _ name: String, node: String = "a", account: String = "default", addresses: [String] = [],
    namespacePath: String? = nil, failureMode: FailureMode = .closed, policies: [String] = [], app: String? = nil,
    trustDomain: String = "mesh.test"
  ) -> Entry {
    let name = resourceName(name)
    return .workload(
      WorkloadEntry(
        name: name, node: node, identity: identity(trustDomain, name.namespace, account),
        addresses: addresses.map(address), location: namespacePath.map { .networkNamespace(path: $0) } ?? .none,
        failureMode: failureMode, policies: policies.map(resourceName).sorted(), app: app))
  }

  /// Each port's only backend is the service itself.
  package static func service(
    _ name: String, _ addresses: [String] = ["10.88.0.1"], ports: [UInt16: AppProtocol] = [80: .tcp]
  ) -> Entry {
    let name = resourceName(name)
    return .service(
      ServiceEntry(
        name: name, addresses: addresses.map(address),
        ports: ports.sorted { $0.key < $1.key }.map {
          ServicePort(port: $0.key, appProtocol: $0.value, backends: [Backend(service: name, port: $0.key)])
        }))
  }

  /// One endpoint a workload, every port served where it is called.
  package static func endpoints(_ service: String, _ workloads: [String], ports: [UInt16: UInt16] = [80: 80]) -> Entry {
    .endpoints(
      EndpointsEntry(
        service: resourceName(service),
        endpoints: workloads.map { Endpoint(workload: resourceName($0), ports: mappings(ports)) }))
  }

  package static func policy(_ name: String, _ action: PolicyEntry.Action, _ rules: [PolicyRule]) -> Entry {
    .policy(PolicyEntry(name: resourceName(name), action: action, rules: rules))
  }
}

extension PolicyRule {
  /// Principals without the scheme, as in resources: exact, `prefix*`, `*suffix` or `*`.
  package static func from(
    principals: [String] = [], namespaces: [String] = [], ipBlocks: [String] = [], ports: [UInt16] = []
  ) -> PolicyRule {
    let source = SourceMatch(
      principals: principals.map(stringMatch), namespaces: namespaces.map(stringMatch), ipBlocks: ipBlocks.map(prefix))
    return PolicyRule(
      from: source == SourceMatch() ? [] : [source], to: ports.isEmpty ? [] : [OperationMatch(ports: ports)])
  }

  package static let everything = PolicyRule()
}

extension Snapshot {
  /// Equal entries have equal versions within a run, which is all that tests of differences need. (The version that is
  /// distributed is a hash of the encoding: MeshProto.)
  package init(of entries: [Entry]) {
    self.init(entries.map { $0.versioned })
  }
}

extension Entry {
  package var versioned: VersionedEntry {
    VersionedEntry(self, version: ContentVersion(value: UInt64(bitPattern: Int64(self.hashValue))))
  }
}

package func resourceName(_ text: String) -> ResourceName { parsed(text, ResourceName.init(_:)) }
package func address(_ text: String) -> IPAddress { parsed(text, IPAddress.init(_:)) }
package func prefix(_ text: String) -> IPPrefix { parsed(text, IPPrefix.init(_:)) }

package func identity(_ trustDomain: String = "mesh.test", _ namespace: String, _ account: String) -> SPIFFEID {
  parsed("spiffe://\(trustDomain)/ns/\(namespace)/sa/\(account)", SPIFFEID.init(_:))
}

package func stringMatch(_ text: String) -> StringMatch {
  if text == "*" { return .present }
  if text.hasPrefix("*") { return .suffix(String(text.dropFirst())) }
  if text.hasSuffix("*") { return .prefix(String(text.dropLast())) }
  return .exact(text)
}

private func mappings(_ ports: [UInt16: UInt16]) -> [PortMapping] {
  ports.sorted { $0.key < $1.key }.map { PortMapping(servicePort: $0.key, targetPort: $0.value) }
}

private func parsed<Value>(_ text: String, _ parse: (String) -> Value?) -> Value {
  guard let value = parse(text) else { preconditionFailure("\(text) is no \(Value.self)") }
  return value
}
