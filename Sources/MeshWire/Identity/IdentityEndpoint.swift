import FoundationEssentials
import GRPCCore
import MeshBase

/// Join, Renew and Sign, at the server.
struct IdentityEndpoint: Sendable {
  let authority: any IdentityAuthority
  /// Peers are known by certificates. On the Unix socket they are root, and say themselves which node they are.
  let isNetwork: Bool

  func register<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    self.register(.join, with: &router) { bytes, _ in
      guard case .join(let node, let token, let request) = try IdentityRequest.join(bytes: bytes) else { return nil }
      return try self.authority.join(node: node, token: token, request: request, now: .now)
    }
    self.register(.renew, with: &router) { bytes, _ in
      guard case .renew(let request) = try IdentityRequest.renew(bytes: bytes) else { return nil }
      return try self.authority.renew(request: request, now: .now)
    }
    self.register(.sign, with: &router) { bytes, context in
      let peer = self.isNetwork ? try WirePeer(context, self.authority) : .local
      guard case .sign(var node, let request) = try IdentityRequest.sign(bytes: bytes) else { return nil }
      if case .node(let name, _) = peer { node = name }
      return try self.authority.sign(request: request, node: node, now: .now)
    }
  }

  private func register<Transport: ServerTransport>(
    _ method: MethodDescriptor, with router: inout RPCRouter<Transport>,
    _ answer: @escaping @Sendable ([UInt8], ServerContext) throws -> CertificateAnswer?
  ) {
    router.registerHandler(forMethod: method, deserializer: BytesDeserializer(), serializer: BytesSerializer()) {
      request, context in
      StreamingServerResponse(of: [UInt8].self) { writer in
        // The first message is the request.
        for try await bytes in request.messages {
          do {
            guard let answer = try answer(bytes, context) else { break }
            try await writer.write(try answer.encoded())
            return [:]
          } catch let error as MeshError {
            throw RPCError(error)
          }
        }
        throw RPCError(code: .invalidArgument, message: "no request")
      }
    }
  }
}

extension RPCError {
  /// What a peer is told.
  init(_ error: MeshError) {
    let code: RPCError.Code =
      switch error.code {
      case .invalid: .invalidArgument
      case .notFound: .notFound
      case .conflict: .failedPrecondition
      case .unavailable: .unavailable
      case .exhausted: .resourceExhausted
      case .unsupported: .unimplemented
      case .denied: .permissionDenied
      case .internal: .internalError
      }
    self.init(code: code, message: error.code == .internal ? "internal error" : error.description)
  }
}
