package import MeshBase

/// The kinds of entries, in make-before-break order: what others refer to comes first.
package enum EntryKind: Int, Hashable, Sendable, CaseIterable, Comparable {
  case config
  case policy
  case workload
  case endpoints
  case service

  package static func < (a: EntryKind, b: EntryKind) -> Bool { a.rawValue < b.rawValue }
}

/// Names an entry: its kind, and its name as text (`namespace/name`, or `mesh`).
package struct EntryKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var kind: EntryKind
  package var name: String

  package init(_ kind: EntryKind, _ name: String) {
    self.kind = kind
    self.name = name
  }

  package var description: String { "\(self.kind) \(self.name)" }

  package static func < (a: EntryKey, b: EntryKey) -> Bool {
    a.kind == b.kind ? a.name < b.name : a.kind < b.kind
  }
}

package enum Entry: Hashable, Sendable {
  case config(ConfigEntry)
  case policy(PolicyEntry)
  case workload(WorkloadEntry)
  case endpoints(EndpointsEntry)
  case service(ServiceEntry)

  package var kind: EntryKind {
    switch self {
    case .config: .config
    case .policy: .policy
    case .workload: .workload
    case .endpoints: .endpoints
    case .service: .service
    }
  }

  package var key: EntryKey {
    switch self {
    case .config: EntryKey(.config, ConfigEntry.name)
    case .policy(let entry): EntryKey(.policy, entry.name.description)
    case .workload(let entry): EntryKey(.workload, entry.name.description)
    case .endpoints(let entry): EntryKey(.endpoints, entry.service.description)
    case .service(let entry): EntryKey(.service, entry.name.description)
    }
  }
}

/// A value and the hash of its canonical encoding.
package struct Versioned<Value: Hashable & Sendable>: Hashable, Sendable {
  package var value: Value
  package var version: ContentVersion

  package init(_ value: Value, version: ContentVersion) {
    self.value = value
    self.version = version
  }

  /// Equal versions mean equal content; comparing eight bytes is the point of having them.
  package static func == (a: Self, b: Self) -> Bool { a.version == b.version }

  package func hash(into hasher: inout Hasher) { hasher.combine(self.version) }
}

package typealias VersionedEntry = Versioned<Entry>
