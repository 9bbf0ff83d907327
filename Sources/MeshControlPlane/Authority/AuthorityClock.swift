import FoundationEssentials
import Logging
import MeshBase
import MeshWire
import ServiceLifecycle

/// Time for the authority: steps of a rotation, and intermediates that grow old.
struct AuthorityClock: Service {
  let authority: AuthorityOffice
  let server: DiscoveryServer
  let logger: Logger
  var interval = Duration.seconds(5)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      var problem: String?
      while !Task.isCancelled {
        try? await Task.sleep(for: self.interval)
        guard !Task.isCancelled else { return }
        do throws(MeshError) {
          try self.authority.tick(now: .now, allHold: self.server.allHoldConfig)
          problem = nil
        } catch {
          if error.description != problem {
            self.logger.error("the certificate authority is in trouble", metadata: [LogKey.error: "\(error)"])
          }
          problem = error.description
        }
      }
    }
  }
}
