package import MeshBase
package import MeshSnapshot

/// What came of compiling: the snapshot to distribute, and everything that a user should know about it.
package struct CompileResult: Sendable {
  package var snapshot: Snapshot
  /// Sorted by place; errors and warnings.
  package var problems: [Problem]
  /// Resources in force, by kind.
  package var resources: [ResourceKind: Int]
  package var summary: Summary
  /// Every route, by key, those that are refused too.
  package var routes: [RouteStatus]
  /// Which service has which address; keep it (`VIPAllocator.exported`) before the snapshot is distributed.
  package var vips: VIPAllocator

  /// For dry runs and `status`: what is not as the files say, and what policies reach.
  package struct Summary: Sendable, Hashable {
    /// Objects whose last good version is in force, because the present one cannot be used.
    package var kept: [ResourceKey] = []
    /// Policies that cannot be read and have no last good version: connections to what they select are refused.
    package var standIns: [ResourceKey] = []
    /// Objects that are not in force at all.
    package var refused: [ResourceKey] = []
    /// Files and documents that may hold a policy of which nothing is known. A control plane without a memory of its
    /// directory must not begin with such a result: leaving a policy out lets in what it forbids.
    package var unaccounted: [Problem] = []
    /// How many workloads each policy selects.
    package var selected: [ResourceName: Int] = [:]

    package init() {}
  }

  package var resourceCount: Int { self.resources.values.reduce(0, +) }
  package var errors: [Problem] { self.problems.filter { $0.severity == .error } }

  /// What distributing this after `old` would change.
  package func changes(from old: Snapshot) -> Delta { self.snapshot.diff(from: old) }
}
