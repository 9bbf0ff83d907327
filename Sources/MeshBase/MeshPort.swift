/// The mesh's own ports, the same on every host and in every namespace. All are refused as targets.
package enum MeshPort {
  package static let outbound: UInt16 = 15001
  package static let inbound: UInt16 = 15006
  package static let hbone: UInt16 = 15008
  package static let dns: UInt16 = 15053
  package static let metrics: UInt16 = 15020
  package static let health: UInt16 = 15021

  package static let all: [UInt16] = [outbound, inbound, hbone, metrics, health, dns]
}

/// Keys of log metadata: stable, so that a log query written today works tomorrow.
package enum LogKey {
  package static let workload = "workload"
  package static let service = "service"
  package static let route = "route"
  package static let source = "source"
  package static let destination = "destination"
  package static let identity = "identity"
  package static let policy = "policy"
  package static let version = "version"
  package static let reason = "reason"
  package static let error = "error"
  package static let node = "node"
  package static let path = "path"
  package static let program = "program"
  package static let map = "map"
  package static let namespace = "namespace"
  package static let count = "count"
  package static let revision = "revision"
  package static let duration = "duration_ms"
  package static let process = "pid"
}
