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

/// A value and the hash of its canonical encoding. A copy costs a reference: a node has the same entries in several tables
/// (what was heard, what is planned, what the proxy has), each of which would hold them in its own slots.
package struct Versioned<Value: Hashable & Sendable>: Hashable, Sendable {
  private var box: Box
  package var version: ContentVersion

  private final class Box: Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  package init(_ value: Value, version: ContentVersion) {
    self.box = Box(value)
    self.version = version
  }

  package var value: Value {
    get { self.box.value }
    set { self.box = Box(newValue) }
  }

  /// Equal versions mean equal content; comparing eight bytes is the point of having them.
  package static func == (a: Self, b: Self) -> Bool { a.version == b.version }

  package func hash(into hasher: inout Hasher) { hasher.combine(self.version) }
}
