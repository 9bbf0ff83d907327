package import MeshBase
package import MeshSnapshot

/// What the control plane has to offer at one revision: names, versions and sizes, without the content. One value serves
/// all sessions.
package struct Catalogue: Sendable {
  package struct Item: Sendable, Equatable {
    package var version: ContentVersion
    /// Bytes that the entry adds to a response.
    package var size: Int
    /// True: neither sent nor removed, because it is too large to be sent; who holds an older content keeps it.
    package var isWithheld: Bool

    package init(version: ContentVersion, size: Int, isWithheld: Bool = false) {
      self.version = version
      self.size = size
      self.isWithheld = isWithheld
    }
  }

  package let version: SystemVersion
  package let items: [EntryKind: [String: Item]]
  /// What differs from the catalogue of revision `base`: a session that is there looks at these names alone.
  package let base: SystemVersion?
  package let changed: [EntryKey]

  package init(
    version: SystemVersion, items: [EntryKind: [String: Item]], base: SystemVersion? = nil, changed: [EntryKey] = []
  ) {
    self.version = version
    self.items = items
    self.base = base
    self.changed = changed
  }

  func item(_ kind: EntryKind, _ name: String) -> Item? { self.items[kind]?[name] }
}
