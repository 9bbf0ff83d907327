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
  /// What the proxy shall have; the publisher's own tables, not a copy.
  private var latest = Snapshot()
  private var revision: UInt64?
  /// What leads from what the connected proxy was sent to `latest`. Nil: it was sent nothing.
  private var unsent: Delta?

  package init() {}

  package mutating func connected() -> Action {
    self.unsent = nil
    self.phase = .current(revision: nil)
    return self.sendIfNeeded()
  }

  package mutating func disconnected() {
    self.unsent = nil
    self.phase = .disconnected
  }

  /// Revisions rise; an older one than the last is ignored.
  package mutating func publish(_ snapshot: Snapshot, revision: UInt64) -> Action {
    if let last = self.revision, revision <= last { return .none }
    return self.publish(snapshot, change: snapshot.diff(from: self.latest), revision: revision)
  }

  /// The same if it is known what leads to it from what was published last: costs what changed.
  package mutating func publish(_ snapshot: Snapshot, change: Delta, revision: UInt64) -> Action {
    if let last = self.revision, revision <= last { return .none }
    self.revision = revision
    self.latest = snapshot
    self.unsent = self.unsent?.followed(by: change)
    return self.sendIfNeeded()
  }

  package mutating func applied(revision: UInt64) -> Action {
    guard self.phase == .sending(revision: revision) else { return .none }
    self.phase = .current(revision: revision)
    return self.sendIfNeeded()
  }

  private mutating func sendIfNeeded() -> Action {
    guard case .current(let known) = self.phase, let revision = self.revision, revision != known else { return .none }
    let isFull = self.unsent == nil
    let delta = self.unsent ?? self.latest.diff(from: Snapshot())
    self.unsent = Delta()
    self.phase = .sending(revision: revision)
    return .send(revision: revision, isFull: isFull, delta)
  }
}
