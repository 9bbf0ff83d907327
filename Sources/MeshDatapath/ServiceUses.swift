import MeshBase

/// Which services use a thing. Nearly everything is used by one: that one stands in the table itself, and a set is made only
/// where there are more. A set for each of ten thousand workloads was two megabytes.
struct ServiceUses<Key: Hashable & Sendable>: Sendable {
  private var first: [Key: ResourceName] = [:]
  private var others: [Key: Set<ResourceName>] = [:]

  var isEmpty: Bool { self.first.isEmpty }

  subscript(key: Key) -> Set<ResourceName> {
    var services: Set<ResourceName> = []
    self.add(key, to: &services)
    return services
  }

  /// Adds the services that use `key`.
  func add(_ key: Key, to services: inout Set<ResourceName>) {
    guard let first = self.first[key] else { return }
    services.insert(first)
    if let others = self.others[key] { services.formUnion(others) }
  }

  mutating func insert(_ service: ResourceName, for key: Key) {
    guard let first = self.first[key] else {
      self.first[key] = service
      return
    }
    if first != service { self.others[key, default: []].insert(service) }
  }

  mutating func remove(_ service: ResourceName, for key: Key) {
    if self.first[key] == service {
      self.first[key] = self.others[key]?.popFirst()
    } else {
      self.others[key]?.remove(service)
    }
    if self.others[key]?.isEmpty == true { self.others[key] = nil }
  }
}
