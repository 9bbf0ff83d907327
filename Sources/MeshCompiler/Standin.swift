import MeshBase
import MeshSnapshot

extension Versioned where Value == Entry {
  init(_ entry: Entry) { self.init(entry, version: ContentVersion(of: "\(entry)".utf8)) }
}
