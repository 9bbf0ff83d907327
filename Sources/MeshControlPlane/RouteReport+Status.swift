import MeshBase
import MeshCompiler
import MeshTelemetry

extension RouteReport {
  init(_ status: RouteStatus) {
    self.init(
      kind: status.key.kind.rawValue, metadata: Metadata(namespace: status.key.namespace, name: status.key.name),
      status: Status(
        parents: status.parents.map { parent in
          Parent(
            parentRef: ParentReference(
              namespace: parent.parent.service.namespace, name: parent.parent.service.name, port: parent.parent.port,
              sectionName: parent.parent.portName),
            conditions: parent.conditions.map {
              Condition(
                type: $0.type, status: $0.isTrue ? "True" : "False", reason: $0.reason, message: $0.message)
            })
        }, isRoute: status.key.kind.isRoute), problem: status.problem)
  }
}

extension ResourceKind {
  /// Where the control plane tells of routes and policies, in Kubernetes' plural.
  static let routePaths: [String: ResourceKind] = [
    "/v1/httproutes": .httpRoute, "/v1/grpcroutes": .grpcRoute, "/v1/tcproutes": .tcpRoute, "/v1/tlsroutes": .tlsRoute,
    "/v1/trafficpolicies": .trafficPolicy,
  ]
}
