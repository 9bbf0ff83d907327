import MeshSnapshot

/// What is known of a container.
package struct ContainerRecord: Hashable, Sendable, Codable {
  /// The whole id.
  package var id: String
  /// Nil: not known yet.
  package var name: String?
  /// Nil: not known yet.
  package var labels: [String: String]?
  /// Its first process, in the pid namespace of the engine. Nil: it does not run.
  package var process: Int32?

  package init(id: String, name: String? = nil, labels: [String: String]? = nil, process: Int32? = nil) {
    self.id = id
    self.name = name
    self.labels = labels
    self.process = process
  }

  package static func isID(_ text: String) -> Bool { ContainerSelector.isRuntimeID(text) }
}
