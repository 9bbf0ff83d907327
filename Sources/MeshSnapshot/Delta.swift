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
    Set(self.upserts.map { $0.value.key.kind }).union(self.removals.map(\.kind))
  }
}

extension Snapshot {
  /// What makes this snapshot of `old`.
  package func diff(from old: Snapshot) -> Delta {
    var delta = Delta()
    var upserts: [(EntryKey, VersionedEntry)] = []
    if self.config?.version != old.config?.version {
      if let config = self.config {
        upserts.append(
          (EntryKey(.config, ConfigEntry.name), Versioned(.config(config.value), version: config.version)))
      } else {
        delta.removals.append(EntryKey(.config, ConfigEntry.name))
      }
    }
    func compare<Value>(
      _ kind: EntryKind, _ new: [ResourceName: Versioned<Value>], _ old: [ResourceName: Versioned<Value>],
      _ wrap: (Value) -> Entry
    ) {
      for (name, entry) in new where old[name]?.version != entry.version {
        upserts.append(
          (EntryKey(kind, name.description), Versioned(wrap(entry.value), version: entry.version)))
      }
      for name in old.keys where new[name] == nil {
        delta.removals.append(EntryKey(kind, name.description))
      }
    }
    compare(.policy, self.policies, old.policies, Entry.policy)
    compare(.workload, self.workloads, old.workloads, Entry.workload)
    compare(.endpoints, self.endpoints, old.endpoints, Entry.endpoints)
    compare(.service, self.services, old.services, Entry.service)
    delta.upserts = upserts.sorted { $0.0 < $1.0 }.map(\.1)
    delta.removals.sort { $0.kind == $1.kind ? $0.name < $1.name : $0.kind > $1.kind }
    return delta
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
