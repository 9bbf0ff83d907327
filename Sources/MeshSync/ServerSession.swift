package import MeshBase
package import MeshSnapshot

/// What a session tells its driver to do.
package enum ServerAction: Sendable, Equatable {
  case none
  /// Send these, in this order.
  case send([ResponsePlan])
  /// The peer does not keep to the protocol: end the stream with this error.
  case close(reason: String)
}

/// The control plane's end of one agent's stream: what the agent holds, what is on its way, what has to be sent next.
///
/// A session serves all five kinds. Nothing of a kind is sent before the kinds that it refers to are subscribed, brought
/// and answered; no removal before everything that could refer to it is.
package struct ServerSession: ~Copyable {
  package struct Configuration: Sendable {
    /// Bytes of resources after which a response is ended and another one takes the rest. One resource may be larger.
    package var responseSize = 1 << 20
    /// Removed names in one response.
    package var removalCount = 10_000

    package static let defaults = Configuration()

    package init() {}
  }

  private let configuration: Configuration
  /// The agent's name, known with the first request.
  package private(set) var node: String?
  private var catalogue: Catalogue?
  private var lanes: [ServerLane]
  private var lastNonce: UInt64 = 0

  package init(configuration: Configuration = .defaults) {
    self.configuration = configuration
    self.lanes = EntryKind.allCases.map { _ in ServerLane() }
  }

  /// Everything that was to be sent is sent and answered.
  package var isSettled: Bool {
    self.catalogue != nil && self.lanes.allSatisfy { $0.isSubscribed && $0.isSettled }
  }

  /// What the agent acknowledged, by kind.
  package func held(_ kind: EntryKind) -> [String: ContentVersion] { self.lanes[kind.rawValue].held }

  /// What the agent refused, with the versions that it refused.
  package func rejected(_ kind: EntryKind) -> [String: ContentVersion] { self.lanes[kind.rawValue].rejected }

  // MARK: events

  /// The catalogue is another one. An older one than the session knows is ignored.
  package mutating func catalogueChanged(_ new: Catalogue) -> ServerAction {
    if let old = self.catalogue, new.version <= old.version { return .none }
    let isNext = self.catalogue != nil && self.catalogue?.version == new.base
    self.catalogue = new
    if isNext {
      for key in new.changed { self.lanes[key.kind.rawValue].consider(key.name, new.item(key.kind, key.name)) }
    } else {
      for kind in EntryKind.allCases where self.lanes[kind.rawValue].isSubscribed {
        self.lanes[kind.rawValue].considerAll(new.items[kind] ?? [:])
      }
    }
    return self.pump()
  }

  package mutating func received(_ request: SessionRequest) -> ServerAction {
    if let node = request.node, !node.isEmpty {
      guard self.node == nil || self.node == node else { return .close(reason: "the node changed within the stream") }
      self.node = node
    }
    guard self.node != nil else { return .close(reason: "the first request does not name the node") }
    // First the answer, then the subscription: a peer may put both into one message, though ours does not.
    if !request.nonce.isEmpty {
      self.lanes[request.kind.rawValue].answered(request.nonce, request.refusal, self.catalogue?.items[request.kind])
    }
    if let problem = self.subscribe(request) { return .close(reason: problem) }
    return self.pump()
  }

  private mutating func subscribe(_ request: SessionRequest) -> String? {
    let index = request.kind.rawValue
    let wildcard = SessionRequest.wildcard
    if request.unsubscribe.contains(wildcard) {
      self.lanes[index] = ServerLane()
      return nil
    }
    // xDS: a first request without names means everything.
    let isFirst = !self.lanes[index].isSubscribed && request.nonce.isEmpty
    guard isFirst || !request.subscribe.isEmpty else { return nil }
    guard request.subscribe.allSatisfy({ $0 == wildcard }), request.unsubscribe.isEmpty else {
      return "only the wildcard can be subscribed"
    }
    guard !self.lanes[index].isSubscribed else { return nil }
    self.lanes[index].isSubscribed = true
    self.lanes[index].held = request.initialVersions
    if let items = self.catalogue.map({ $0.items[request.kind] ?? [:] }) { self.lanes[index].considerAll(items) }
    return nil
  }

  // MARK: what to send

  private mutating func pump() -> ServerAction {
    guard let catalogue = self.catalogue else { return .none }
    var plans: [ResponsePlan] = []
    for kind in EntryKind.allCases where self.lanes[kind.rawValue].canSend {
      let mayUpsert = kind.refersTo.allSatisfy { self.lanes[$0.rawValue].hasBroughtAll }
      var upserts: [String: ContentVersion] = [:]
      var names: [String] = []
      if mayUpsert {
        (upserts, names) = self.lanes[kind.rawValue].nextUpserts(
          catalogue.items[kind] ?? [:], size: self.configuration.responseSize)
      }
      let lane = self.lanes[kind.rawValue]
      let isPartial = mayUpsert && names.count < lane.upserts.count
      var removals: [String] = []
      if mayUpsert || lane.isComplete, names.count == lane.upserts.count,
        kind.referredBy.allSatisfy({ self.lanes[$0.rawValue].hasFinished })
      {
        removals = Array(lane.removals.sorted().prefix(self.configuration.removalCount))
      }
      let owesFirst = mayUpsert && !lane.isComplete
      guard !names.isEmpty || !removals.isEmpty || owesFirst else { continue }
      self.lastNonce += 1
      let nonce = "\(self.lastNonce)"
      self.lanes[kind.rawValue].sent(
        ServerLane.InFlight(nonce: nonce, upserts: upserts, removals: Set(removals), isPartial: isPartial))
      plans.append(
        ResponsePlan(
          kind: kind, nonce: nonce, version: catalogue.version, isPartial: isPartial, upserts: names,
          removals: removals))
    }
    return plans.isEmpty ? .none : .send(plans)
  }
}
