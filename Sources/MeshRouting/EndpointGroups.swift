import MeshBase
import MeshSnapshot

/// Collects the endpoints of a service port and makes the groups of both families.
struct EndpointGroups {
  private struct Candidate {
    var endpoint: Endpoint
    var target: SocketEndpoint
    var distance: Int

    var identity: EndpointIdentity { EndpointIdentity(target: self.target, workload: self.endpoint.workload) }
  }

  private let traffic: TrafficSettings?
  private let distance: Distance
  private var v4: [Candidate] = []
  private var v6: [Candidate] = []

  init(traffic: TrafficSettings?, distance: Distance) {
    self.traffic = traffic
    self.distance = distance
  }

  mutating func add(_ endpoint: Endpoint, at addresses: [IPAddress], port: UInt16) {
    let distance = self.distance.to(endpoint.locality)
    if let address = addresses.first(where: \.isV4) {
      self.v4.append(Candidate(endpoint: endpoint, target: SocketEndpoint(address, port), distance: distance))
    }
    if let address = addresses.first(where: { !$0.isV4 }) {
      self.v6.append(Candidate(endpoint: endpoint, target: SocketEndpoint(address, port), distance: distance))
    }
  }

  /// - previous: tables for hashing are taken from them where they are the same.
  func make(
    _ upstream: UpstreamRecord, previous: [EndpointGroup?]
  ) -> (v4: EndpointGroup?, v6: EndpointGroup?) {
    let (v4, v6) = (Self.sorted(self.v4), Self.sorted(self.v6))
    let ready = (v4 + v6).filter(\.endpoint.isReady)
    let records = upstream.use(ready.map(\.identity), self.traffic)
    let previous = previous.compactMap { $0 }.flatMap(\.tiers).map(\.lookup)
    let split = v4.count { $0.endpoint.isReady }
    return (
      self.group(upstream, v4, Array(records[..<split]), previous, family: 0),
      self.group(upstream, v6, Array(records[split...]), previous, family: 1)
    )
  }

  private static func sorted(_ candidates: [Candidate]) -> [Candidate] {
    // Stable: endpoints of a distance stay in their order.
    candidates.enumerated().sorted { ($0.element.distance, $0.offset) < ($1.element.distance, $1.offset) }.map(
      \.element)
  }

  /// - records: of those that are ready.
  private func group(
    _ upstream: UpstreamRecord, _ candidates: [Candidate], _ records: [EndpointRecord],
    _ previous: [EndpointGroup.Lookup], family: Int
  ) -> EndpointGroup? {
    guard !records.isEmpty else { return nil }
    var members: [EndpointGroup.Member] = []
    var tiers: [EndpointGroup.Tier] = []
    var rest = candidates[...]
    while let first = rest.first {
      // The farthest stand for all that are farther yet.
      let isLast = tiers.count == EndpointView.mostTiers - 1
      let tier = isLast ? rest : rest.prefix { $0.distance == first.distance }
      rest = rest.dropFirst(tier.count)
      let ready = tier.filter(\.endpoint.isReady)
      guard !ready.isEmpty else { continue }
      let start = members.count
      let total = ready.reduce(0) { $0 + UInt64($1.endpoint.weight) }
      let mean = Float(total) / Float(ready.count)
      var cumulative: UInt64 = 0
      for candidate in ready {
        let endpoint = candidate.endpoint
        cumulative += UInt64(endpoint.weight)
        let record = records[members.count]
        members.append(
          EndpointGroup.Member(
            choice: RoutingTable.Choice(
              target: candidate.target, workload: endpoint.workload, needsTunnel: endpoint.needsTunnel, record: record),
            record: record, weight: endpoint.weight, cumulativeWeight: cumulative,
            scale: mean / Float(endpoint.weight)))
      }
      tiers.append(
        EndpointGroup.Tier(
          members: start..<members.count, known: tier.count, totalWeight: total,
          isUniform: ready.allSatisfy { $0.endpoint.weight == ready.first?.endpoint.weight },
          lookup: self.lookup(ready, previous)))
    }
    return EndpointGroup(upstream, self.traffic, members: members, tiers: tiers, family: family)
  }

  private func lookup(_ ready: [Candidate], _ previous: [EndpointGroup.Lookup]) -> EndpointGroup.Lookup {
    func members() -> [HashRing.Member] {
      ready.map { HashRing.Member(hash: KeyHash.of($0.identity), weight: $0.endpoint.weight) }
    }
    switch self.traffic?.balancer {
    case .roundRobin: return TurnSchedule(ready.map(\.endpoint.weight)).map { .turns($0) } ?? .none
    case .ringHash:
      let members = members()
      for case .ring(let ring, members) in previous { return .ring(ring, of: members) }
      return HashRing(members).map { .ring($0, of: members) } ?? .none
    case .maglev:
      let members = members()
      for case .maglev(let table, members) in previous { return .maglev(table, of: members) }
      return MaglevTable(members).map { .maglev($0, of: members) } ?? .none
    case .random, .leastRequest, nil: return .none
    }
  }
}
