/// One of the two connections of a relay.
package enum RelaySide: Sendable, Hashable, CaseIterable {
  case client
  case upstream

  package var other: RelaySide { self == .client ? .upstream : .client }
}

/// The life of a relay: what follows from an event on one side for the other.
///
/// Each direction goes `flowing` ─ end of input ─► `ending` ─ all written ─► `ended`, on its own (half-close). A side that
/// closes before both its directions ended has failed, and its failure is passed on as an RST: a cut stream must never
/// look complete.
///
/// ```
/// connecting ─ connected ─► relaying ─ both closed ─► over
///     └── refused, client failed ──┴── a side failed ──┘
/// ```
package struct RelayMachine: Sendable, Equatable {
  package enum Direction: Sendable, Equatable {
    case flowing
    /// The reader saw the end; bytes may still wait to be written.
    case ending
    /// The end was passed on.
    case ended
  }

  package enum Phase: Sendable, Equatable {
    case connecting
    case relaying
    case over
  }

  package enum Action: Sendable, Equatable {
    case none
    /// Report (`flushed`) when everything that was written to this side has left.
    case flush(RelaySide)
    /// Shut down the output of this side: FIN.
    case shutdownOutput(RelaySide)
    /// Close this side with RST.
    case abort(RelaySide)
    /// Stop dialling.
    case abandonDial
    /// Both sides are closed.
    case end
  }

  package private(set) var phase: Phase = .connecting
  /// From the client to the upstream.
  package private(set) var outward: Direction = .flowing
  /// From the upstream to the client.
  package private(set) var homeward: Direction = .flowing
  private var isClosed: (client: Bool, upstream: Bool) = (false, false)

  package init() {}

  package static func == (a: Self, b: Self) -> Bool {
    a.phase == b.phase && a.outward == b.outward && a.homeward == b.homeward && a.isClosed == b.isClosed
  }

  /// The upstream connection stands.
  package mutating func connected() -> Action {
    guard self.phase == .connecting else { return .none }
    self.phase = .relaying
    return self.outward == .ending ? .flush(.upstream) : .none
  }

  /// No upstream could be reached, or none may be.
  package mutating func refused() -> Action {
    guard self.phase == .connecting else { return .none }
    self.phase = .over
    return .abort(.client)
  }

  /// FIN from this side: it will send no more.
  package mutating func inputEnded(_ side: RelaySide) -> Action {
    guard self.phase != .over, self.direction(from: side) == .flowing else { return .none }
    self.set(.ending, from: side)
    return self.phase == .connecting ? .none : .flush(side.other)
  }

  /// Everything written to this side has left.
  package mutating func flushed(_ side: RelaySide) -> Action {
    guard self.phase == .relaying, self.direction(from: side.other) == .ending else { return .none }
    self.set(.ended, from: side.other)
    return .shutdownOutput(side)
  }

  /// An error, a reset, a timeout on this side.
  package mutating func failed(_ side: RelaySide) -> Action {
    switch self.phase {
    case .over: return .none
    case .connecting:
      self.phase = .over
      return .abandonDial
    case .relaying:
      self.phase = .over
      return .abort(side.other)
    }
  }

  /// The connection of this side is closed. Errors come before, as `failed`.
  ///
  /// NIO closes a channel whose output is shut down as soon as its input ends, without a word about the end of input: so
  /// that is what it means then.
  package mutating func closed(_ side: RelaySide) -> Action {
    guard self.phase == .relaying, self.direction(from: side.other) == .ended else { return self.failed(side) }
    switch side {
    case .client: self.isClosed.client = true
    case .upstream: self.isClosed.upstream = true
    }
    if self.isClosed.client, self.isClosed.upstream {
      self.phase = .over
      return .end
    }
    return self.inputEnded(side)
  }

  private func direction(from side: RelaySide) -> Direction {
    side == .client ? self.outward : self.homeward
  }

  private mutating func set(_ direction: Direction, from side: RelaySide) {
    switch side {
    case .client: self.outward = direction
    case .upstream: self.homeward = direction
    }
  }
}
