package import Logging
import MeshBase
package import MeshCompiler
package import MeshLinux
import MeshSnapshot
package import MeshWire
import ServiceLifecycle

/// Hands what the store compiled to the sessions. Results come one after the other; agents get the newest.
package struct Publisher: Service {
  private let results: AsyncStream<CompileResult>
  private let server: DiscoveryServer
  private let logger: Logger
  private let supervisor: ServiceSupervisor

  /// - Parameters:
  ///   - results: what the store has, and again whenever it changes; ends with the store.
  ///   - supervisor: who is told that agents are served, and that results are still taken.
  package init(
    results: AsyncStream<CompileResult>, server: DiscoveryServer, supervisor: ServiceSupervisor, logger: Logger
  ) {
    self.results = results
    self.server = server
    self.supervisor = supervisor
    self.logger = logger
  }

  package func run() async throws {
    var isReady = false
    var known: [EntryKey: Int] = [:]
    for await result in self.results.cancelOnGracefulShutdown() {
      let withheld = self.server.publish(result.snapshot)
      for (key, size) in withheld.sorted(by: { $0.key < $1.key }) where known[key] != size {
        self.logger.error(
          "an entry is too large to be sent; agents keep what they have",
          metadata: ["entry": "\(key)", LogKey.count: "\(size)"])
      }
      known = withheld
      guard !isReady else { continue }
      isReady = true
      await self.server.waitUntilListening()
      self.logger.info("ready", metadata: [LogKey.count: "\(result.resourceCount)"])
      self.supervisor.send(.ready)
    }
  }
}
