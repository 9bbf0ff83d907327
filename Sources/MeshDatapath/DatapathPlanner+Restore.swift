package import MeshBase

extension DatapathPlanner {
  /// Gives a workload the number that a map of a predecessor has for its namespace, if it has none: sockets that were tagged
  /// with the number are on their way.
  package mutating func restore(workload: ResourceName, number: UInt32) {
    self.identifiers.restore(.workload, workload.description, number)
  }
}
