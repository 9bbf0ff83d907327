package import MeshBase

extension DatapathPlanner {
  /// Gives a workload the number that a map of a predecessor has for its namespace, if it has none: sockets that were tagged
  /// with the number are on their way.
  package mutating func restore(workload: ResourceName, number: UInt32) {
    self.identifiers.restore(.workload, workload.description, number)
  }

  /// The same for a network of this host: rows are written one after the other, and two of them with different numbers for one
  /// network would keep their workloads apart meanwhile.
  package mutating func restore(network: String, segment: String, number: UInt32) {
    self.identifiers.restore(.network, ResolvedSnapshot.networkName(network, segment), number)
  }
}
