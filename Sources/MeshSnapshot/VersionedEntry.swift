package import MeshBase

/// An entry of any kind with its version, as changes have it. It refers to the value that stands in a snapshot: a change
/// that goes from one table to the next makes no copy of it.
package struct VersionedEntry: Hashable, Sendable {
  package enum Content: Hashable, Sendable {
    case config(Versioned<ConfigEntry>)
    case policy(Versioned<PolicyEntry>)
    case workload(Versioned<WorkloadEntry>)
    case endpoints(Versioned<EndpointsEntry>)
    case service(Versioned<ServiceEntry>)
  }

  package let content: Content

  package init(content: Content) { self.content = content }

  package init(_ entry: Entry, version: ContentVersion) {
    self.content =
      switch entry {
      case .config(let value): .config(Versioned(value, version: version))
      case .policy(let value): .policy(Versioned(value, version: version))
      case .workload(let value): .workload(Versioned(value, version: version))
      case .endpoints(let value): .endpoints(Versioned(value, version: version))
      case .service(let value): .service(Versioned(value, version: version))
      }
  }

  package var value: Entry {
    switch self.content {
    case .config(let entry): .config(entry.value)
    case .policy(let entry): .policy(entry.value)
    case .workload(let entry): .workload(entry.value)
    case .endpoints(let entry): .endpoints(entry.value)
    case .service(let entry): .service(entry.value)
    }
  }

  package var version: ContentVersion {
    switch self.content {
    case .config(let entry): entry.version
    case .policy(let entry): entry.version
    case .workload(let entry): entry.version
    case .endpoints(let entry): entry.version
    case .service(let entry): entry.version
    }
  }
}
