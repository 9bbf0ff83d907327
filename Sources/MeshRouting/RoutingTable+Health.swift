package import MeshBase

extension RoutingTable {
  /// Once a second, in milliseconds, by one thread: endpoints come back, success rates are compared, weights grow. What happened since
  /// the last time.
  package func tick(now: UInt64) -> [EndpointEvent] {
    var events: [EndpointEvent] = []
    for record in self.records.values { record.tick(now: now, into: &events) }
    return events
  }

  /// Of what there is something to say.
  package func notableStates(now: UInt64) -> [UpstreamState] {
    self.states(of: self.records.values.filter(\.wasUsed), now: now).compactMap(\.notable)
  }

  /// How the endpoints of all service ports are, sorted.
  package func endpointStates(now: UInt64) -> [UpstreamState] { self.states(of: Array(self.records.values), now: now) }

  private func states(of records: [UpstreamRecord], now: UInt64) -> [UpstreamState] {
    records.sorted { ($0.service, $0.port) < ($1.service, $1.port) }.map { record in
      var state = UpstreamState(service: record.service, port: record.port)
      state.endpoints = record.states(now: now)
      state.retriesOverBudget = record.retriesOverBudget
      state.ejections = record.ejections
      for resource in UpstreamRecord.Resource.allCases {
        let (open, overflows) = (record.open(resource), record.overflows(resource))
        if open > 0 { state.open[resource] = open }
        if overflows > 0 { state.overflows[resource] = overflows }
      }
      return state
    }
  }
}

/// How the endpoints of a service port are, and what is open toward them, as this proxy sees it. What is 0 is not in the dictionaries.
package struct UpstreamState: Equatable, Sendable {
  package var service: ResourceName
  package var port: UInt16
  package var endpoints: [EndpointState] = []
  package var open: [UpstreamRecord.Resource: Int] = [:]
  package var overflows: [UpstreamRecord.Resource: UInt64] = [:]
  package var retriesOverBudget: UInt64 = 0
  package var ejections: [EjectionReason: UInt64] = [:]

  package init(service: ResourceName, port: UInt16) {
    self.service = service
    self.port = port
  }

  /// With those endpoints only of which there is something to say. Nil: there is nothing at all.
  package var notable: UpstreamState? {
    var state = self
    state.endpoints.removeAll { !$0.isNotable }
    let isQuiet =
      state.endpoints.isEmpty && state.open.isEmpty && state.overflows.isEmpty && state.ejections.isEmpty
      && state.retriesOverBudget == 0
    return isQuiet ? nil : state
  }

  /// Its endpoints in parts of at most so many, each with the rest of the state.
  package func parts(ofAtMost count: Int) -> [UpstreamState] {
    guard self.endpoints.count > count else { return [self] }
    return stride(from: 0, to: self.endpoints.count, by: max(1, count)).map { start in
      var part = self
      part.endpoints = Array(self.endpoints[start..<min(start + max(1, count), self.endpoints.count)])
      return part
    }
  }
}
