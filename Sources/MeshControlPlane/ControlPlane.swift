package import Logging
import MeshBase
package import MeshCompiler
import MeshSnapshot
package import MeshWire
import ServiceLifecycle

/// Serves what the store compiles. Results come one after the other; agents get the newest.
package final class ControlPlane<Results: AsyncSequence & Sendable>: Service
where Results.Element == CompileResult, Results.Failure == Never {
  private let results: Results
  private let server: DiscoveryServer
  private let state: StateDirectory
  private let logger: Logger
  private let notifySocket: String?

  /// - Parameters:
  ///   - results: what the store has now, and again whenever it changes; ends with the store.
  ///   - notifySocket: where to say that agents are served (`NOTIFY_SOCKET`).
  package init(
    results: Results, server: DiscoveryServer, state: StateDirectory, notifySocket: String? = nil, logger: Logger
  ) {
    self.results = results
    self.server = server
    self.state = state
    self.notifySocket = notifySocket
    self.logger = logger
  }

  package func run() async throws {
    var publication = Publication()
    var problems = ProblemLog()
    var isReady = false
    var stored = try self.state.vips()
    for await result in self.results.cancelOnGracefulShutdown() {
      self.report(problems.update(result.problems))
      switch publication.compiled(result) {
      case .keep(let reason):
        if let reason { self.logger.warning("nothing to serve", metadata: [LogKey.reason: "\(reason)"]) }
      case .serve:
        // On disk first. If that fails nothing is served: an agent must not hear of an address that a restart forgets.
        if stored != result.vips {
          do throws(MeshError) {
            try self.state.store(result.vips)
            stored = result.vips
          } catch {
            self.logger.error("addresses cannot be kept; nothing new is served", metadata: [LogKey.error: "\(error)"])
            continue
          }
        }
        for (key, size) in self.server.publish(result.snapshot).sorted(by: { $0.key < $1.key }) {
          self.logger.error(
            "an entry is too large to be sent; agents keep what they have",
            metadata: ["entry": "\(key)", LogKey.count: "\(size)"])
        }
        if !isReady {
          isReady = true
          await self.server.waitUntilListening()
          self.logger.info("ready", metadata: [LogKey.count: "\(result.resourceCount)"])
          if let notifySocket { ReadyNotice.send(to: notifySocket) }
        }
      }
    }
  }

  private func report(_ news: (appeared: [Problem], gone: [Problem])) {
    for problem in news.appeared {
      switch problem.severity {
      case .error: self.logger.error("problem", metadata: [LogKey.reason: "\(problem)"])
      case .warning: self.logger.warning("problem", metadata: [LogKey.reason: "\(problem)"])
      }
    }
    for problem in news.gone { self.logger.info("problem solved", metadata: [LogKey.reason: "\(problem)"]) }
  }
}
