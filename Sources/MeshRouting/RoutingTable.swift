package import MeshBase
package import MeshSnapshot
import Synchronization

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
  /// A limit of the service port was reached (`ConnectionLimits`).
  case overflow = "upstream_overflow"
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
    /// What a TrafficPolicy says of the port: retries and faults of whoever calls it.
    package let traffic: TrafficSettings?
    /// Failures on purpose, as they are tried; nil: there are none.
    package let faults: HTTPFaults?
    /// The numbers of what calls it: requests and their retries.
    package let record: UpstreamRecord
  }

  struct Backend: Sendable {
    let isValid: Bool
    /// Sum of the weights of the route's backends up to and with this one.
    let cumulativeWeight: UInt64
    let upstream: Upstream
  }

  /// Where a service port is served.
  struct Upstream: Sendable {
    static let none = Upstream(appProtocol: .tcp, v4: nil, v6: nil)

    let appProtocol: AppProtocol
    /// Endpoints to use when the application dialled IPv4, and IPv6: those of the same family, or else all others.
    let v4: EndpointGroup?
    let v6: EndpointGroup?

    func share(isV4: Bool) -> Share? {
      (isV4 ? self.v4 : self.v6).map { Share(group: $0, appProtocol: self.appProtocol) }
    }
  }

  /// An endpoint that was chosen: dial `target`.
  package struct Choice: Sendable, Hashable {
    package var target: SocketEndpoint
    package var workload: ResourceName?
    /// Its workload is on another node: its address is not dialled, because here it may be somebody else's (`passage`).
    package var needsTunnel: Bool
    /// Its numbers; nil: who chose it is no table. Says nothing about which it is.
    package let record: EndpointRecord?

    package init(
      target: SocketEndpoint, workload: ResourceName?, needsTunnel: Bool = false, record: EndpointRecord? = nil
    ) {
      self.target = target
      self.workload = workload
      self.needsTunnel = needsTunnel
      self.record = record
    }

    /// An attempt at it begins. Nil: nobody counts it.
    package func attempt() -> AttemptTicket? { self.record.map { AttemptTicket($0) } }

    package static func == (a: Choice, b: Choice) -> Bool {
      a.target == b.target && a.workload == b.workload && a.needsTunnel == b.needsTunnel
    }

    package func hash(into hasher: inout Hasher) {
      hasher.combine(self.target)
      hasher.combine(self.workload)
      hasher.combine(self.needsTunnel)
    }
  }

  package enum Pick: Sendable, Equatable {
    case endpoint(Choice)
    case refused(RoutingRefusal)
  }

  /// A share of a route, chosen once for a connection: all attempts stay within it, so that retries do not shift weights.
  package struct Share: Sendable {
    let group: EndpointGroup
    /// What its service port speaks.
    package let appProtocol: AppProtocol

    /// What a TrafficPolicy says of that port: balancing, health, limits and connections.
    package var traffic: TrafficSettings? { self.group.traffic }
    /// What is open toward it.
    package var record: UpstreamRecord { self.group.upstream }
    /// What of a request its balancer hashes; nil: nothing.
    package var keys: HashKeys? { self.group.keys }
  }

  package let connectTimeoutMilliseconds: UInt32
  let routes: [Route]
  let backends: [Backend]
  /// The numbers of service ports, and their endpoints, for the next table.
  let records: [HTTPUpstreams.Target: UpstreamRecord]
  package let totals: UpstreamTotals
  let upstreams: [HTTPUpstreams.Target: Upstream]
  private let index: [SocketEndpoint: Int]
  /// Of all endpoints.
  private let targets: Set<SocketEndpoint>
  /// The snapshot's.
  private let workloads: [ResourceName: Versioned<WorkloadEntry>]
  /// Who has an address; sorted. Made when somebody asks, because few do.
  private let ownersMade = Mutex<[IPAddress: [ResourceName]]?>(nil)
  /// For the next table: what did not change is not compiled again.
  let compiled: [ResourceName: Compiled]

  struct Compiled: Sendable {
    let version: ContentVersion
    var routes: [UInt16: HTTPRoutes] = [:]
    var faults: [UInt16: HTTPFaults] = [:]
  }

  init(
    connectTimeoutMilliseconds: UInt32, routes: [Route], backends: [Backend],
    records: [HTTPUpstreams.Target: UpstreamRecord], totals: UpstreamTotals,
    upstreams: [HTTPUpstreams.Target: Upstream],
    index: [SocketEndpoint: Int], compiled: [ResourceName: Compiled],
    workloads: [ResourceName: Versioned<WorkloadEntry>]
  ) {
    self.workloads = workloads
    self.compiled = compiled
    self.connectTimeoutMilliseconds = connectTimeoutMilliseconds
    self.routes = routes
    self.backends = backends
    self.records = records
    self.totals = totals
    self.upstreams = upstreams
    var targets: Set<SocketEndpoint> = []
    for upstream in upstreams.values {
      for member in upstream.v4?.members ?? [] { targets.insert(member.choice.target) }
      for member in upstream.v6?.members ?? [] { targets.insert(member.choice.target) }
    }
    self.targets = targets
    self.index = index
  }

  /// Addresses and ports that lead somewhere.
  package var count: Int { self.index.count }

  var owners: [IPAddress: [ResourceName]] {
    self.ownersMade.withLock { made in
      if let made { return made }
      var owners: [IPAddress: [ResourceName]] = [:]
      for (name, workload) in self.workloads.sorted(by: { $0.key < $1.key }) {
        for address in workload.value.addresses { owners[address, default: []].append(name) }
      }
      made = owners
      return owners
    }
  }

  package func identity(of workload: ResourceName) -> SPIFFEID? { self.entry(of: workload)?.identity }

  func entry(of workload: ResourceName) -> WorkloadEntry? { self.workloads[workload]?.value }

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

  /// The endpoints of the same service port, for who chose by an earlier table.
  package func share(like share: Share, isV4: Bool) -> Share? {
    self.upstreams[.init(service: share.record.service, port: share.record.port)]?.share(isV4: isV4)
  }

  /// Whether it is an endpoint, of whatever.
  package func leads(to target: SocketEndpoint) -> Bool { self.targets.contains(target) }

  /// The endpoint of the share for which it holds.
  package func endpoint(in share: Share, where holds: (Choice) -> Bool) -> Choice? {
    share.group.members.first { !$0.choice.needsTunnel && holds($0.choice) }?.choice
  }

  /// All endpoints of the share that can be dialled.
  package func endpoints(in share: Share) -> some Sequence<Choice> {
    share.group.members.lazy.map(\.choice).filter { !$0.needsTunnel }
  }

  /// The endpoint at `target` that a connection to `original` may go to, as whoever chose it by other means is told. Nil: there is
  /// none such here.
  package func endpoint(at target: SocketEndpoint, of original: SocketEndpoint) -> Choice? {
    guard let route = self.route(to: original) else { return nil }
    for backend in self.backends[route.backends] {
      let group = original.address.isV4 ? backend.upstream.v4 : backend.upstream.v6
      if let member = group?.members.first(where: { $0.choice.target == target }) { return member.choice }
    }
    return nil
  }

  /// Chooses an endpoint of the share as its balancer does, none of `tried` (few). Nil: all were tried, or what was not is ejected.
  package func endpoint(
    in share: Share, except tried: [Choice], _ context: BalancerContext = BalancerContext(isRequest: false, now: 0),
    using random: inout some RandomNumberGenerator
  ) -> Choice? {
    share.group.choose(except: tried, context, using: &random)
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
}

/// A refusal as an error, for `Result`.
package struct RoutingFailure: Error, Equatable {
  package let refusal: RoutingRefusal

  package init(_ refusal: RoutingRefusal) { self.refusal = refusal }
}
