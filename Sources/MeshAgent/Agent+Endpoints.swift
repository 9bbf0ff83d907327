package import MeshBase
import MeshDatapath
import MeshRouting
import MeshSnapshot
package import MeshTelemetry

/// How endpoints are, as the proxy that serves sees them.
extension Agent {
  /// - isFirst: what was told before is over.
  func note(_ states: [UpstreamState], isFirst: Bool) {
    if isFirst { self.endpointStates = [:] }
    for upstream in states {
      for endpoint in upstream.endpoints {
        self.endpointStates[EndpointKey(upstream.service, upstream.port, endpoint.endpoint)] = endpoint
      }
    }
  }

  package func endpoints() async throws(MeshError) -> [EndpointReport] {
    let now = MonotonicClock.nanoseconds / 1_000_000
    let snapshot = self.planner.resolved.snapshot
    return snapshot.endpoints.values.map(\.value).sorted { $0.service < $1.service }.flatMap { entry in
      entry.endpoints.flatMap { endpoint in
        endpoint.ports.flatMap { mapping in
          self.targets(of: endpoint, in: snapshot).map { address in
            self.report(
              endpoint, of: entry.service, mapping.servicePort,
              at: address.map { SocketEndpoint($0, mapping.targetPort) }, now: now)
          }
        }
      }
    }
  }

  /// As the proxy dials it: one of each family. Nil: none is known.
  private func targets(of endpoint: Endpoint, in snapshot: Snapshot) -> [IPAddress?] {
    var addresses = endpoint.addresses
    if addresses.isEmpty { addresses = endpoint.workload.flatMap { snapshot.workloads[$0]?.value.addresses } ?? [] }
    let found = [addresses.first { $0.isV4 }, addresses.first { !$0.isV4 }].compactMap { $0 }
    return found.isEmpty ? [nil] : found
  }

  private func report(
    _ endpoint: Endpoint, of service: ResourceName, _ port: UInt16, at target: SocketEndpoint?, now: UInt64
  ) -> EndpointReport {
    let place = [endpoint.locality.region, endpoint.locality.zone, endpoint.locality.subzone].filter { !$0.isEmpty }
    var report = EndpointReport(
      service: service.description, port: port, target: target.map { "\($0)" },
      workload: endpoint.workload?.description, weight: endpoint.weight,
      locality: place.isEmpty ? nil : place.joined(separator: "/"))
    guard endpoint.isReady else {
      report.state = .notReady
      report.reason = self.unreadiness(of: endpoint)
      return report
    }
    guard let target,
      let state = self.endpointStates[
        EndpointKey(service, port, EndpointIdentity(target: target, workload: endpoint.workload))]
    else { return report }
    switch state.health {
    case .healthy: break
    case .ejected(let reason, let until):
      report.state = .ejected
      report.reason = reason.rawValue
      report.secondsLeft = until > now ? (until - now + 999) / 1000 : 0
    case .starting(let percent):
      report.state = .starting
      report.percent = percent
    }
    report.open = UInt64(max(0, state.openAttempts))
    report.latencyMicroseconds = state.latencyMicroseconds
    report.ejections = Dictionary(uniqueKeysWithValues: state.ejections.map { ($0.key.rawValue, $0.value) })
    return report
  }
}

/// Names an endpoint of a service port.
struct EndpointKey: Hashable {
  let service: ResourceName
  let port: UInt16
  let endpoint: EndpointIdentity

  init(_ service: ResourceName, _ port: UInt16, _ endpoint: EndpointIdentity) {
    self.service = service
    self.port = port
    self.endpoint = endpoint
  }
}
