import MeshBase

/// A change of a snapshot, ordered so that each step leaves no reference dangling (make before break): first what is new
/// or different, referred-to kinds first, then what goes, referring kinds first.
///
/// Laws (tested as properties): `a.applying(b.diff(from: a)) == b`; `a.diff(from: a).isEmpty`; applying a delta twice is
/// applying it once.
package struct Delta: Sendable, Equatable {
  package var upserts: [VersionedEntry]
  package var removals: [EntryKey]

  package init(upserts: [VersionedEntry] = [], removals: [EntryKey] = []) {
    self.upserts = upserts
    self.removals = removals
  }

  package var isEmpty: Bool { self.upserts.isEmpty && self.removals.isEmpty }

  /// Kinds that the delta touches.
  package var kinds: Set<EntryKind> {
    Set(self.upserts.map { $0.value.kind }).union(self.removals.map(\.kind))
  }

  /// This change and then `later`, as one: what `later` says of a name is what holds.
  package func followed(by later: Delta) -> Delta {
    if self.isEmpty { return later }
    if later.isEmpty { return self }
    let decided = Set(later.upserts.map { $0.value.key }).union(later.removals)
    var builder = DeltaBuilder()
    for entry in self.upserts where !decided.contains(entry.value.key) { builder.upsert(entry) }
    for entry in later.upserts { builder.upsert(entry) }
    for key in self.removals where !decided.contains(key) { builder.remove(key) }
    for key in later.removals { builder.remove(key) }
    return builder.delta
  }
}

extension Snapshot {
  /// What makes this snapshot of `old`.
  package func diff(from old: Snapshot) -> Delta {
    var builder = DeltaBuilder()
    if self.config?.version != old.config?.version {
      if let config = self.config {
        builder.upsert(VersionedEntry(content: .config(config)))
      } else {
        builder.removeConfig()
      }
    }
    func compare<Value>(
      _ kind: EntryKind, _ new: [ResourceName: Versioned<Value>], _ old: [ResourceName: Versioned<Value>],
      _ wrap: (Versioned<Value>) -> VersionedEntry.Content
    ) {
      for (name, entry) in new where old[name]?.version != entry.version {
        builder.upsert(kind, name, VersionedEntry(content: wrap(entry)))
      }
      for name in old.keys where new[name] == nil { builder.remove(kind, name) }
    }
    compare(.policy, self.policies, old.policies, VersionedEntry.Content.policy)
    compare(.workload, self.workloads, old.workloads, VersionedEntry.Content.workload)
    compare(.endpoints, self.endpoints, old.endpoints, VersionedEntry.Content.endpoints)
    compare(.service, self.services, old.services, VersionedEntry.Content.service)
    return builder.delta
  }

  package mutating func apply(_ delta: Delta) {
    for entry in delta.upserts { self.insert(entry) }
    for key in delta.removals { self.remove(key) }
  }

  package func applying(_ delta: Delta) -> Snapshot {
    var result = self
    result.apply(delta)
    return result
  }
}
