/// Which listeners systemd keeps for the agent, and what has to be said to make it keep the right ones. A listener that is
/// kept for nothing keeps a namespace alive that is gone.
struct ListenerStore: Equatable {
  typealias Key = ListenerAdoption.Key

  enum Action: Hashable {
    case store(Key)
    /// By name: what is stored may be no listener of ours.
    case remove(String)
  }

  private var kept: Set<Key>
  private var strange: Set<String>

  /// - Parameters:
  ///   - kept: listeners that systemd handed back at start.
  ///   - strange: names of other descriptors that it handed back.
  init(kept: Set<Key> = [], strange: Set<String> = []) {
    self.kept = kept
    self.strange = strange
  }

  /// What to tell systemd so that it keeps exactly `wanted`. As long as not `isComplete`, more workloads are to come and
  /// nothing is removed.
  func actions(wanted: Set<Key>, isComplete: Bool) -> [Action] {
    var actions = wanted.subtracting(self.kept).map { Action.store($0) }
    if isComplete {
      actions += self.kept.subtracting(wanted).map { Action.remove(Self.name(of: $0)) }
      actions += self.strange.map { Action.remove($0) }
    }
    return actions
  }

  /// It was said. What could not be said comes again with the next `actions`.
  mutating func done(_ action: Action) {
    switch action {
    case .store(let key): self.kept.insert(key)
    case .remove(let name):
      self.kept = self.kept.filter { Self.name(of: $0) != name }
      self.strange.remove(name)
    }
  }

  /// The namespace's cookie names it for good. The workload's name would not do: another workload can take over the namespace
  /// with its listener, and a name can be longer than the 255 bytes that systemd takes.
  static func name(of key: Key) -> String { "\(key.kind.rawValue)-\(key.isV4 ? "v4" : "v6")-\(key.cookie)" }
}
