import FoundationEssentials
package import Logging
import MeshBase
package import MeshCompiler
package import MeshLinux
import MeshSnapshot
import MeshSync
package import MeshWire
import ServiceLifecycle
import Synchronization

/// Hands what the store compiled, and what the nodes say of their workloads, to the sessions. Results come one after the
/// other; agents get the newest.
package struct Publisher: Service {
  private let results: AsyncStream<CompileResult>
  private let server: DiscoveryServer
  private let state: ControlState
  private let logger: Logger
  private let supervisor: ServiceSupervisor
  private let authority: AuthorityOffice?
  /// Entries that were too large the last time. Held while something is published, so that one publishes after the other.
  private let withheld = Shared()

  private final class Shared: Sendable {
    let sizes = Mutex<[EntryKey: Int]>([:])
    let marker = Mutex(StatusMarker())
  }

  /// Changes of status that come within this time go out together.
  private static let pause = Duration.milliseconds(50)

  /// - Parameters:
  ///   - results: what the store has, and again whenever it changes; ends with the store.
  ///   - authority: opened with the first result, whose trust domain it serves; nil: there is none.
  ///   - supervisor: who is told that agents are served, and that results are still taken.
  package init(
    results: AsyncStream<CompileResult>, server: DiscoveryServer, state: ControlState, supervisor: ServiceSupervisor,
    authority: AuthorityOffice? = nil, logger: Logger
  ) {
    self.authority = authority
    self.results = results
    self.server = server
    self.state = state
    self.supervisor = supervisor
    self.logger = logger
  }

  package func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.followResults() }
      group.addTask { await self.followStatuses() }
      group.addTask {
        await self.followAuthority()
        // Not the end of the others.
        try? await gracefulShutdown()
      }
      // The store's end is the end.
      await group.next()
      group.cancelAll()
    }
  }

  private func followResults() async {
    var isReady = false
    for await result in self.results.cancelOnGracefulShutdown() {
      self.state.took(result)
      self.publish()
      guard !isReady else { continue }
      isReady = true
      await self.server.waitUntilListening()
      self.logger.info("ready", metadata: [LogKey.count: "\(result.resourceCount)"])
      self.supervisor.send(.ready)
    }
  }

  private func followStatuses() async {
    for await _ in self.server.statuses.changes.cancelOnGracefulShutdown() {
      self.publish()
      try? await Task.sleep(for: Self.pause)
    }
  }

  private func followAuthority() async {
    guard let authority = self.authority else { return }
    for await _ in authority.changes.cancelOnGracefulShutdown() { self.publish() }
  }

  /// Agents without an authority have what they had: resources are served whatever becomes of it.
  private func openAuthority(_ domain: String) {
    guard let authority = self.authority else { return }
    do throws(MeshError) {
      try authority.open(trustDomain: domain, now: .now)
      self.state.tookAuthority(nil)
    } catch {
      if self.state.tookAuthority(error) {
        self.logger.error("no certificates can be signed", metadata: [LogKey.error: "\(error)"])
      }
    }
  }

  private func publish() {
    self.withheld.sizes.withLock { known in
      guard let snapshot = self.state.snapshot else { return }
      self.server.statuses.retain(nodes: Set(snapshot.workloads.values.map(\.value.node)))
      if let domain = snapshot.config?.value.trustDomain { self.openAuthority(domain) }
      let marked = self.withheld.marker.withLock { $0.marked(snapshot, by: self.server.statuses.ledger) }
      let withheld = self.server.publish(marked.trusting(self.authority?.verifier))
      for (key, size) in withheld.sorted(by: { $0.key < $1.key }) where known[key] != size {
        self.logger.error(
          "an entry is too large to be sent; agents keep what they have",
          metadata: ["entry": "\(key)", LogKey.count: "\(size)"])
      }
      known = withheld
    }
  }
}
