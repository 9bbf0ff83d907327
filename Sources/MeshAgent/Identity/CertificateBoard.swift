package import MeshBase
import Synchronization

/// Where the newest certificates of this node's workloads hang: `CertificateKeeper` puts them there, whoever brings them to the proxy
/// takes them.
package final class CertificateBoard: Sendable {
  private struct State {
    var certificates: [SPIFFEID: WorkloadCertificate] = [:]
    var problems: [SPIFFEID: String] = [:]
  }

  private let state = Mutex(State())
  /// Something changed since the last element; changes in between are one. For one reader.
  package let changes: AsyncStream<Void>
  private let changed: AsyncStream<Void>.Continuation

  package init() {
    (self.changes, self.changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Old ones stay until their successors are there, and until their workloads go.
  package var certificates: [SPIFFEID: WorkloadCertificate] { self.state.withLock { $0.certificates } }

  /// Why there is none, or no newer one.
  package var problems: [SPIFFEID: String] { self.state.withLock { $0.problems } }

  func put(_ certificate: WorkloadCertificate) {
    self.state.withLock { state in
      state.certificates[certificate.identity] = certificate
      state.problems[certificate.identity] = nil
    }
    self.changed.yield()
  }

  func failed(_ identity: SPIFFEID, _ problem: String) {
    self.state.withLock { $0.problems[identity] = problem }
  }

  func retain(_ identities: Set<SPIFFEID>) {
    let isNews = self.state.withLock { state in
      let before = state.certificates.count
      state.certificates = state.certificates.filter { identities.contains($0.key) }
      state.problems = state.problems.filter { identities.contains($0.key) }
      return state.certificates.count != before
    }
    if isNews { self.changed.yield() }
  }
}
