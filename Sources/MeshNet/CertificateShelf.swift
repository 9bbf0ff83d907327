import Glibc
package import MeshBase
import Synchronization

/// What the workloads of this node prove their identities with. Handshakes that begin later use what was put
/// last; connections that stand keep theirs. Shared by the loops.
package final class CertificateShelf: Sendable {
  package struct Pair: Sendable {
    package var identity: SPIFFEID
    package var client: TLSContext
    package var server: TLSContext

    package init(identity: SPIFFEID, client: TLSContext, server: TLSContext) {
      self.identity = identity
      self.client = client
      self.server = server
    }

    /// Throws `invalid`: what of the material is wrong.
    package init(identity: SPIFFEID, _ material: TLSMaterial) throws(MeshError) {
      self.identity = identity
      self.client = try TLSContext(.client, material, object: "\(identity)")
      self.server = try TLSContext(.server, material, object: "\(identity)")
    }
  }

  private let pairs = Mutex<[SPIFFEID: Pair]>([:])
  /// Unix time in seconds.
  package let time: @Sendable () -> Int64

  package init(time: @escaping @Sendable () -> Int64 = { Int64(Glibc.time(nil)) }) { self.time = time }

  package func put(_ pair: Pair) { self.pairs.withLock { $0[pair.identity] = pair } }

  /// All others are forgotten.
  package func retain(_ identities: Set<SPIFFEID>) {
    self.pairs.withLock { pairs in pairs = pairs.filter { identities.contains($0.key) } }
  }

  package func pair(of identity: SPIFFEID) -> Pair? { self.pairs.withLock { $0[identity] } }
}
