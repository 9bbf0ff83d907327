import Logging
package import MeshBase
import MeshCompiler
import MeshStore
import NIOPosix

/// Compiles a directory once, without serving it.
package struct ResourceCheck: Sendable {
  /// Every problem, sorted by place, and a count.
  package let lines: [String]
  package let hasErrors: Bool

  /// Throws if there is no resource file within `timeout`, or the directory cannot be
  /// listed.
  package init(resources path: String, timeout: Duration = .seconds(5)) async throws(MeshError) {
    let directory = ResourceDirectory(
      ResourceDirectory.Configuration(path: path), group: MultiThreadedEventLoopGroup.singleton,
      logger: Logger(label: "check") { _ in SwiftLogNoOpLogHandler() })
    let watch = Task { try await directory.run() }
    let timer = Task {
      try? await Task.sleep(for: timeout)
      watch.cancel()
    }
    var first: CompileResult?
    for await result in directory.results {
      first = result
      break
    }
    timer.cancel()
    watch.cancel()
    _ = try? await watch.value
    guard let first else {
      throw MeshError(
        .notFound, path, "no resource file could be read", next: "give a directory that holds .yaml files")
    }
    let errors = first.errors.count
    self.lines = first.problems.map(\.description) + ["\(first.resourceCount) resources, \(errors) errors"]
    self.hasErrors = errors > 0
  }
}
