package import MeshBase
package import MeshSnapshot

/// What metric labels and flow records say about a name. Shares the snapshot's table of workloads: making one costs nothing.
package struct NameDirectory: Sendable, Equatable {
  private let workloads: [ResourceName: Versioned<WorkloadEntry>]
  /// Appended to a service's name in `destination_service`: `web.default.svc.cluster.local`.
  package var clusterDomain: String

  package init(_ snapshot: Snapshot = Snapshot(), clusterDomain: String = "cluster.local") {
    self.workloads = snapshot.workloads
    self.clusterDomain = clusterDomain
  }

  package subscript(workload: ResourceName) -> WorkloadEntry? { self.workloads[workload]?.value }

  /// One end of a connection, with all that is known about the workload.
  package func peer(_ name: ResourceName?, address: SocketEndpoint? = nil) -> FlowPeer {
    let workload = name.flatMap { self[$0] }
    return FlowPeer(
      workload: name?.description, namespace: name?.namespace, identity: workload?.identity.description,
      app: workload?.app, version: workload?.appVersion, address: address?.description)
  }
}
