import MeshBase
package import MeshSnapshot

extension RoutingTable {
  /// Compiles a resolved snapshot: one in which the node has filled in addresses and readiness of its own workloads.
  ///
  /// An endpoint counts if it is ready, has weight, serves the port and has an address. The mesh's own
  /// ports are never targets: a connection to one would come back to the proxy. If two services claim the same
  /// address and port, the first by name has it, on every node alike.
  ///
  /// - previous: the rules for requests and the faults of services that are the same as in its snapshot are taken from it, and
  ///   the numbers of all upstreams and endpoints that are still there.
  /// - locality: where the node is.
  package convenience init(_ snapshot: Snapshot, previous: RoutingTable? = nil, locality: Locality = .nowhere) {
    var builder = Builder(snapshot: snapshot, previous: previous, locality: locality)
    for (_, service) in snapshot.services.sorted(by: { $0.key < $1.key }) {
      builder.add(service)
    }
    for (target, record) in previous?.records ?? [:] where builder.records[target] == nil { record.retire() }
    self.init(
      connectTimeoutMilliseconds: snapshot.config?.value.connectTimeoutMilliseconds ?? 10_000, routes: builder.routes,
      backends: builder.backends, records: builder.records,
      totals: builder.totals, upstreams: builder.upstreams, index: builder.index,
      compiled: builder.compiled, workloads: snapshot.workloads)
  }

  /// Rules with a match that could not be compiled, and why; that match never holds.
  package var unusable: [HTTPRouteTable.Unusable] {
    self.compiled.sorted { $0.key < $1.key }.flatMap { _, service in
      service.routes.sorted { $0.key < $1.key }.flatMap { $0.value.unusable }
    }
  }

  private struct Builder {
    let snapshot: Snapshot
    var routes: [Route] = []
    var backends: [RoutingTable.Backend] = []
    var index: [SocketEndpoint: Int] = [:]
    var compiled: [ResourceName: Compiled] = [:]
    /// Services share backends.
    private(set) var upstreams: [HTTPUpstreams.Target: Upstream] = [:]
    private(set) var records: [HTTPUpstreams.Target: UpstreamRecord] = [:]
    let totals: UpstreamTotals
    private let previous: RoutingTable?
    private let locality: Locality

    init(snapshot: Snapshot, previous: RoutingTable?, locality: Locality) {
      self.snapshot = snapshot
      self.previous = previous
      self.totals = previous?.totals ?? UpstreamTotals()
      self.locality = locality
    }

    mutating func add(_ versioned: Versioned<ServiceEntry>) {
      let service = versioned.value
      let compiled = self.compile(service, versioned.version)
      for port in service.ports {
        let split = self.split(port.backends)
        let number = self.routes.count
        let http = compiled?.routes[port.port]
        self.routes.append(
          Route(
            service: service.name, port: port.port, appProtocol: port.appProtocol, http: http,
            backends: split.backends, totalWeight: split.totalWeight,
            upstreams: (http?.upstreams ?? []).map { self.upstream($0) },
            tls: TLSRoutes(port.tlsRules) { self.split($0) }, traffic: port.traffic,
            faults: compiled?.faults[port.port],
            record: self.record(of: .init(service: service.name, port: port.port))))
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

    /// Nil: it has nothing that is compiled.
    private mutating func compile(_ service: ServiceEntry, _ version: ContentVersion) -> Compiled? {
      guard service.ports.contains(where: { $0.routing != nil || $0.traffic?.faults.isEmpty == false }) else {
        return nil
      }
      if let known = self.previous?.compiled[service.name], known.version == version {
        self.compiled[service.name] = known
        return known
      }
      var compiled = Compiled(version: version)
      for port in service.ports {
        compiled.routes[port.port] = port.routing.map { HTTPRoutes($0) }
        compiled.faults[port.port] = port.traffic.flatMap { HTTPFaults($0.faults) }
      }
      self.compiled[service.name] = compiled
      return compiled
    }

    private mutating func record(of target: HTTPUpstreams.Target) -> UpstreamRecord {
      if let known = self.records[target] { return known }
      let record =
        self.previous?.records[target]
        ?? UpstreamRecord(service: target.service, port: target.port, totals: self.totals)
      self.records[target] = record
      return record
    }

    private mutating func upstream(_ target: HTTPUpstreams.Target) -> Upstream {
      if let known = self.upstreams[target] { return known }
      let served = self.snapshot.services[target.service]?.value.ports.first { $0.port == target.port }
      var members = EndpointGroups(
        traffic: served?.traffic, distance: Distance(from: self.locality, by: served?.traffic?.locality))
      for endpoint in self.snapshot.endpoints[target.service]?.value.endpoints ?? [] {
        guard endpoint.weight > 0, let mapping = endpoint.ports.first(where: { $0.servicePort == target.port }),
          !MeshPort.all.contains(mapping.targetPort)
        else { continue }
        members.add(endpoint, at: self.addresses(of: endpoint), port: mapping.targetPort)
      }
      let known = self.previous?.upstreams[target]
      let groups = members.make(self.record(of: target), previous: [known?.v4, known?.v6])
      let upstream = Upstream(
        appProtocol: served?.appProtocol ?? .tcp, v4: groups.v4 ?? groups.v6, v6: groups.v6 ?? groups.v4)
      self.upstreams[target] = upstream
      return upstream
    }

    private func addresses(of endpoint: Endpoint) -> [IPAddress] {
      if !endpoint.addresses.isEmpty { return endpoint.addresses }
      guard let workload = endpoint.workload else { return [] }
      return self.snapshot.workloads[workload]?.value.addresses ?? []
    }
  }
}
