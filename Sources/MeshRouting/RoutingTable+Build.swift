import MeshBase
package import MeshSnapshot

extension RoutingTable {
  /// Compiles a resolved snapshot: one in which the node has filled in addresses and readiness of its own workloads.
  ///
  /// An endpoint counts if it is ready, has weight, serves the port and has an address. The mesh's own
  /// ports are never targets: a connection to one would come back to the proxy. If two services claim the same
  /// address and port, the first by name has it, on every node alike.
  ///
  /// - previous: the rules for requests of services that are the same as in its snapshot are taken from it.
  package convenience init(_ snapshot: Snapshot, previous: RoutingTable? = nil) {
    var builder = Builder(snapshot: snapshot, previous: previous?.compiled ?? [:])
    for (_, service) in snapshot.services.sorted(by: { $0.key < $1.key }) {
      builder.add(service)
    }
    self.init(
      connectTimeoutMilliseconds: snapshot.config?.value.connectTimeoutMilliseconds ?? 10_000, routes: builder.routes,
      backends: builder.backends, endpoints: builder.endpoints, index: builder.index, compiled: builder.compiled,
      workloads: snapshot.workloads)
  }

  /// Rules with a match that could not be compiled, and why; that match never holds.
  package var unusable: [HTTPRouteTable.Unusable] {
    self.compiled.sorted { $0.key < $1.key }.flatMap { _, service in
      service.ports.sorted { $0.key < $1.key }.flatMap { $0.value.unusable }
    }
  }

  private struct Builder {
    let snapshot: Snapshot
    var routes: [Route] = []
    var backends: [RoutingTable.Backend] = []
    var endpoints: [WeightedEndpoint] = []
    var index: [SocketEndpoint: Int] = [:]
    var compiled: [ResourceName: Compiled] = [:]
    private let previous: [ResourceName: Compiled]
    /// Services share backends.
    private var upstreams: [HTTPUpstreams.Target: Upstream] = [:]

    init(snapshot: Snapshot, previous: [ResourceName: Compiled]) {
      self.snapshot = snapshot
      self.previous = previous
    }

    mutating func add(_ versioned: Versioned<ServiceEntry>) {
      let service = versioned.value
      let compiled = self.compile(service, versioned.version)
      for port in service.ports {
        let split = self.split(port.backends)
        let number = self.routes.count
        let http = compiled[port.port]
        self.routes.append(
          Route(
            service: service.name, port: port.port, appProtocol: port.appProtocol, http: http,
            backends: split.backends, totalWeight: split.totalWeight,
            upstreams: (http?.upstreams ?? []).map { self.upstream($0) },
            tls: TLSRoutes(port.tlsRules) { self.split($0) }))
        for address in service.addresses {
          let key = SocketEndpoint(address, port.port)
          if self.index[key] == nil { self.index[key] = number }
        }
      }
    }

    private mutating func split(_ backends: [MeshSnapshot.Backend]) -> (backends: Range<Int>, totalWeight: UInt64) {
      let first = self.backends.count
      var total: UInt64 = 0
      for backend in backends where backend.weight > 0 {
        total += UInt64(backend.weight)
        self.backends.append(
          RoutingTable.Backend(
            isValid: backend.isValid, cumulativeWeight: total,
            upstream: backend.isValid
              ? self.upstream(.init(service: backend.service, port: backend.port)) : Upstream.none))
      }
      return (first..<self.backends.count, total)
    }

    private mutating func compile(_ service: ServiceEntry, _ version: ContentVersion) -> [UInt16: HTTPRoutes] {
      guard service.ports.contains(where: { $0.routing != nil }) else { return [:] }
      if let known = self.previous[service.name], known.version == version {
        self.compiled[service.name] = known
        return known.ports
      }
      var ports: [UInt16: HTTPRoutes] = [:]
      for port in service.ports { ports[port.port] = port.routing.map { HTTPRoutes($0) } }
      self.compiled[service.name] = Compiled(version: version, ports: ports)
      return ports
    }

    private mutating func upstream(_ target: HTTPUpstreams.Target) -> Upstream {
      if let known = self.upstreams[target] { return known }
      let port = target.port
      var found: (v4: [(Choice, UInt32)], v6: [(Choice, UInt32)]) = ([], [])
      for endpoint in self.snapshot.endpoints[target.service]?.value.endpoints ?? [] where endpoint.isReady {
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
      let served = self.snapshot.services[target.service]?.value.ports.first { $0.port == port }
      let upstream = Upstream(
        appProtocol: served?.appProtocol ?? .tcp, endpointsV4: v4.isEmpty ? v6 : v4, endpointsV6: v6.isEmpty ? v4 : v6)
      self.upstreams[target] = upstream
      return upstream
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
