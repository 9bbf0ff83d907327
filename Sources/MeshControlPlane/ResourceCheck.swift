package import MeshBase
import MeshCompiler
import MeshStore

/// Compiles a directory once, without serving it.
package struct ResourceCheck: Sendable {
  /// Every problem, sorted by place, and a count.
  package let lines: [String]
  package let hasErrors: Bool

  /// Throws if there is no resource file, or the directory cannot be listed.
  package init(resources path: String) throws(MeshError) {
    let result = try ResourceFiles.compile([path])
    let errors = result.errors.count
    self.lines = result.problems.map(\.description) + ["\(result.resourceCount) resources, \(errors) errors"]
    self.hasErrors = errors > 0
  }
}
