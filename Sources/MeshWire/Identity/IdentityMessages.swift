import FoundationEssentials
import MeshBase
import MeshIdentity
import MeshProto
import SwiftProtobuf

/// The requests of `martlet.identity.v1.IdentityService`.
package enum IdentityRequest: Sendable, Equatable {
  case join(node: String, token: String, request: [UInt8])
  case renew(request: [UInt8])
  case sign(node: String, request: [UInt8])

  func encoded() throws(MeshError) -> [UInt8] {
    do {
      switch self {
      case .join(let node, let token, let request):
        var message = Martlet_Identity_V1_JoinRequest()
        message.node = node
        message.token = token
        message.request = Data(request)
        return try message.serializedBytes()
      case .renew(let request):
        var message = Martlet_Identity_V1_RenewRequest()
        message.request = Data(request)
        return try message.serializedBytes()
      case .sign(let node, let request):
        var message = Martlet_Identity_V1_SignRequest()
        message.node = node
        message.request = Data(request)
        return try message.serializedBytes()
      }
    } catch {
      throw MeshError(.internal, "request for a certificate", "could not be written", cause: "\(error)")
    }
  }

  static func join(bytes: [UInt8]) throws(MeshError) -> IdentityRequest {
    let message: Martlet_Identity_V1_JoinRequest = try Self.message(bytes)
    return .join(node: message.node, token: message.token, request: Array(message.request))
  }

  static func renew(bytes: [UInt8]) throws(MeshError) -> IdentityRequest {
    let message: Martlet_Identity_V1_RenewRequest = try Self.message(bytes)
    return .renew(request: Array(message.request))
  }

  static func sign(bytes: [UInt8]) throws(MeshError) -> IdentityRequest {
    let message: Martlet_Identity_V1_SignRequest = try Self.message(bytes)
    return .sign(node: message.node, request: Array(message.request))
  }

  private static func message<M: Message>(_ bytes: [UInt8]) throws(MeshError) -> M {
    // A request for a certificate has some 300 bytes.
    guard bytes.count <= 2 * MeshIdentity.largestCertificate, let message = try? M(serializedBytes: bytes) else {
      throw MeshError(.invalid, "request for a certificate", "cannot be read")
    }
    return message
  }
}

extension CertificateAnswer {
  func encoded() throws(MeshError) -> [UInt8] {
    var message = Martlet_Identity_V1_CertificateAnswer()
    message.trustDomain = self.trustDomain
    message.chain = self.chain.map { Data($0) }
    message.roots = self.roots.map { Data($0) }
    do {
      return try message.serializedBytes()
    } catch {
      throw MeshError(.internal, "certificate", "could not be written", cause: "\(error)")
    }
  }

  init(bytes: [UInt8]) throws(MeshError) {
    guard let message = try? Martlet_Identity_V1_CertificateAnswer(serializedBytes: bytes),
      SPIFFEID.isTrustDomain(message.trustDomain), !message.chain.isEmpty, !message.roots.isEmpty,
      message.chain.count <= MeshIdentity.longestChain,
      (message.chain + message.roots).allSatisfy({ $0.count <= MeshIdentity.largestCertificate })
    else { throw MeshError(.invalid, "answer of the authority", "holds no certificate") }
    self.init(
      trustDomain: message.trustDomain, chain: message.chain.map { Array($0) }, roots: message.roots.map { Array($0) })
  }
}
