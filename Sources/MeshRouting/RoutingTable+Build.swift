import MeshBase
package import MeshSnapshot

extension RoutingTable {
  /// Compiles a resolved snapshot: one in which the node has filled in addresses and readiness of its own workloads.
  ///
  /// An endpoint counts if it is ready, has weight, serves the port and has an address. The mesh's own
  /// ports are never targets: a connection to one would come back to the proxy. If two services claim the same
  /// address and port, the first by name has it, on every node alike.
  package convenience init(_ snapshot: Snapshot) {
    var builder = Builder(snapshot: snapshot)
    for (_, service) in snapshot.services.sorted(by: { $0.key < $1.key }) {
      builder.add(service.value)
    }
    self.init(
      connectTimeoutMilliseconds: snapshot.config?.value.connectTimeoutMilliseconds ?? 10_000, routes: builder.routes,
      backends: builder.backends, endpoints: builder.endpoints, index: builder.index)
  }

  private struct Builder {
    let snapshot: Snapshot
    var routes: [Route] = []
    var backends: [RoutingTable.Backend] = []
    var endpoints: [WeightedEndpoint] = []
    var index: [SocketEndpoint: Int] = [:]
    /// Endpoint ranges by {service, port}: services share backends.
    private var ranges: [Target: (v4: Range<Int>, v6: Range<Int>)] = [:]

    struct Target: Hashable {
      var service: ResourceName
      var port: UInt16
    }

    init(snapshot: Snapshot) { self.snapshot = snapshot }

    mutating func add(_ service: ServiceEntry) {
      for port in service.ports {
        let first = self.backends.count
        var total: UInt64 = 0
        for backend in port.backends where backend.weight > 0 {
          total += UInt64(backend.weight)
          let ranges = backend.isValid ? self.ranges(backend.service, backend.port) : (0..<0, 0..<0)
          self.backends.append(
            RoutingTable.Backend(
              isValid: backend.isValid, cumulativeWeight: total, endpointsV4: ranges.0, endpointsV6: ranges.1))
        }
        let number = self.routes.count
        self.routes.append(
          Route(
            service: service.name, port: port.port, backends: first..<self.backends.count, totalWeight: total))
        for address in service.addresses {
          let key = SocketEndpoint(address, port.port)
          if self.index[key] == nil { self.index[key] = number }
        }
      }
    }

    private mutating func ranges(_ service: ResourceName, _ port: UInt16) -> (Range<Int>, Range<Int>) {
      let target = Target(service: service, port: port)
      if let known = self.ranges[target] { return known }
      var found: (v4: [(Choice, UInt32)], v6: [(Choice, UInt32)]) = ([], [])
      for endpoint in self.snapshot.endpoints[service]?.value.endpoints ?? [] where endpoint.isReady {
        guard endpoint.weight > 0, let mapping = endpoint.ports.first(where: { $0.servicePort == port }),
          !MeshPort.all.contains(mapping.targetPort)
        else { continue }
        let addresses = self.addresses(of: endpoint)
        if let address = addresses.first(where: \.isV4) {
          found.v4.append((Choice(endpoint, at: SocketEndpoint(address, mapping.targetPort)), endpoint.weight))
        }
        if let address = addresses.first(where: { !$0.isV4 }) {
          found.v6.append((Choice(endpoint, at: SocketEndpoint(address, mapping.targetPort)), endpoint.weight))
        }
      }
      let v4 = self.append(found.v4)
      let v6 = self.append(found.v6)
      let ranges = (v4: v4.isEmpty ? v6 : v4, v6: v6.isEmpty ? v4 : v6)
      self.ranges[target] = ranges
      return ranges
    }

    private func addresses(of endpoint: Endpoint) -> [IPAddress] {
      if !endpoint.addresses.isEmpty { return endpoint.addresses }
      guard let workload = endpoint.workload else { return [] }
      return self.snapshot.workloads[workload]?.value.addresses ?? []
    }

    private mutating func append(_ choices: [(Choice, UInt32)]) -> Range<Int> {
      let first = self.endpoints.count
      var total: UInt64 = 0
      for (choice, weight) in choices {
        total += UInt64(weight)
        self.endpoints.append(WeightedEndpoint(choice: choice, cumulativeWeight: total))
      }
      return first..<self.endpoints.count
    }
  }
}

extension RoutingTable.Choice {
  fileprivate init(_ endpoint: Endpoint, at target: SocketEndpoint) {
    self.init(target: target, workload: endpoint.workload, needsTunnel: endpoint.needsTunnel)
  }
}
