package import MeshBase

/// What to do for one connection until an upstream is reached or all is lost: at most three endpoints, all of one share,
/// none twice, within the connect timeout. Time comes in as milliseconds of any steady clock.
///
/// ```
///          begin ─► dial ─► reached
///                   ▲  │ failed: another endpoint
///                   └──┘
///          refuse: no route, no endpoint left, three failures, timeout
/// ```
package struct ConnectAttempts {
  package enum Action: Equatable, Sendable {
    /// Dial; give up at the deadline.
    case dial(RoutingTable.Choice, deadline: UInt64)
    case refuse(RoutingRefusal)
  }

  package static let limit = 3

  private var table: RoutingTable?
  private let original: SocketEndpoint
  private var share: RoutingTable.Share?
  private let chosen: RoutingTable.Choice?
  private let opensTunnels: Bool
  private var tried: [RoutingTable.Choice] = []
  private var context = BalancerContext(isRequest: false, now: 0)
  /// Of earlier rounds, which others come before.
  private var avoided: [RoutingTable.Choice] = []
  package private(set) var deadline: UInt64 = 0

  /// - table: nil: no revision has arrived.
  /// - chosen: who chose this one, and no other, is the kernel.
  /// - isRequest: it is for a request, else for all that goes through a connection.
  /// - key: for balancers that hash (`HashKeys`).
  /// - opensTunnels: whoever dials goes by `RoutingTable.passage`; else endpoints of other nodes are refused, because their
  ///   addresses may be somebody else's here.
  package init(
    table: RoutingTable?, original: SocketEndpoint, chosen: RoutingTable.Choice? = nil, isRequest: Bool = false,
    key: UInt64? = nil, opensTunnels: Bool = false
  ) {
    self.opensTunnels = opensTunnels
    self.context.isRequest = isRequest
    self.context.key = key
    self.table = table
    self.original = original
    self.chosen = chosen
  }

  /// Endpoints tried so far.
  package var count: Int { self.tried.count }

  package mutating func begin(now: UInt64, using random: inout some RandomNumberGenerator) -> Action {
    guard let table = self.table else { return .refuse(.notReady) }
    if let chosen = self.chosen {
      self.tried = [chosen]
      guard self.opensTunnels || !chosen.needsTunnel else { return .refuse(.noTunnel) }
      self.deadline = now + UInt64(table.connectTimeoutMilliseconds)
      return .dial(chosen, deadline: self.deadline)
    }
    switch table.share(to: self.original, using: &random) {
    case .failure(let failure): return .refuse(failure.refusal)
    case .success(let share): return self.begin(in: share, now: now, using: &random)
    }
  }

  /// As `begin`, with a share of the same table that was chosen already: that of a request. `first`: an endpoint of it that comes
  /// before all others.
  package mutating func begin(
    in share: RoutingTable.Share, first: RoutingTable.Choice? = nil, now: UInt64,
    using random: inout some RandomNumberGenerator
  ) -> Action {
    guard let table = self.table else { return .refuse(.notReady) }
    self.deadline = now + UInt64(table.connectTimeoutMilliseconds)
    self.share = share
    if let first {
      self.tried = [first]
      return .dial(first, deadline: self.deadline)
    }
    return self.next(.noEndpoint, now: now, using: &random)
  }

  /// The request is tried once more, by the table that holds now: endpoints that did not serve it come last. `share`: nil: none
  /// is ready any more.
  package mutating func again(
    in share: RoutingTable.Share?, of table: RoutingTable?, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> Action {
    guard let share else { return .refuse(table == nil ? .notReady : .noEndpoint) }
    self.table = table
    self.avoided += self.tried
    self.tried = []
    return self.begin(in: share, now: now, using: &random)
  }

  /// What is to be dialled has to wait for its turn.
  /// - endsSoon: no other limit ends that: as long as it may take to connect.
  package mutating func queues(endsSoon: Bool, now: UInt64) {
    self.deadline = .max
    if endsSoon { self.begins(now: now) }
  }

  /// Its turn has come.
  package mutating func begins(now: UInt64) {
    self.deadline = now + UInt64(self.table?.connectTimeoutMilliseconds ?? 0)
  }

  /// The endpoint dialled last could not be reached.
  /// - refusal: why, if it was the last one.
  package mutating func failed(
    as refusal: RoutingRefusal = .upstreamFailed, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> Action {
    guard now < self.deadline else { return .refuse(.connectTimeout) }
    return self.next(refusal, now: now, using: &random)
  }

  private mutating func next(
    _ otherwise: RoutingRefusal, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> Action {
    self.context.now = now
    var refusal = otherwise
    while self.tried.count < Self.limit, let share = self.share,
      let choice = self.endpoint(in: share, using: &random)
    {
      self.tried.append(choice)
      if self.opensTunnels || !choice.needsTunnel { return .dial(choice, deadline: self.deadline) }
      refusal = .noTunnel
    }
    return .refuse(refusal)
  }

  private mutating func endpoint(
    in share: RoutingTable.Share, using random: inout some RandomNumberGenerator
  ) -> RoutingTable.Choice? {
    guard let last = self.avoided.last else {
      return self.table?.endpoint(in: share, except: self.tried, self.context, using: &random)
    }
    if let choice = self.table?.endpoint(in: share, except: self.avoided + self.tried, self.context, using: &random) {
      return choice
    }
    // All of them had it once: any but the last, and it too if there is no other.
    self.avoided = []
    return self.table?.endpoint(in: share, except: self.tried + [last], self.context, using: &random)
      ?? self.table?.endpoint(in: share, except: self.tried, self.context, using: &random)
  }
}
