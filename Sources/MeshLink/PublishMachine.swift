package import MeshSnapshot

/// The agent's side of revisions: what to send, and when. At most one revision is under way to a proxy; snapshots that
/// come meanwhile replace each other, so a slow proxy costs memory for one, not for all.
package struct PublishMachine {
  package enum Action: Equatable, Sendable {
    case none
    /// Send `begin`, the delta, `commit`.
    case send(revision: UInt64, isFull: Bool, Delta)
  }

  package enum Phase: Equatable, Sendable {
    case disconnected
    /// The proxy has everything that was published, up to this revision (nil: nothing was).
    case current(revision: UInt64?)
    case sending(revision: UInt64)
  }

  package private(set) var phase: Phase = .disconnected
  private var latest: (revision: UInt64, snapshot: Snapshot)?
  /// What the connected proxy has, once it has answered the revision under way.
  private var sent: Snapshot?

  package init() {}

  package mutating func connected() -> Action {
    self.sent = nil
    self.phase = .current(revision: nil)
    return self.sendIfNeeded()
  }

  package mutating func disconnected() {
    self.sent = nil
    self.phase = .disconnected
  }

  /// Revisions rise; an older one than the last is ignored.
  package mutating func publish(_ snapshot: Snapshot, revision: UInt64) -> Action {
    if let latest = self.latest, revision <= latest.revision { return .none }
    self.latest = (revision, snapshot)
    return self.sendIfNeeded()
  }

  package mutating func applied(revision: UInt64) -> Action {
    guard self.phase == .sending(revision: revision) else { return .none }
    self.phase = .current(revision: revision)
    return self.sendIfNeeded()
  }

  private mutating func sendIfNeeded() -> Action {
    guard case .current(let revision) = self.phase, let latest = self.latest, latest.revision != revision else {
      return .none
    }
    let delta = latest.snapshot.diff(from: self.sent ?? Snapshot())
    let isFull = self.sent == nil
    self.sent = latest.snapshot
    self.phase = .sending(revision: latest.revision)
    return .send(revision: latest.revision, isFull: isFull, delta)
  }
}
