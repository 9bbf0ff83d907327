package import MeshBase

extension RoutingTable {
  /// Once a second, in milliseconds, by one thread: endpoints come back, success rates are compared, weights grow. What happened since
  /// the last time.
  package func tick(now: UInt64) -> [EndpointEvent] {
    var events: [EndpointEvent] = []
    for record in self.records.values { record.tick(now: now, into: &events) }
    return events
  }
}

/// How the endpoints of a service port are, and what is open toward them, as this proxy sees it.
package struct UpstreamState: Equatable, Sendable {
  package var service: ResourceName
  package var port: UInt16
  package var endpoints: [EndpointState]
  package var open: [UpstreamRecord.Resource: Int]
  package var overflows: [UpstreamRecord.Resource: UInt64]
  package var retriesOverBudget: UInt64
  package var ejections: [EjectionReason: UInt64]
}

extension RoutingTable {
  /// Of all service ports, sorted.
  package func endpointStates(now: UInt64) -> [UpstreamState] {
    self.records.values.sorted { ($0.service, $0.port) < ($1.service, $1.port) }.map { record in
      var state = UpstreamState(
        service: record.service, port: record.port, endpoints: record.states(now: now), open: [:], overflows: [:],
        retriesOverBudget: record.retriesOverBudget, ejections: record.ejections)
      for resource in UpstreamRecord.Resource.allCases {
        state.open[resource] = record.open(resource)
        state.overflows[resource] = record.overflows(resource)
      }
      return state
    }
  }
}
