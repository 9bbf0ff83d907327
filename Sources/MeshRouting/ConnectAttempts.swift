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

  private let table: RoutingTable?
  private let original: SocketEndpoint
  private var share: RoutingTable.Share?
  private var tried: [SocketEndpoint] = []
  package private(set) var deadline: UInt64 = 0

  /// `table` nil: no revision has arrived.
  package init(table: RoutingTable?, original: SocketEndpoint) {
    self.table = table
    self.original = original
  }

  /// Endpoints dialled so far.
  package var count: Int { self.tried.count }

  package mutating func begin(now: UInt64, using random: inout some RandomNumberGenerator) -> Action {
    guard let table = self.table else { return .refuse(.notReady) }
    self.deadline = now + UInt64(table.connectTimeoutMilliseconds)
    switch table.share(to: self.original, using: &random) {
    case .failure(let failure): return .refuse(failure.refusal)
    case .success(let share):
      self.share = share
      return self.next(.noEndpoint, using: &random)
    }
  }

  /// The endpoint dialled last could not be reached.
  package mutating func failed(now: UInt64, using random: inout some RandomNumberGenerator) -> Action {
    guard now < self.deadline else { return .refuse(.connectTimeout) }
    guard self.tried.count < Self.limit else { return .refuse(.upstreamFailed) }
    return self.next(.upstreamFailed, using: &random)
  }

  private mutating func next(
    _ otherwise: RoutingRefusal, using random: inout some RandomNumberGenerator
  ) -> Action {
    guard let share = self.share, let choice = self.table?.endpoint(in: share, except: self.tried, using: &random)
    else { return .refuse(otherwise) }
    self.tried.append(choice.target)
    return .dial(choice, deadline: self.deadline)
  }
}
