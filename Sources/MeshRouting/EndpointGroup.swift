import MeshBase
import MeshSnapshot
import Synchronization

/// The endpoints of a service port for one family of addresses, near ones first, and what is needed to choose one of them. It never
/// changes but for what it remembers of their health.
final class EndpointGroup: Sendable {
  struct Member: Sendable {
    let choice: RoutingTable.Choice
    let record: EndpointRecord
    let weight: UInt32
    /// Sum of the weights of the tier up to and with this one.
    let cumulativeWeight: UInt64
    /// The mean weight of the tier divided by its own.
    let scale: Float
  }

  /// Endpoints at one distance.
  struct Tier: Sendable {
    let members: Range<Int>
    /// With those that are not ready.
    let known: Int
    let totalWeight: UInt64
    /// All weigh the same.
    let isUniform: Bool
    let lookup: Lookup
  }

  enum Lookup: Sendable {
    case none
    case turns(TurnSchedule)
    case ring(HashRing, of: [HashRing.Member])
    case maglev(MaglevTable, of: [HashRing.Member])
  }

  let upstream: UpstreamRecord
  let traffic: TrafficSettings?
  /// Nil: the balancer hashes nothing.
  let keys: HashKeys?
  let members: [Member]
  let tiers: [Tier]
  let family: Int
  /// Of which epoch of the upstream `view` is.
  private let viewEpoch = Atomic<UInt64>(0)
  private let view = Atomic<UInt64>(0)

  init(
    _ upstream: UpstreamRecord, _ traffic: TrafficSettings?, members: [Member], tiers: [Tier], family: Int
  ) {
    self.upstream = upstream
    self.traffic = traffic
    self.members = members
    self.tiers = tiers
    self.family = family
    self.keys =
      switch traffic?.balancer {
      case .ringHash(let keys), .maglev(let keys): HashKeys(keys)
      case .roundRobin, .random, .leastRequest, nil: nil
      }
  }

  func leastRequest(_ context: BalancerContext) -> Bool {
    switch self.traffic?.balancer {
    case .leastRequest: true
    case nil: context.isRequest
    case .roundRobin, .random, .ringHash, .maglev: false
    }
  }

  /// How they are now. It is made anew when something changed, which costs a look at each of them.
  func currentView() -> EndpointView {
    let epoch = self.upstream.epoch.load(ordering: .acquiring)
    if self.viewEpoch.load(ordering: .acquiring) == epoch {
      return EndpointView(word: self.view.load(ordering: .relaxed))
    }
    let view = self.look()
    self.view.store(view.word, ordering: .relaxed)
    self.viewEpoch.store(epoch, ordering: .releasing)
    return view
  }

  private func look() -> EndpointView {
    var isStarting = false
    let tiers = self.tiers.map { tier in
      var ejected = 0
      for member in self.members[tier.members] {
        if member.record.isEjected { ejected += 1 }
        if member.record.startMoment != 0 { isStarting = true }
      }
      return EndpointView.Tier(known: tier.known, ready: tier.members.count, ejected: ejected)
    }
    return EndpointView(
      tiers, minimum: self.traffic?.locality?.minimum ?? 100,
      panicThreshold: self.traffic?.panicThreshold ?? 0, isStarting: isStarting && self.traffic?.slowStart != nil)
  }
}
