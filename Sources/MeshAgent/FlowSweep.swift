/// When the agent looks for flows of connections that have ended without the kernel's program having seen it (somebody
/// detached it), and which of them go. Such a flow would admit whoever calls with the addresses and ports of the ended
/// connection.
///
/// A flow whose socket is not among the open ones may be of a connection that ended in this very moment. So it goes when two
/// looks have found it so.
///
/// Time is milliseconds of any steady clock.
struct FlowSweep: Sendable, Equatable {
  /// Without a reason.
  static let restMilliseconds: Int64 = 600_000
  /// An agent that starts does not know what was detached before.
  static let startMilliseconds: Int64 = 60_000
  static let betweenMilliseconds: Int64 = 2000
  private static let slack: Int64 = 250

  private var next: Int64
  private var isFirst = true
  private var isLooking = false
  /// Of the first look, by the socket's number.
  private var suspects: Set<UInt64> = []

  init(now: Int64) { self.next = now + Self.startMilliseconds }

  /// Ends of connections may not have been seen.
  mutating func soon(now: Int64) {
    self.next = now
    self.isFirst = true
    self.suspects = []
  }

  /// True if a look is due. Its end is told to `looked`.
  mutating func wantsLook(now: Int64) -> Bool {
    guard !self.isLooking, now + Self.slack >= self.next else { return false }
    self.isLooking = true
    self.next = now + Self.restMilliseconds
    return true
  }

  /// A look is done. `ended`: whose sockets are not open. Returns those that go.
  mutating func looked(ended: Set<UInt64>, now: Int64) -> Set<UInt64> {
    self.isLooking = false
    // Something happened while it looked: two looks are to come.
    guard self.next > now else { return [] }
    guard self.isFirst else {
      defer { self.suspects = [] }
      self.isFirst = true
      return ended.intersection(self.suspects)
    }
    self.suspects = ended
    if !ended.isEmpty {
      self.isFirst = false
      self.next = now + Self.betweenMilliseconds
    }
    return []
  }
}
