import FoundationEssentials
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import MeshBase
import MeshIdentity
import X509

/// Who is at the other end of a call.
enum WirePeer: Sendable {
  /// The Unix socket's: root of this host.
  case local
  /// Has a node's certificate.
  case node(String, LeafCertificate)

  /// Of the network: throws `unauthenticated` for a peer without a good certificate of a node. The handshake has checked its chain.
  init(_ context: ServerContext, _ authority: (any IdentityAuthority)?) throws(RPCError) {
    guard let domain = authority?.verifier?.bundle.trustDomain,
      let specific = context.transportSpecific as? HTTP2ServerTransport.Posix.Context,
      let certificate = specific.peerCertificate,
      let leaf = try? LeafCertificate(certificate, trustDomain: domain, purpose: .client, now: .now),
      case .node(_, let name) = leaf.subject
    else {
      throw RPCError(code: .unauthenticated, message: "only nodes that joined are served: no certificate of a node")
    }
    self = .node(name, leaf)
    try self.isStillGood(authority)
  }

  /// Throws if this peer is not the node that it says it is.
  func mayBe(_ node: String) throws(RPCError) {
    guard case .node(let name, _) = self, name != node else { return }
    throw RPCError(code: .permissionDenied, message: "the certificate is that of node \(name)")
  }

  /// Throws if its certificate was revoked since.
  func isStillGood(_ authority: (any IdentityAuthority)?) throws(RPCError) {
    guard case .node(_, let leaf) = self, let verifier = authority?.verifier else { return }
    guard !verifier.revoked.contains(leaf.certificate) else {
      throw RPCError(code: .unauthenticated, message: "the certificate is revoked")
    }
  }

  /// When its certificate ends.
  var ends: Date? {
    guard case .node(_, let leaf) = self else { return nil }
    return leaf.certificate.notValidAfter
  }
}

extension SocketEndpoint {
  /// As the transport names it.
  var grpc: GRPCNIOTransportCore.SocketAddress {
    self.address.isV4
      ? .ipv4(host: "\(self.address)", port: Int(self.port)) : .ipv6(host: "\(self.address)", port: Int(self.port))
  }

  init?(_ address: GRPCNIOTransportCore.SocketAddress?) {
    guard let (host, port) = address?.ipv4.map({ ($0.host, $0.port) }) ?? address?.ipv6.map({ ($0.host, $0.port) }),
      let address = IPAddress(host), let port = UInt16(exactly: port)
    else { return nil }
    self.init(address, port)
  }
}
