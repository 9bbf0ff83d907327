package import MeshBase

/// Everything that a control plane says, or a node knows, at one moment: the waist of the house.
package struct Snapshot: Sendable, Equatable {
  package var config: Versioned<ConfigEntry>?
  package var policies: [ResourceName: Versioned<PolicyEntry>] = [:]
  package var workloads: [ResourceName: Versioned<WorkloadEntry>] = [:]
  package var endpoints: [ResourceName: Versioned<EndpointsEntry>] = [:]
  package var services: [ResourceName: Versioned<ServiceEntry>] = [:]

  package init() {}

  package init(_ entries: some Sequence<VersionedEntry>) {
    for entry in entries { self.insert(entry) }
  }

  package var count: Int {
    (self.config == nil ? 0 : 1) + self.policies.count + self.workloads.count + self.endpoints.count
      + self.services.count
  }

  package var isEmpty: Bool { self.count == 0 }

  package subscript(key: EntryKey) -> VersionedEntry? {
    if key.kind == .config {
      guard key.name == ConfigEntry.name else { return nil }
      return self.config.map { VersionedEntry(content: .config($0)) }
    }
    guard let name = ResourceName(key.name) else { return nil }
    switch key.kind {
    case .config: return nil
    case .policy: return self.policies[name].map { VersionedEntry(content: .policy($0)) }
    case .workload: return self.workloads[name].map { VersionedEntry(content: .workload($0)) }
    case .endpoints: return self.endpoints[name].map { VersionedEntry(content: .endpoints($0)) }
    case .service: return self.services[name].map { VersionedEntry(content: .service($0)) }
    }
  }

  /// Adds the entry or replaces the one of the same key.
  package mutating func insert(_ entry: VersionedEntry) {
    switch entry.content {
    case .config(let entry): self.config = entry
    case .policy(let entry): self.policies[entry.value.name] = entry
    case .workload(let entry): self.workloads[entry.value.name] = entry
    case .endpoints(let entry): self.endpoints[entry.value.service] = entry
    case .service(let entry): self.services[entry.value.name] = entry
    }
  }

  /// Removes the entry. Returns false if there was none.
  @discardableResult
  package mutating func remove(_ key: EntryKey) -> Bool {
    if key.kind == .config {
      guard key.name == ConfigEntry.name, self.config != nil else { return false }
      self.config = nil
      return true
    }
    guard let name = ResourceName(key.name) else { return false }
    switch key.kind {
    case .config: return false
    case .policy: return self.policies.removeValue(forKey: name) != nil
    case .workload: return self.workloads.removeValue(forKey: name) != nil
    case .endpoints: return self.endpoints.removeValue(forKey: name) != nil
    case .service: return self.services.removeValue(forKey: name) != nil
    }
  }

  /// Key and version of every entry, in no order.
  package var versions: [EntryKey: ContentVersion] {
    var result: [EntryKey: ContentVersion] = [:]
    result.reserveCapacity(self.count)
    if let config = self.config { result[EntryKey(.config, ConfigEntry.name)] = config.version }
    for (name, entry) in self.policies { result[EntryKey(.policy, name.description)] = entry.version }
    for (name, entry) in self.workloads { result[EntryKey(.workload, name.description)] = entry.version }
    for (name, entry) in self.endpoints { result[EntryKey(.endpoints, name.description)] = entry.version }
    for (name, entry) in self.services { result[EntryKey(.service, name.description)] = entry.version }
    return result
  }

  /// Every entry, ordered by key.
  package var entries: [VersionedEntry] { self.diff(from: Snapshot()).upserts }
}
