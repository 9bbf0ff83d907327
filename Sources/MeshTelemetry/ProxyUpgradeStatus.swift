/// The replacement of the node proxy that is under way, or the last one: part of `ProxyStatus`, and the answer of
/// `POST /v1/proxy/upgrade`.
package struct ProxyUpgradeStatus: Codable, Sendable, Hashable {
  package enum State: String, LenientWord {
    /// There was none since the agent started.
    case none
    /// The new proxy starts and takes the snapshot; it accepts nothing yet.
    case preparing
    /// Both accept.
    case takingOver
    /// The new one serves.
    case replaced
    /// The new one was ended; the old one serves on.
    case givenUp
    /// The one that serves is of that program already.
    case unneeded
    case unknown
  }

  /// A proxy that was replaced and finishes what it has.
  package struct Draining: Codable, Sendable, Hashable {
    package var pid: UInt32
    /// Open ones, as it last said.
    package var connections: UInt64?
    /// Then what is still open is closed.
    package var secondsLeft: UInt64

    package init(pid: UInt32, connections: UInt64? = nil, secondsLeft: UInt64 = 0) {
      self.pid = pid
      self.connections = connections
      self.secondsLeft = secondsLeft
    }
  }

  package var state: State
  /// Of the new proxy; 0: it was not started.
  package var pid: UInt32
  /// The program that it runs.
  package var binary: String?
  /// Why it was given up.
  package var cause: String?
  /// How often either happened since the agent started.
  package var replaced: UInt64
  package var givenUp: UInt64
  package var draining: [Draining]

  package init(
    state: State = .none, pid: UInt32 = 0, binary: String? = nil, cause: String? = nil, replaced: UInt64 = 0,
    givenUp: UInt64 = 0, draining: [Draining] = []
  ) {
    self.state = state
    self.pid = pid
    self.binary = binary
    self.cause = cause
    self.replaced = replaced
    self.givenUp = givenUp
    self.draining = draining
  }
}
