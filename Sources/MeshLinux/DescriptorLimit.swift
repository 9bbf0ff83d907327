import CMeshLinux
package import MeshBase

/// How many descriptors the process may have (RLIMIT_NOFILE).
package struct DescriptorLimit: Hashable, Sendable {
  /// What holds.
  package var soft: UInt64
  /// What it may be raised to without privilege.
  package var hard: UInt64

  package static func current() throws(MeshError) -> DescriptorLimit {
    var limit = cmesh_limit()
    return try self.result(cmesh_descriptor_limit(&limit), limit)
  }

  /// Raises the soft limit to the hard one and says what holds then.
  package static func raise() throws(MeshError) -> DescriptorLimit {
    var limit = cmesh_limit()
    return try self.result(cmesh_raise_descriptor_limit(&limit), limit)
  }

  private static func result(_ result: CInt, _ limit: cmesh_limit) throws(MeshError) -> DescriptorLimit {
    guard result >= 0 else {
      throw SystemError(-result, "RLIMIT_NOFILE").meshError("descriptor limit", "cannot be read or raised")
    }
    return DescriptorLimit(soft: limit.soft, hard: limit.hard)
  }
}
