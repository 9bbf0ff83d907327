package import MeshBase
package import MeshSnapshot

/// What metric labels and flow records say about a name: made once from a snapshot, then only read.
package struct NameDirectory: Sendable, Equatable {
  package struct Workload: Sendable, Hashable {
    package var identity: SPIFFEID
    package var app: String
    package var version: String

    package init(identity: SPIFFEID, app: String, version: String) {
      self.identity = identity
      self.app = app
      self.version = version
    }
  }

  package var workloads: [ResourceName: Workload]
  /// Appended to a service's name in `destination_service`: `web.default.svc.cluster.local`.
  package var clusterDomain: String

  package init(workloads: [ResourceName: Workload] = [:], clusterDomain: String = "cluster.local") {
    self.workloads = workloads
    self.clusterDomain = clusterDomain
  }

  package init(_ snapshot: Snapshot, clusterDomain: String = "cluster.local") {
    self.init(clusterDomain: clusterDomain)
    self.workloads.reserveCapacity(snapshot.workloads.count)
    for (name, entry) in snapshot.workloads {
      self.workloads[name] = Workload(
        identity: entry.value.identity, app: entry.value.app, version: entry.value.appVersion)
    }
  }

  /// Follows a change of the snapshot; costs what changed.
  package mutating func apply(_ delta: Delta) {
    for entry in delta.upserts {
      guard case .workload(let workload) = entry.value else { continue }
      self.workloads[workload.name] = Workload(
        identity: workload.identity, app: workload.app, version: workload.appVersion)
    }
    for key in delta.removals where key.kind == .workload {
      if let name = ResourceName(key.name) { self.workloads[name] = nil }
    }
  }

  /// One end of a connection, with all that is known about the workload.
  package func peer(_ name: ResourceName?, address: SocketEndpoint? = nil) -> FlowPeer {
    let workload = name.flatMap { self.workloads[$0] }
    return FlowPeer(
      workload: name?.description, namespace: name?.namespace, identity: workload?.identity.description,
      app: workload?.app, version: workload?.version, address: address?.description)
  }
}
