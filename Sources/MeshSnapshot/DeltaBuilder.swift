package import MeshBase

/// Collects changes in any order and puts them in the order of `Delta`. Names are compared as they are: making text of
/// them for each comparison was most of the time of a large change, and moving entries while sorting the rest.
package struct DeltaBuilder: Sendable {
  private struct Upserts: Sendable {
    var names: [ResourceName] = []
    var entries: [VersionedEntry] = []
  }

  private var config: VersionedEntry?
  private var removesConfig = false
  private var upserts: [Upserts]
  private var removals: [[ResourceName]]

  package init() {
    self.upserts = EntryKind.allCases.map { _ in Upserts() }
    self.removals = EntryKind.allCases.map { _ in [] }
  }

  package mutating func upsert(_ entry: VersionedEntry) {
    switch entry.content {
    case .config: self.config = entry
    case .policy(let policy): self.upsert(.policy, policy.value.name, entry)
    case .workload(let workload): self.upsert(.workload, workload.value.name, entry)
    case .endpoints(let endpoints): self.upsert(.endpoints, endpoints.value.service, entry)
    case .service(let service): self.upsert(.service, service.value.name, entry)
    }
  }

  /// `name` is the entry's own.
  package mutating func upsert(_ kind: EntryKind, _ name: ResourceName, _ entry: VersionedEntry) {
    self.upserts[kind.rawValue].names.append(name)
    self.upserts[kind.rawValue].entries.append(entry)
  }

  package mutating func remove(_ kind: EntryKind, _ name: ResourceName) {
    self.removals[kind.rawValue].append(name)
  }

  /// A key that names nothing is left out: there is no entry that it could remove.
  package mutating func remove(_ key: EntryKey) {
    if key.kind == .config {
      if key.name == ConfigEntry.name { self.removeConfig() }
    } else if let name = ResourceName(key.name) {
      self.remove(key.kind, name)
    }
  }

  package mutating func removeConfig() { self.removesConfig = true }

  /// Each kind by name; upserts from what is referred to, removals from what refers.
  package var delta: Delta {
    var delta = Delta()
    delta.upserts.reserveCapacity(self.upserts.reduce(1) { $0 + $1.names.count })
    if let config = self.config { delta.upserts.append(config) }
    for upserts in self.upserts {
      for index in upserts.names.orderOfText { delta.upserts.append(upserts.entries[index]) }
    }
    for kind in EntryKind.allCases.reversed() {
      let names = self.removals[kind.rawValue]
      for index in names.orderOfText { delta.removals.append(EntryKey(kind, names[index].description)) }
    }
    if self.removesConfig { delta.removals.append(EntryKey(.config, ConfigEntry.name)) }
    return delta
  }
}

extension [ResourceName] {
  /// Indices in the order of the names' text, which is that of `EntryKey`.
  var orderOfText: [Int] {
    guard self.count > 1 else { return Array<Int>(self.indices) }
    return self.indices.sorted { ResourceName.isTextBefore(self[$0], self[$1]) }
  }
}

extension ResourceName {
  /// `a.description < b.description`. Differs from the order of the parts where one namespace is the beginning of the
  /// other, because `-` comes before `/`.
  static func isTextBefore(_ a: ResourceName, _ b: ResourceName) -> Bool {
    a.namespace == b.namespace ? a.name < b.name : a.namespace + "/" < b.namespace + "/"
  }
}
