package import MeshCompiler

/// Decides whether a compiled state is served. Broken files are the compiler's matter: their last good content is in the
/// result already.
package struct Publication: Sendable {
  package enum Decision: Sendable, Equatable {
    case serve
    /// Not served; agents keep what they have. Said once until it changes.
    case keep(reason: String?)
  }

  private var isKeeping = false

  package init() {}

  package mutating func compiled(_ result: CompileResult) -> Decision {
    guard result.resourceCount > 0 else {
      defer { self.isKeeping = true }
      return .keep(
        reason: self.isKeeping
          ? nil
          : "the store holds no resource at all; nothing is withdrawn until it holds one "
            + "(to empty the mesh on purpose, leave a Namespace or a MeshConfig)")
    }
    self.isKeeping = false
    return .serve
  }
}
