package import MeshBase
package import MeshSnapshot

/// Why the proxy refuses a connection. The words are those of `mesh_reason` where the kernel has the like.
package enum RoutingRefusal: String, Sendable, CaseIterable {
  /// No revision has arrived yet.
  case notReady = "not_ready"
  /// The address and port that the application dialled are no service's.
  case noServicePort = "no_service_port"
  case noEndpoint = "no_endpoint"
  case invalidBackend = "invalid_backend"
  /// The endpoint is on another node.
  case noTunnel = "no_tunnel"
  /// Every attempt failed.
  case upstreamFailed = "upstream_failed"
  /// The connect timeout passed, in attempts or in waiting for an upstream socket.
  case connectTimeout = "connect_timeout"
  /// No local port is left toward the endpoint: net.ipv4.ip_local_port_range is used up.
  case noLocalPort = "no_local_port"
}

/// Where connections go, by what the application dialled. Built once from a snapshot, then only read; a class, so that
/// every event loop holds one pointer.
package final class RoutingTable: Sendable {
  /// A service port.
  package struct Route: Sendable {
    package let service: ResourceName
    package let port: UInt16
    package let appProtocol: AppProtocol
    /// Nil: no HTTPRoute or GRPCRoute, so that requests go where connections go.
    package let http: HTTPRoutes?
    let backends: Range<Int>
    /// Sum of the backends' weights.
    let totalWeight: UInt64
    /// Of `http`, in the order of its numbers.
    let upstreams: [Upstream]
    /// Nil: no TLSRoute.
    package let tls: TLSRoutes?
  }

  struct Backend: Sendable {
    let isValid: Bool
    /// Sum of the weights of the route's backends up to and with this one.
    let cumulativeWeight: UInt64
    let upstream: Upstream
  }

  /// Where a service port is served.
  struct Upstream: Sendable {
    static let none = Upstream(appProtocol: .tcp, endpointsV4: 0..<0, endpointsV6: 0..<0)

    let appProtocol: AppProtocol
    /// Endpoints to use when the application dialled IPv4, and IPv6: those of the same family, or else all others.
    let endpointsV4: Range<Int>
    let endpointsV6: Range<Int>

    func share(isV4: Bool) -> Share? {
      let endpoints = isV4 ? self.endpointsV4 : self.endpointsV6
      return endpoints.isEmpty ? nil : Share(endpoints: endpoints, appProtocol: self.appProtocol)
    }
  }

  struct WeightedEndpoint: Sendable {
    let choice: Choice
    /// Sum of the weights of the range up to and with this one.
    let cumulativeWeight: UInt64
  }

  /// An endpoint that was chosen: dial `target`.
  package struct Choice: Sendable, Hashable {
    package var target: SocketEndpoint
    package var workload: ResourceName?
    /// Its workload is on another node: nothing is dialled, because here its address may be somebody else's.
    package var needsTunnel: Bool

    package init(target: SocketEndpoint, workload: ResourceName?, needsTunnel: Bool = false) {
      self.target = target
      self.workload = workload
      self.needsTunnel = needsTunnel
    }
  }

  package enum Pick: Sendable, Equatable {
    case endpoint(Choice)
    case refused(RoutingRefusal)
  }

  /// A share of a route, chosen once for a connection: all attempts stay within it, so that retries do not shift weights.
  package struct Share: Sendable {
    let endpoints: Range<Int>
    /// What its service port speaks.
    package let appProtocol: AppProtocol
  }

  package let connectTimeoutMilliseconds: UInt32
  let routes: [Route]
  let backends: [Backend]
  let endpoints: [WeightedEndpoint]
  private let index: [SocketEndpoint: Int]
  /// The snapshot's.
  private let workloads: [ResourceName: Versioned<WorkloadEntry>]
  /// For the next table: what did not change is not compiled again.
  let compiled: [ResourceName: Compiled]

  struct Compiled: Sendable {
    let version: ContentVersion
    let ports: [UInt16: HTTPRoutes]
  }

  init(
    connectTimeoutMilliseconds: UInt32, routes: [Route], backends: [Backend], endpoints: [WeightedEndpoint],
    index: [SocketEndpoint: Int], compiled: [ResourceName: Compiled],
    workloads: [ResourceName: Versioned<WorkloadEntry>]
  ) {
    self.workloads = workloads
    self.compiled = compiled
    self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
    self.routes = routes
    self.backends = backends
    self.endpoints = endpoints
    self.index = index
  }

  /// Addresses and ports that lead somewhere.
  package var count: Int { self.index.count }

  package func addresses(of workload: ResourceName) -> [IPAddress] {
    self.workloads[workload]?.value.addresses ?? []
  }

  package func route(to original: SocketEndpoint) -> Route? {
    self.index[original].map { self.routes[$0] }
  }

  /// Chooses the backend of a connection by weight.
  package func share(
    to original: SocketEndpoint, using random: inout some RandomNumberGenerator
  ) -> Result<Share, RoutingFailure> {
    guard let route = self.route(to: original) else { return .failure(RoutingFailure(.noServicePort)) }
    return self.share(
      of: route.backends, totalWeight: route.totalWeight, isV4: original.address.isV4, using: &random)
  }

  func share(
    of backends: Range<Int>, totalWeight: UInt64, isV4: Bool, using random: inout some RandomNumberGenerator
  ) -> Result<Share, RoutingFailure> {
    guard totalWeight > 0 else { return .failure(RoutingFailure(.noEndpoint)) }
    let point = UInt64.random(in: 0..<totalWeight, using: &random)
    guard let backend = self.backends[backends].first(where: { point < $0.cumulativeWeight }), backend.isValid
    else { return .failure(RoutingFailure(.invalidBackend)) }
    guard let share = backend.upstream.share(isV4: isV4) else {
      return .failure(RoutingFailure(.noEndpoint))
    }
    return .success(share)
  }

  /// The endpoints of what a rule of the route's `http` leads to, by its number. Nil: none is ready.
  package func share(of upstream: Int, at route: Route, isV4: Bool) -> Share? {
    route.upstreams.indices.contains(upstream) ? route.upstreams[upstream].share(isV4: isV4) : nil
  }

  /// The same by name, for who chose by an earlier table.
  package func share(of target: HTTPUpstreams.Target, to original: SocketEndpoint) -> Share? {
    guard let route = self.route(to: original), let number = route.http?.upstreams.firstIndex(of: target) else {
      return nil
    }
    return self.share(of: number, at: route, isV4: original.address.isV4)
  }

  /// The endpoint of the share for which it holds.
  package func endpoint(in share: Share, where holds: (Choice) -> Bool) -> Choice? {
    self.endpoints[share.endpoints].first { !$0.choice.needsTunnel && holds($0.choice) }?.choice
  }

  /// Chooses an endpoint of the share by weight, none of `tried` (few). Nil: all were tried.
  package func endpoint(
    in share: Share, except tried: [Choice], using random: inout some RandomNumberGenerator
  ) -> Choice? {
    guard let last = self.endpoints[share.endpoints].last else { return nil }
    if tried.isEmpty {
      let point = UInt64.random(in: 0..<last.cumulativeWeight, using: &random)
      return self.endpoints[self.search(share.endpoints, point)].choice
    }
    var left: UInt64 = 0
    for i in share.endpoints where !tried.contains(self.endpoints[i].choice) { left += self.weight(i, share.endpoints) }
    guard left > 0 else { return nil }
    var point = UInt64.random(in: 0..<left, using: &random)
    for i in share.endpoints where !tried.contains(self.endpoints[i].choice) {
      let weight = self.weight(i, share.endpoints)
      if point < weight { return self.endpoints[i].choice }
      point -= weight
    }
    return nil
  }

  /// One weighted choice, without attempts.
  package func pick(to original: SocketEndpoint, using random: inout some RandomNumberGenerator) -> Pick {
    switch self.share(to: original, using: &random) {
    case .failure(let failure): return .refused(failure.refusal)
    case .success(let share):
      guard let choice = self.endpoint(in: share, except: [], using: &random) else { return .refused(.noEndpoint) }
      return .endpoint(choice)
    }
  }

  private func weight(_ i: Int, _ range: Range<Int>) -> UInt64 {
    self.endpoints[i].cumulativeWeight - (i == range.lowerBound ? 0 : self.endpoints[i - 1].cumulativeWeight)
  }

  /// The first element of the range whose cumulative weight is above the point.
  private func search(_ range: Range<Int>, _ point: UInt64) -> Int {
    var low = range.lowerBound
    var high = range.upperBound - 1
    while low < high {
      let middle = low + (high - low) / 2
      if point < self.endpoints[middle].cumulativeWeight { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// A refusal as an error, for `Result`.
package struct RoutingFailure: Error, Equatable {
  package let refusal: RoutingRefusal

  package init(_ refusal: RoutingRefusal) { self.refusal = refusal }
}
