import MeshBase
import MeshProto
import MeshSnapshot
import MeshSync

/// A catalogue with the content: every entry encoded once.
struct EncodedCatalogue: Sendable {
  let catalogue: Catalogue
  private let resources: [EntryKind: [String: EncodedResource]]
  /// Entries that are too large to be sent, with their sizes in bytes.
  let withheld: [EntryKey: Int]

  /// The catalogue of `snapshot` after `previous`, or nil if nothing changed. What is equal is not encoded again.
  init?(
    _ snapshot: Snapshot, epoch: UInt64, after previous: EncodedCatalogue?,
    maximumEntrySize: Int = MeshProto.maximumEntrySize
  ) {
    var items = previous?.catalogue.items ?? [:]
    var resources = previous?.resources ?? [:]
    var withheld = previous?.withheld ?? [:]
    var changed: [EntryKey] = []
    let versions = snapshot.versions
    for (key, version) in versions where items[key.kind]?[key.name]?.version != version {
      guard let entry = snapshot[key] else { continue }
      let resource = EncodedResource(entry.value)
      changed.append(key)
      let isWithheld = resource.entrySize > maximumEntrySize
      withheld[key] = isWithheld ? resource.entrySize : nil
      items[key.kind, default: [:]][key.name] = Catalogue.Item(
        version: resource.version, size: resource.size, isWithheld: isWithheld)
      resources[key.kind, default: [:]][key.name] = isWithheld ? nil : resource
    }
    for kind in EntryKind.allCases {
      for name in (items[kind] ?? [:]).keys where versions[EntryKey(kind, name)] == nil {
        changed.append(EntryKey(kind, name))
        items[kind]?[name] = nil
        resources[kind]?[name] = nil
        withheld[EntryKey(kind, name)] = nil
      }
    }
    if previous != nil, changed.isEmpty { return nil }
    self.catalogue = Catalogue(
      version: SystemVersion(epoch: epoch, revision: (previous?.catalogue.version.revision ?? 0) + 1), items: items,
      base: previous?.catalogue.version, changed: changed)
    self.resources = resources
    self.withheld = withheld
  }

  func bytes(_ plan: ResponsePlan) -> [UInt8] {
    EncodedResource.response(
      plan.kind, systemVersion: plan.systemVersionText, nonce: plan.nonce,
      resources: plan.upserts.compactMap { self.resources[plan.kind]?[$0] }, removed: plan.removals)
  }
}
