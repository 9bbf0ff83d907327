import MeshBase
import MeshRouting
import MeshSnapshot
import Testing

/// A service port with endpoints 10.0.0.1, 10.0.0.2, …, and the table of it.
struct BalancerBench {
  static let original = SocketEndpoint(IPAddress(v4: 0xf000_0001), 80)

  var traffic: TrafficSettings?
  var endpoints: [Endpoint]
  var locality = Locality.nowhere
  private(set) var table: RoutingTable

  static func settings(
    _ balancer: Balancer?, _ change: (inout TrafficSettings) -> Void = { _ in }
  ) throws -> TrafficSettings {
    var settings = TrafficSettings(origin: try name("a/policy"), balancer: balancer)
    change(&settings)
    return settings
  }

  init(weights: [UInt32], _ traffic: TrafficSettings? = nil, locality: Locality = .nowhere) throws {
    try self.init(weights.enumerated().map { Self.endpoint($0.offset + 1, weight: $0.element) }, traffic, locality)
  }

  init(_ endpoints: [Endpoint], _ traffic: TrafficSettings?, _ locality: Locality = .nowhere) throws {
    self.traffic = traffic
    self.endpoints = endpoints
    self.locality = locality
    self.table = try Self.table(endpoints, traffic, locality, after: nil)
  }

  static func endpoint(
    _ number: Int, weight: UInt32 = 1, isReady: Bool = true, locality: Locality = .nowhere
  ) -> Endpoint {
    Endpoint(
      addresses: [IPAddress(v4: 0x0a00_0000 | UInt32(number))], isReady: isReady, weight: weight,
      ports: [PortMapping(servicePort: 80, targetPort: 8080)], locality: locality)
  }

  /// The next table, of what is set here.
  mutating func renew() throws {
    self.table = try Self.table(self.endpoints, self.traffic, self.locality, after: self.table)
  }

  private static func table(
    _ endpoints: [Endpoint], _ traffic: TrafficSettings?, _ locality: Locality, after: RoutingTable?
  ) throws -> RoutingTable {
    var world = World()
    let port = ServicePort(
      port: 80, appProtocol: .http, backends: [Backend(service: try name("a/web"), port: 80)], traffic: traffic)
    world.insert(
      .service(ServiceEntry(name: try name("a/web"), addresses: [Self.original.address], ports: [port])))
    try world.endpoints("a/web", endpoints)
    return RoutingTable(world.snapshot, previous: after, locality: locality)
  }

  var share: RoutingTable.Share {
    get throws {
      var random = Steps()
      return try self.table.share(to: Self.original, using: &random).get()
    }
  }

  var record: UpstreamRecord { get throws { try self.share.record } }

  func choose(
    key: UInt64? = nil, now: UInt64 = 0, isRequest: Bool = true, except tried: [RoutingTable.Choice] = [],
    using random: inout some RandomNumberGenerator
  ) throws -> RoutingTable.Choice? {
    self.table.endpoint(
      in: try self.share, except: tried, BalancerContext(isRequest: isRequest, key: key, now: now), using: &random)
  }

  /// How often the endpoints are chosen, by their number.
  func counts(
    _ times: Int, key: (Int) -> UInt64? = { _ in nil }, now: UInt64 = 0, isRequest: Bool = true,
    except tried: [RoutingTable.Choice] = []
  ) throws -> [Int: Int] {
    var random = Steps()
    var counts: [Int: Int] = [:]
    for time in 0..<times {
      let choice = try self.choose(key: key(time), now: now, isRequest: isRequest, except: tried, using: &random)
      counts[choice?.number ?? 0, default: 0] += 1
    }
    return counts
  }

  /// One endpoint, chosen until it is this one.
  func choice(_ number: Int) throws -> RoutingTable.Choice {
    try #require(self.table.endpoint(in: try self.share, where: { $0.number == number }))
  }

  func fail(_ number: Int, as outcome: AttemptOutcome = .answered(500), times: Int = 1, now: UInt64) throws {
    for _ in 0..<times { try self.choice(number).attempt()?.ended(as: outcome, now: now) }
  }
}

extension RoutingTable.Choice {
  /// The last part of its address.
  var number: Int { Int(self.target.address.low & 0xffff) }
}

/// Whether counts are those of the shares, within five standard deviations.
func areShares(_ counts: [Int: Int], _ shares: [Int: Double]) -> Bool {
  let total = counts.values.reduce(0, +)
  let sum = shares.values.reduce(0, +)
  return counts.keys.allSatisfy { shares[$0] != nil }
    && shares.allSatisfy { number, share in
      let p = share / sum
      let expected = p * Double(total)
      return abs(Double(counts[number] ?? 0) - expected) <= 5 * (expected * (1 - p)).squareRoot() + 1
    }
}
